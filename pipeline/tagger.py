"""The tagger: both stages and the gate between them, for use from Python and by every command.

from pipeline.config import TaggerConfig
from pipeline.tagger import ActorActionTagger

tagger = ActorActionTagger.from_config(TaggerConfig())
result = tagger.tag("clip.mp4")
"""

import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from a2d.taxonomy import Taxonomy, load_taxonomy
from action_heads.label_decision import decide_labels, to_probabilities
from action_heads.prediction import ActionHeads
from actor_detector.detections import ClipDetections
from actor_detector.motion.features import motion_features
from common.downloads import KNOWN_WEIGHTS
from common.errors import ClipError
from common.files import sha256_file
from pipeline.cached_detector import CachedDetector, DetectedClip, UnreadableClip
from pipeline.config import EMBEDDED_HEADS, TaggerConfig
from pipeline.frame_sampling import sample_frames
from pipeline.known_detectors import EMBEDDED, RECOMMENDED
from pipeline.manifest import MANIFEST_FILE, load_manifest
from pipeline.results import ActorEvidence, ClipResult, TaggedLabel, Timeline, Weights
from pipeline.segments import find_segments
from pipeline.streaming_heads import ActorPredictions, StreamingHeads
from thresholds.gates import Gates, check_gates, load_gates
from video.clips import read_frames_at

DECODED_AT_ONCE = 32  # frames


@dataclass(frozen=True)
class TaggedClip:
    """What a clip shows, and what stage 1 saw in it.

    Attributes:
        result: Of any status.
        detections: Every box of every frame; None where the clip cannot be read.
    """

    result: ClipResult
    detections: ClipDetections | None


@dataclass(frozen=True)
class ActorPredictions:
    """What one actor's head says of a clip, look by look.

    Attributes:
        frame_index: Frames looked at, from 0, rising, shape (K,), int64.
        time_seconds: When each is shown, shape (K,).
        logits: Shape (K, outputs).
    """

    frame_index: NDArray[np.int64]
    time_seconds: NDArray[np.float64]
    logits: NDArray[np.float32]

    @property
    def probabilities(self) -> NDArray[np.float32]:
        """Of each look, shape (K, outputs), in [0, 1]."""
        return to_probabilities(self.logits)

    @property
    def together(self) -> NDArray[np.float32]:
        """Of the clip, shape (outputs,), in [0, 1]: of the mean of the looks' logits."""
        return to_probabilities(self.logits.mean(axis=0))


@dataclass(frozen=True)
class Stopwatch:
    """Runs from when it is made."""

    started: float = field(default_factory=time.perf_counter)

    def seconds(self) -> float:
        """Give the seconds since then."""
        return time.perf_counter() - self.started


@dataclass(frozen=True)
class ActorActionTagger:
    """Says who does what in a clip, and why it says so.

    Attributes:
        detector: Stage 1, with its cache.
        gates: From which presence ratio each actor counts, in the taxonomy's order.
        heads: Stage 2.
        taxonomy: Actors and labels.
        config: The settings that it was made from.
    """

    detector: CachedDetector
    gates: Gates
    heads: ActionHeads
    taxonomy: Taxonomy
    config: TaggerConfig

    @classmethod
    def from_config(cls, config: TaggerConfig) -> Self:
        """Load everything that a configuration names, and check that it fits together.

        Raises:
            UserError: If a file is missing or wrong, one that the project ships was changed, or the gates were made
                for another detector (see `TaggerConfig.force`); one line that says what and what to do.
        """
        taxonomy = load_taxonomy(config.taxonomy)
        manifest = load_manifest(MANIFEST_FILE)
        detector = CachedDetector.from_config(config, taxonomy)
        manifest.verify(detector.path, detector.identity.sha256)
        manifest.verify(detector.path.with_suffix(".yaml"))
        gates_file = config.gates_file
        manifest.verify(gates_file)
        gates = load_gates(gates_file)
        gates = check_gates(
            gates,
            taxonomy.actor_names,
            detector.identity,
            str(gates_file),
            force=config.force,
            published=config.detector in KNOWN_WEIGHTS,
        )
        for pattern in ("models/heads/*", "models/trunk_*"):
            manifest.verify_matching(pattern)
        heads = ActionHeads(config.heads, taxonomy, detector.runtime, EMBEDDED_HEADS)
        return cls(detector, gates, heads, taxonomy, config)

    @property
    def weights(self) -> Weights:
        """SHA-256 of everything that decides a result."""
        return Weights(self.detector.identity.sha256 or "", self.gates.sha256 or "", self.heads.sha256)

    @property
    def settings(self) -> dict[str, Any]:
        """What else decides a result, by name."""
        return {
            "image_size": self.detector.image_size,
            "confidence": self.detector.confidence,
            "look_every": self.config.look_every,
            "label_threshold": self.config.label_threshold,
            "shortcuts": self.config.shortcuts.to_dict(),
            "runtime": self.detector.runtime.name,
            "taxonomy": sha256_file(self.config.taxonomy),
        }

    def describe_weights(self) -> str:
        """Say in one line what is used."""
        line = (
            f"using detector {self.detector.path} ({self.weights.detector[:8]}) at image size "
            f"{self.detector.image_size}, confidence {self.detector.confidence:g}, gates {self.config.gates_file} "
            f"({self.weights.thresholds[:8]}), {self.heads.describe()}"
        )
        if self.config.detector == EMBEDDED:
            line += f"; --detector {RECOMMENDED} is the better eye where it can be had"
        return line

    def tag(self, clip: Path | str) -> ClipResult:
        """Say who does what in one clip.

        Args:
            clip: A video file, or a folder of PNG frames.

        Returns:
            The result; its status is `truncated` where the clip breaks off, and what could be decoded is tagged.

        Raises:
            ClipError: If the clip cannot be read at all.
        """
        stopwatch = Stopwatch()
        (detected,) = self.look_at([Path(clip)])
        if isinstance(detected, UnreadableClip):
            raise detected.error
        return self._tag(detected, stopwatch)

    def tag_all(self, clips: Iterable[Path]) -> Iterator[TaggedClip]:
        """Tag clips without a pause between them: the detector is at the next clip while the heads are at this one.

        Args:
            clips: Video files or folders of PNG frames; are asked for in another thread, somewhat ahead.

        Yields:
            One a clip, in order; for a clip that cannot be read, a result with status `error` and the reason.
        """
        stopwatch = Stopwatch()
        for detected in self.look_at(clips):
            try:
                if isinstance(detected, UnreadableClip):
                    raise detected.error
                yield TaggedClip(self._tag(detected, stopwatch), detected.detections)
            except ClipError as reason:
                yield TaggedClip(ClipResult(str(detected.clip), None, "error", str(reason), self.weights), None)
            stopwatch = Stopwatch()

    def look_at(self, clips: Iterable[Path]) -> Iterator[DetectedClip | UnreadableClip]:
        """Run stage 1 on clips, and show their frames to the heads meanwhile; see `CachedDetector.detect_all`."""
        return self.detector.detect_all(clips, self._watcher)

    def _watcher(self) -> StreamingHeads:
        return StreamingHeads(self.heads, self.taxonomy, self.detector.confidence, self.config.look_every)

    def _tag(self, detected: DetectedClip, stopwatch: "Stopwatch") -> ClipResult:
        detections = detected.detections
        detect_seconds = stopwatch.seconds()
        ratios = detections.presence_ratios(len(self.taxonomy.actors))
        present = self.present_actors(detections)
        looks = self.look_at_actors(detected, self.choose_frames(detections))
        scores = self.score_actions(looks)
        said = self._labels(scores, looks, detections.duration_seconds)
        total_seconds = stopwatch.seconds()
        return ClipResult(
            video=str(detected.clip),
            sha256=detected.sha256,
            status="truncated" if detections.truncated else "ok",
            error=detections.truncated or None,
            weights=self.weights,
            frames=detections.frames,
            fps=round(detections.fps, 3),
            duration_seconds=round(detections.duration_seconds, 3),
            actors=self._evidence(ratios, present, looks),
            labels=said,
            scores={name: round(float(value), 4) for name, value in scores.items()},
            timeline={name: self._timeline(name, own) for name, own in looks.items()},
            timing={
                "detect_seconds": round(detect_seconds, 3),
                "heads_seconds": round(total_seconds - detect_seconds, 3),
                "total_seconds": round(total_seconds, 3),
                "detections_from_cache": detected.from_cache,
            },
        )

    def present_actors(self, detections: ClipDetections) -> NDArray[np.bool_]:
        """Apply the gates to one clip, giving shape (actors,)."""
        return self.gates.present(detections.presence_ratios(len(self.taxonomy.actors)))

    def sample_frames(self, detections: ClipDetections) -> dict[str, tuple[int, ...]]:
        """Choose what each present actor's head looks at: frames that show the actor, one in every stretch of the clip.

        Args:
            detections: Of one clip.

        Returns:
            Frame numbers, from 0, by present actor. A gate of 0 lets in actors that were never seen; their heads look
            at frames of the whole clip.
        """
        present = self.present_actors(detections)
        return {
            actor.name: sample_frames(detections, actor.index, self.config.look_every)
            for actor in self.taxonomy.actors
            if present[actor.index]
        }

    def look_at_actors(
        self, detected: DetectedClip, frames: Mapping[str, Sequence[int]], within_seconds: float = 0.0
    ) -> dict[str, ActorPredictions]:
        """Ask the heads of some actors about some frames of a clip, as far as they have not seen them already.

        Args:
            detected: The clip; heads that look at crops see the actor's most confident box.
            frames: Frame numbers, from 0, rising, by actor.
            within_seconds: Where a frame has no box of the actor, its box in a frame so near will do.

        Returns:
            What the heads say, by actor.

        Raises:
            ClipError: If a frame cannot be read.
        """
        seen = detected.watcher.looks() if isinstance(detected.watcher, StreamingHeads) else {}
        found = {
            name: seen[name]
            for name, wanted in frames.items()
            if name in seen and seen[name].frame_index.tolist() == list(wanted)
        }
        missing = {name: wanted for name, wanted in frames.items() if name not in found}
        if missing:
            found |= self._look_again(detected, missing, within_seconds)
        scored = {}
        for name in frames:
            motion = motion_features(detected.detections, self.taxonomy.actor(name).index)
            logits = self.heads.add_motion(name, found[name].logits, motion)
            scored[name] = ActorPredictions(found[name].frame_index, found[name].time_seconds, logits)
        return scored

    def _look_again(
        self, detected: DetectedClip, frames: Mapping[str, Sequence[int]], within_seconds: float
    ) -> dict[str, ActorPredictions]:
        """Decode frames that nobody kept, and show them to the heads, a few at a time."""
        watcher = self._watcher()
        boxes: dict[int, dict[str, NDArray[np.float32]]] = defaultdict(dict)
        for name, wanted in frames.items():
            best = detected.detections.best_boxes(self.taxonomy.actor(name).index, wanted, within_seconds)
            for index, box in zip(wanted, best, strict=True):
                boxes[index][name] = box
        indices = sorted(boxes)
        for start in range(0, len(indices), DECODED_AT_ONCE):
            some = indices[start : start + DECODED_AT_ONCE]
            batch = read_frames_at(detected.clip, some, self.config.loop_filter)
            for index, time_seconds, image in zip(some, batch.time_seconds, batch.images, strict=True):
                watcher.look(index, float(time_seconds), image, boxes[index])
        return watcher.looks()

    def score_actions(self, looks: Mapping[str, ActorPredictions]) -> dict[str, float]:
        """Put what the heads say of some actors together.

        Returns:
            By label, for all labels of those actors: the probability, from the mean of the looks' logits, in [0, 1].
        """
        scores: dict[str, float] = {}
        for name, own in looks.items():
            scores |= dict(zip(self.taxonomy.actor(name).label_names, map(float, own.together), strict=True))
        return scores

    def say(self, scores: Mapping[str, float]) -> NDArray[np.bool_]:
        """Read labels out of scores.

        Args:
            scores: By label, for all labels of the actors that are present.

        Returns:
            Shape (labels,): True where the label is said.
        """
        row = np.zeros(len(self.taxonomy.labels), dtype=bool)
        for actor in self.taxonomy.actors:
            if actor.label_names[0] in scores:
                own = np.array([scores[name] for name in actor.label_names])
                row[actor.label_indices] = decide_labels(own, self.config.label_threshold)
        return row

    def _evidence(
        self, ratios: NDArray[np.float64], present: NDArray[np.bool_], looks: Mapping[str, ActorPredictions]
    ) -> dict[str, ActorEvidence]:
        return {
            actor.name: ActorEvidence(
                presence=round(float(ratios[actor.index]), 4),
                gate=round(float(self.gates.values[actor.index]), 4),
                present=bool(present[actor.index]),
                margin=round(float(ratios[actor.index] - self.gates.values[actor.index]), 4),
                frames=tuple(looks[actor.name].frame_index.tolist()) if actor.name in looks else (),
            )
            for actor in self.taxonomy.actors
        }

    def _labels(
        self, scores: Mapping[str, float], looks: Mapping[str, ActorPredictions], duration_seconds: float
    ) -> tuple[TaggedLabel, ...]:
        labels = []
        for name in self.taxonomy.decode(self.say(scores)):
            label = self.taxonomy.label(name)
            own = looks[label.actor]
            column = own.probabilities[:, self.taxonomy.actor(label.actor).label_names.index(name)]
            threshold = min(self.config.label_threshold, scores[name])
            segments = find_segments(own.time_seconds, column, threshold, self.config.look_every, duration_seconds)
            labels.append(TaggedLabel(name, label.id, round(scores[name], 4), segments))
        return tuple(sorted(labels, key=lambda label: -label.score))

    def _timeline(self, actor_name: str, looks: ActorPredictions) -> Timeline:
        columns = np.round(looks.probabilities.T.astype(float), 3).tolist()
        return Timeline(
            tuple(np.round(looks.time_seconds, 3).tolist()),
            {name: tuple(own) for name, own in zip(self.taxonomy.actor(actor_name).label_names, columns, strict=True)},
        )
