"""Tagging with one of the challenge's other systems: rows of the same schema, with what such a system has no part in.

There are no gates, boxes or presence ratios: `actors` is empty. Scores, labels with segments and the timeline are those
of the system, which looks at the clip every so many seconds.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from a2d.taxonomy import Taxonomy, load_taxonomy
from common.errors import ClipError
from common.files import sha256_file
from common.heartbeat import beat
from common.stopwatch import Stopwatch
from pipeline.config import TaggerConfig
from pipeline.results import ClipResult, TaggedLabel, Timeline, Weights
from pipeline.segments import find_segments
from pipeline.system_scorers import open_scorer
from pipeline.tagger import TaggedClip
from rivals.evaluation import clip_probabilities
from rivals.frames import ClipInfo, examine_clip
from rivals.prediction import LabelScorer
from video.clip_paths import require_local
from video.clips import clip_sha256

MOMENTS_PER_BEAT = 16  # between two signs of life


@dataclass(frozen=True)
class RivalTagger:
    """Tags clips with a trained system.

    Attributes:
        scorer: The system.
        taxonomy: Actors and labels.
        config: The settings that it was created from.
        taxonomy_sha256: Of the taxonomy's file.
    """

    scorer: LabelScorer
    taxonomy: Taxonomy
    config: TaggerConfig
    taxonomy_sha256: str

    @classmethod
    def from_config(cls, config: TaggerConfig) -> Self:
        """Load the system that a configuration names.

        Raises:
            UserError: If its file is missing or wrong, or has other labels than the taxonomy.
        """
        taxonomy = load_taxonomy(config.taxonomy)
        scorer = open_scorer(config.system or "", taxonomy, config)
        return cls(scorer, taxonomy, config, sha256_file(config.taxonomy))

    @property
    def label_threshold(self) -> float:
        """Probability from which a label is said: the system's own."""
        return self.scorer.threshold

    @property
    def weights(self) -> Weights:
        """SHA-256 of the system's file; there is no detector and no gate file."""
        return Weights("", "", {self.scorer.name: self.scorer.sha256})

    @property
    def settings(self) -> dict[str, Any]:
        """The other settings that determine a result, by name."""
        return {
            "system": self.scorer.name,
            "look_every": self.config.sample_every_seconds,
            "label_threshold": self.label_threshold,
            "taxonomy": self.taxonomy_sha256,
        }

    def describe_weights(self) -> str:
        """Describe in one line what is used."""
        return self.scorer.describe()

    def tag(self, clip: Path | str) -> ClipResult:
        """Tag one clip.

        Raises:
            ClipError: If the clip cannot be read at all.
        """
        require_local(str(clip))
        stopwatch, path = Stopwatch(), Path(clip)
        info = examine_clip(path)
        moments = info.moments(self.config.sample_every_seconds)
        scores = self._score(info, moments)
        probabilities = clip_probabilities(scores)
        said = self.taxonomy.decode(probabilities >= self.label_threshold)
        seconds = info.time_seconds[moments]
        labels = [self._tagged_label(name, probabilities, scores, seconds, info.duration_seconds) for name in said]
        return ClipResult(
            video=str(clip),
            sha256=clip_sha256(path),
            status="truncated" if info.truncated else "ok",
            error=info.truncated or None,
            weights=self.weights,
            frames=info.frames,
            fps=round(info.frames / info.duration_seconds, 3) if info.duration_seconds else 0.0,
            duration_seconds=round(info.duration_seconds, 3),
            labels=tuple(sorted(labels, key=lambda label: -label.score)),
            scores=dict(zip(self.taxonomy.label_names, np.round(probabilities, 4).tolist(), strict=True)),
            timeline=self._timeline(said, scores, seconds),
            timing={"total_seconds": round(stopwatch.seconds(), 3)},
        )

    def tag_all(self, clips: Iterable[Path]) -> Iterator[TaggedClip]:
        """Tag clips in order; one that cannot be read gives a result with status `error` and the reason."""
        for clip in clips:
            try:
                result = self.tag(clip)
            except ClipError as reason:
                result = ClipResult(str(clip), None, "error", str(reason), self.weights)
            yield TaggedClip(result, None)

    def _score(self, info: ClipInfo, moments: list[int]) -> NDArray[np.float32]:
        """Return the probability of every label at some frames, and show that the work goes on."""
        parts = []
        for start in range(0, len(moments), MOMENTS_PER_BEAT):
            parts.append(self.scorer.score(info, moments[start : start + MOMENTS_PER_BEAT]))
            beat()
        return np.concatenate(parts)

    def _tagged_label(
        self,
        name: str,
        probabilities: NDArray[np.float64],
        scores: NDArray[np.float32],
        seconds: NDArray[np.float64],
        duration_seconds: float,
    ) -> TaggedLabel:
        """Find out when a label applies."""
        label = self.taxonomy.label(name)
        score = float(probabilities[label.index])
        every, threshold = self.config.sample_every_seconds, min(self.label_threshold, score)
        segments = find_segments(seconds, scores[:, label.index], threshold, every, duration_seconds)
        return TaggedLabel(name, label.id, round(score, 4), segments)

    def _timeline(
        self, said: tuple[str, ...], scores: NDArray[np.float32], seconds: NDArray[np.float64]
    ) -> dict[str, Timeline]:
        """Return the scores over time of the labels of every actor of which one is said."""
        when, found = tuple(np.round(seconds, 3).tolist()), {}
        for name in dict.fromkeys(self.taxonomy.label(label).actor for label in said):
            labels = self.taxonomy.actor(name).labels
            rows = np.round(scores[:, [label.index for label in labels]].T.astype(float), 3).tolist()
            found[name] = Timeline(when, {label.name: tuple(row) for label, row in zip(labels, rows, strict=True)})
        return found
