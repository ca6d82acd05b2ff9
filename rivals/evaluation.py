"""Scoring of a trained system on a split: the challenge's metric, with its 95 % interval."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from a2d.confidence_intervals import bootstrap_f1
from a2d.formats.base import Sample
from a2d.metrics import MultilabelCounts, count
from a2d.skipped_samples import SkippedSamples
from a2d.taxonomy import Taxonomy
from common.errors import ClipError
from common.progress import Progress, no_progress
from rivals.frames import ClipInfo, examine_clip
from rivals.prediction import LabelScorer

EVERY_SECONDS = 0.5


@dataclass(frozen=True)
class SystemPredictions:
    """The predictions for every sample, and the ground truth.

    Attributes:
        scores: Probability of every label, shape (samples, labels), in [0, 1]; NaN where the clip cannot be read.
        predicted: Labels that are said, same shape.
        actual: True labels, same shape.
        groups: Source of each sample.
    """

    scores: NDArray[np.float64]
    predicted: NDArray[np.bool_]
    actual: NDArray[np.bool_]
    groups: tuple[str, ...]

    @property
    def unreadable(self) -> NDArray[np.bool_]:
        """Samples whose clip cannot be read, shape (samples,)."""
        return np.asarray(np.isnan(self.scores).any(axis=1), dtype=bool)

    @property
    def counts(self) -> MultilabelCounts:
        """Counts from which every score follows."""
        return count(self.predicted, self.actual)

    def to_dict(self) -> dict[str, Any]:
        """Return the sample-averaged scores, with the interval of the F1, for a file's header."""
        interval = bootstrap_f1(self.predicted, self.actual, self.groups, seed=0)
        return {
            "samples": len(self.actual),
            **self.counts.sample_averaged.to_dict(),
            "f1_interval": [round(bound, 4) for bound in interval],
        }


def clip_probabilities(scores: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return the probability of each label in a clip: the mean over its moments, (moments, labels) to (labels,)."""
    return scores.astype(np.float64).mean(axis=0)


def score_sample(
    scorer: LabelScorer, sample: Sample, info: ClipInfo, every_seconds: float = EVERY_SECONDS
) -> NDArray[np.float64]:
    """Return the probability of each label for a sample, shape (labels,).

    A labelled frame is looked at alone (with the frames around it, if the system takes several); a labelled clip at
    moments that are spread over it, as it is tagged.

    Args:
        scorer: A trained system.
        sample: The sample.
        info: Its clip.
        every_seconds: Longest time between two moments of a clip.

    Raises:
        ClipError: If the clip cannot be read, or lacks the frame.
    """
    if sample.frame_index is not None and sample.frame_index >= info.frames:
        raise ClipError(f"{info.clip}: there is no frame {sample.frame_index}: it has {info.frames} frames")
    moments = info.moments(every_seconds) if sample.frame_index is None else [sample.frame_index]
    return clip_probabilities(scorer.score(info, moments))


def predict_samples(
    scorer: LabelScorer,
    samples: Sequence[Sample],
    taxonomy: Taxonomy,
    failures: SkippedSamples,
    progress: Progress = no_progress,
    every_seconds: float = EVERY_SECONDS,
) -> SystemPredictions:
    """Predict the labels of samples; for a clip that cannot be read, nothing is predicted.

    Args:
        scorer: A trained system.
        samples: What to predict.
        taxonomy: Actors and labels.
        failures: Collects the samples whose clip cannot be read, or not to its end.
        progress: Shows the progress over the clips.
        every_seconds: As for `score_sample`.

    Raises:
        DatasetError: If `failures` is strict, and there is one.
    """
    rows: dict[Path, list[int]] = defaultdict(list)
    for row, sample in enumerate(samples):
        rows[sample.clip].append(row)
    scores = np.full((len(samples), len(taxonomy.labels)), np.nan)
    for clip in progress(list(rows), "scoring", "clip"):
        info: ClipInfo | None = None
        for row in rows[clip]:
            where = samples[row].where
            try:
                info = info or examine_clip(clip)
                scores[row] = score_sample(scorer, samples[row], info, every_seconds)
            except ClipError as reason:
                failures.add(where, f"{reason}; nothing is predicted for it")
                continue
            if info.truncated:
                failures.add(where, f"{clip}: {info.truncated}; scored as far as it goes")
    actual = np.stack([taxonomy.encode(sample.labels) for sample in samples])
    groups = tuple(sample.group for sample in samples)
    return SystemPredictions(scores, np.nan_to_num(scores, nan=-1.0) >= scorer.threshold, actual, groups)
