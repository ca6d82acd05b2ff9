"""The tagger: both stages and the gates between them, for use from Python and by every command.

>>> from pipeline import ActorActionTagger, TaggerConfig
>>> tagger = ActorActionTagger.from_config(TaggerConfig())  # doctest: +SKIP
>>> result = tagger.tag("clip.mp4")  # doctest: +SKIP
"""

from collections import defaultdict, deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from a2d.taxonomy import Taxonomy, load_taxonomy
from action_heads.label_decision import decide_labels
from action_heads.prediction import ActionHeads
from actor_detector.clip_detection import OnFrames
from actor_detector.detections import ClipDetections
from actor_detector.motion.features import motion_features
from common.downloads import KNOWN_WEIGHTS
from common.errors import ClipError
from common.files import sha256_file
from common.stopwatch import Stopwatch
from pipeline.cached_detector import CachedDetector, DetectedClip, UnreadableClip
from pipeline.config import EMBEDDED_HEADS, TaggerConfig
from pipeline.frame_sampling import sample_frames
from pipeline.known_detectors import EMBEDDED, RECOMMENDED
from pipeline.manifest import MANIFEST_FILE, load_manifest
from pipeline.results import ActorEvidence, ClipResult, TaggedLabel, Timeline, Weights
from pipeline.segments import find_segments
from pipeline.streaming_heads import ActorPredictions, StreamingHeads
from thresholds.gates import Gates, PresenceDecision, check_gates, load_gates
from video.clips import read_frames_at

FRAMES_PER_READ = 32


@dataclass(frozen=True)
class TaggedClip:
    """The result of one clip, and what stage 1 detected in it.

    Attributes:
        result: Of any status.
        detections: Every box of every frame; None if the clip cannot be read.
    """

    result: ClipResult
    detections: ClipDetections | None


@dataclass(frozen=True)
class ActorActionTagger:
    """Tags clips: who does what in each, with the evidence.

    Attributes:
        detector: Stage 1, with its cache.
        gates: Minimum presence ratio of each actor, in the taxonomy's order.
        heads: Stage 2.
        taxonomy: Actors and labels.
        config: The settings that it was created from.
        taxonomy_sha256: Of the taxonomy's file.
    """

    detector: CachedDetector
    gates: Gates
    heads: ActionHeads
    taxonomy: Taxonomy
    config: TaggerConfig
    taxonomy_sha256: str

    @classmethod
    def from_config(cls, config: TaggerConfig) -> Self:
        """Load everything that a configuration names, and check that it fits together.

        Raises:
            UserError: If a file is missing or wrong, one that the project ships was changed, or the gates were tuned
                for another detector (see `TaggerConfig.force`); one line that names the problem and the remedy.
        """
        taxonomy = load_taxonomy(config.taxonomy)
        manifest = load_manifest(MANIFEST_FILE)
        detector = CachedDetector.from_config(config, taxonomy)
        manifest.verify(detector.path, detector.sha256)
        manifest.verify(detector.path.with_suffix(".yaml"))
        manifest.verify(config.gates_file)
        gates = check_gates(
            load_gates(config.gates_file),
            taxonomy.actor_names,
            detector.identity,
            str(config.gates_file),
            force=config.force,
            published=config.detector in KNOWN_WEIGHTS,
        )
        for pattern in ("models/heads/*", "models/trunk_*"):
            manifest.verify_matching(pattern)
        heads = ActionHeads(config.heads, taxonomy, detector.runtime, EMBEDDED_HEADS)
        return cls(detector, gates, heads, taxonomy, config, sha256_file(config.taxonomy))

    @property
    def weights(self) -> Weights:
        """SHA-256 of every file that determines a result."""
        return Weights(self.detector.sha256, self.gates.sha256 or "", self.heads.sha256)

    @property
    def settings(self) -> dict[str, Any]:
        """The other settings that determine a result, by name, as `run.json` and `scores.json` record them."""
        return {
            "image_size": self.detector.settings.image_size,
            "confidence": self.detector.settings.confidence,
            "look_every": self.config.sample_every_seconds,
            "label_threshold": self.config.label_threshold,
            "shortcuts": self.config.speed_options.to_dict(),
            "runtime": self.detector.runtime.name,
            "taxonomy": self.taxonomy_sha256,
        }

    def describe_weights(self) -> str:
        """Describe in one line what is used."""
        line = (
            f"using detector {self.detector.path} ({self.weights.detector[:8]}) at image size "
            f"{self.detector.settings.image_size}, confidence {self.detector.settings.confidence:g}, gates "
            f"{self.config.gates_file} ({self.weights.thresholds[:8]}), {self.heads.describe()}"
        )
        if self.config.detector == EMBEDDED:
            line += f"; --detector {RECOMMENDED} is recommended where it can be downloaded"
        return line

    def tag(self, clip: Path | str) -> ClipResult:
        """Tag one clip.

        Args:
            clip: A video file, or a folder of PNG frames.

        Returns:
            The result; its status is `truncated` if the clip ends early, and what could be decoded is tagged.

        Raises:
            ClipError: If the clip cannot be read at all.
        """
        stopwatch = Stopwatch()
        ((detected, streamed),) = self.detect([Path(clip)])
        if isinstance(detected, UnreadableClip):
            raise detected.error
        return self._tag(detected, streamed, stopwatch)

    def tag_all(self, clips: Iterable[Path]) -> Iterator[TaggedClip]:
        """Tag clips without a pause between them: the detector processes the next clip while the heads finish this one.

        Args:
            clips: Video files or folders of PNG frames; consumed in another thread, somewhat ahead.

        Yields:
            One result per clip, in order; for a clip that cannot be read, one with status `error` and the reason.
        """
        stopwatch = Stopwatch()
        for detected, streamed in self.detect(clips):
            yield self._tag_or_report(detected, streamed, stopwatch)
            stopwatch = Stopwatch()

    def detect(self, clips: Iterable[Path]) -> Iterator[tuple[DetectedClip | UnreadableClip, StreamingHeads]]:
        """Run stage 1 on clips, and give the heads their frames on the way.

        Args:
            clips: As for `tag_all`.

        Yields:
            One pair per clip, in order: the detections, and the heads that were given its frames; they were given none
            if the detections came from the cache.
        """
        started: deque[StreamingHeads] = deque()

        def start_clip() -> OnFrames:
            started.append(self._new_streaming_heads())
            return started[-1].on_frames

        for detected in self.detector.detect_all(clips, start_clip):
            yield detected, started.popleft()

    def decide_presence(self, detections: ClipDetections) -> PresenceDecision:
        """Apply the gates to one clip."""
        return self.gates.decide(detections.presence_ratios(len(self.taxonomy.actors)))

    def sample_frames(self, detections: ClipDetections, decision: PresenceDecision) -> dict[str, tuple[int, ...]]:
        """Sample the frames for each present actor's head: frames that show the actor, one in every interval.

        Args:
            detections: Of one clip.
            decision: Which actors are present in it.

        Returns:
            Frame indices, from 0, by present actor. A gate of 0 also passes actors that were never detected; their
            heads are given frames of the whole clip.
        """
        return {
            actor.name: sample_frames(detections, actor.index, self.config.sample_every_seconds)
            for actor in self.taxonomy.actors
            if decision.present[actor.index]
        }

    def predict_actions(
        self,
        detected: DetectedClip,
        frames: Mapping[str, Sequence[int]],
        streamed: StreamingHeads | None = None,
        box_within_seconds: float = 0.0,
    ) -> dict[str, ActorPredictions]:
        """Predict the actions of some actors from some frames of a clip.

        Args:
            detected: The clip; heads that are given crops see the actor's most confident box.
            frames: Frame indices, from 0, ascending, by actor.
            streamed: Heads that were given frames of the clip while it was decoded; only others are decoded again.
            box_within_seconds: If a frame has no box of the actor, its box in a frame this near is used.

        Returns:
            The predictions by actor.

        Raises:
            ClipError: If a frame cannot be read.
        """
        available = streamed.predictions() if streamed else {}
        found = {
            name: available[name]
            for name, wanted in frames.items()
            if name in available and available[name].frame_index.tolist() == list(wanted)
        }
        missing = {name: wanted for name, wanted in frames.items() if name not in found}
        if missing:
            found |= self._decode_and_predict(detected, missing, box_within_seconds)
        return {name: self._add_motion(name, found[name], detected.detections) for name in frames}

    def score_labels(self, predictions: Mapping[str, ActorPredictions]) -> dict[str, float]:
        """Return the probability of every label of the given actors for the clip, by label, in [0, 1]."""
        scores: dict[str, float] = {}
        for name, prediction in predictions.items():
            labels = self.taxonomy.actor(name).label_names
            scores |= dict(zip(labels, map(float, prediction.clip_probabilities), strict=True))
        return scores

    def predict_labels(self, scores: Mapping[str, float]) -> NDArray[np.bool_]:
        """Decide which labels to predict.

        Args:
            scores: By label, for all labels of the actors that are present.

        Returns:
            Shape (labels,): True for each predicted label.
        """
        row = np.zeros(len(self.taxonomy.labels), dtype=bool)
        for actor in self.taxonomy.actors:
            if actor.label_names[0] in scores:
                probabilities = np.array([scores[name] for name in actor.label_names])
                row[actor.label_indices] = decide_labels(probabilities, self.config.label_threshold)
        return row

    def _new_streaming_heads(self) -> StreamingHeads:
        confidence = self.detector.settings.confidence
        return StreamingHeads(self.heads, self.taxonomy, confidence, self.config.sample_every_seconds)

    def _decode_and_predict(
        self, detected: DetectedClip, frames: Mapping[str, Sequence[int]], box_within_seconds: float
    ) -> dict[str, ActorPredictions]:
        """Decode frames that the heads were not given yet, and predict from them, a few at a time."""
        heads = self._new_streaming_heads()
        boxes: dict[int, dict[str, NDArray[np.float32]]] = defaultdict(dict)
        for name, wanted in frames.items():
            best = detected.detections.best_boxes(self.taxonomy.actor(name).index, wanted, box_within_seconds)
            for frame_index, box in zip(wanted, best, strict=True):
                boxes[frame_index][name] = box
        indices = sorted(boxes)
        for start in range(0, len(indices), FRAMES_PER_READ):
            some = indices[start : start + FRAMES_PER_READ]
            batch = read_frames_at(detected.clip, some, self.config.loop_filter)
            for frame_index, time_seconds, image in zip(some, batch.time_seconds, batch.images, strict=True):
                heads.submit(frame_index, float(time_seconds), image, boxes[frame_index])
        return heads.predictions()

    def _add_motion(self, name: str, prediction: ActorPredictions, detections: ClipDetections) -> ActorPredictions:
        motion = motion_features(detections, self.taxonomy.actor(name).index)
        return replace(prediction, logits=self.heads.add_motion(name, prediction.logits, motion))

    def _tag_or_report(
        self, detected: DetectedClip | UnreadableClip, streamed: StreamingHeads, stopwatch: Stopwatch
    ) -> TaggedClip:
        """Tag a clip, or report why that is impossible."""
        if isinstance(detected, UnreadableClip):
            return self._report(detected.clip, detected.error)
        try:
            return TaggedClip(self._tag(detected, streamed, stopwatch), detected.detections)
        except ClipError as reason:
            return self._report(detected.clip, reason)

    def _report(self, clip: Path, reason: ClipError) -> TaggedClip:
        return TaggedClip(ClipResult(str(clip), None, "error", str(reason), self.weights), None)

    def _tag(self, detected: DetectedClip, streamed: StreamingHeads, stopwatch: Stopwatch) -> ClipResult:
        detections = detected.detections
        detect_seconds = stopwatch.seconds()
        decision = self.decide_presence(detections)
        predictions = self.predict_actions(detected, self.sample_frames(detections, decision), streamed)
        scores = self.score_labels(predictions)
        labels = self._labels(scores, predictions, detections.duration_seconds)
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
            actors={
                actor.name: ActorEvidence.from_decision(decision, actor.index, predictions.get(actor.name))
                for actor in self.taxonomy.actors
            },
            labels=labels,
            scores={name: round(float(value), 4) for name, value in scores.items()},
            timeline={
                name: Timeline.from_predictions(prediction, self.taxonomy.actor(name).label_names)
                for name, prediction in predictions.items()
            },
            timing={
                "detect_seconds": round(detect_seconds, 3),
                "heads_seconds": round(total_seconds - detect_seconds, 3),
                "total_seconds": round(total_seconds, 3),
                "detections_from_cache": detected.from_cache,
            },
        )

    def _labels(
        self, scores: Mapping[str, float], predictions: Mapping[str, ActorPredictions], duration_seconds: float
    ) -> tuple[TaggedLabel, ...]:
        labels = []
        for name in self.taxonomy.decode(self.predict_labels(scores)):
            label = self.taxonomy.label(name)
            prediction = predictions[label.actor]
            column = prediction.probabilities[:, self.taxonomy.actor(label.actor).label_names.index(name)]
            threshold = min(self.config.label_threshold, scores[name])
            segments = find_segments(
                prediction.time_seconds, column, threshold, self.config.sample_every_seconds, duration_seconds
            )
            labels.append(TaggedLabel(name, label.id, round(scores[name], 4), segments))
        return tuple(sorted(labels, key=lambda label: -label.score))
