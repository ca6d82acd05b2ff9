"""The tagger: both stages and the gates between them, for use from Python and by every command.

>>> from pipeline import ActorActionTagger, TaggerConfig
>>> tagger = ActorActionTagger.from_config(TaggerConfig())  # doctest: +SKIP
>>> result = tagger.tag("clip.mp4")  # doctest: +SKIP
"""

from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from a2d.taxonomy import Taxonomy, load_taxonomy
from action_heads.prediction import ActionHeads
from actor_detector.detections import ClipDetections
from common.downloads import find_weights
from common.errors import ClipError
from common.files import sha256_file
from common.stopwatch import Stopwatch
from inference.runtime import AUTO
from pipeline.action_prediction import ActionPredictor
from pipeline.actor_predictions import ActorPredictions
from pipeline.cached_detector import CachedDetector, DetectedClip, UnreadableClip
from pipeline.clip_windows import MAX_WINDOW_SECONDS, ClipWindows, clip_presence_ratios
from pipeline.config import TaggerConfig
from pipeline.frame_sampling import sample_frames
from pipeline.known_detectors import EMBEDDED, RECOMMENDED
from pipeline.known_heads import EMBEDDED_HEADS
from pipeline.label_choice import choose_labels
from pipeline.manifest import MANIFEST_FILE, load_manifest
from pipeline.results import ActorEvidence, ClipResult, Looks, TaggedLabel, Timeline, Weights
from pipeline.segments import find_segments
from pipeline.streaming_heads import StreamingHeads
from pipeline.until_sure import CALIBRATION_FILE, UntilSure
from thresholds.gates import Gates, PresenceDecision, check_gates, load_gates
from video.clip_paths import require_local


@dataclass(frozen=True)
class TaggedClip:
    """The result of one clip, and what stage 1 detected in it.

    Attributes:
        result: Of any status.
        detections: Every box of every frame; None if the clip cannot be read.
        files: See `pipeline.supervision.messages.Tagged`.
    """

    result: ClipResult
    detections: ClipDetections | None
    files: Mapping[str, bytes] = field(default_factory=dict)


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
        detector = replace(CachedDetector.from_config(config, taxonomy), cross_fitted=False)
        manifest.verify(detector.path, detector.sha256)
        manifest.verify(detector.path.with_suffix(".yaml"))
        manifest.verify(config.gates_file)
        if detector.confirmer:
            manifest.verify(detector.confirmer.path, detector.confirmer.sha256)
        gates = check_gates(
            load_gates(config.gates_file),
            taxonomy.actor_names,
            detector.identity,
            str(config.gates_file),
            force=config.force,
            published=find_weights(config.detector) is not None,
        )
        if config.until_sure is not None:
            detector = replace(
                detector, until_sure=UntilSure.from_config(config, taxonomy, detector.identity, gates.values)
            )
            manifest.verify(CALIBRATION_FILE)
        for pattern in ("models/heads*", "models/trunk_*"):
            manifest.verify_matching(pattern)
        heads = ActionHeads(config.heads, taxonomy, detector.runtime, EMBEDDED_HEADS)
        return cls(detector, gates, heads, taxonomy, config, sha256_file(config.taxonomy))

    @cached_property
    def _predictor(self) -> ActionPredictor:
        config, confidence = self.config, self.detector.settings.confidence
        return ActionPredictor(self.heads, self.taxonomy, confidence, config.sample_every_seconds, config.loop_filter)

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
            "confirmation": self.detector.confirmer.sha256 if self.detector.confirmer else None,
            "look_every": self.config.sample_every_seconds,
            "window_seconds": MAX_WINDOW_SECONDS,
            "label_threshold": AUTO if self.config.label_threshold is None else self.config.label_threshold,
            "shortcuts": self.config.speed_options.to_dict(),
            "runtime": self.detector.runtime.name,
            "taxonomy": self.taxonomy_sha256,
        } | ({"until_sure": until_sure.key} if (until_sure := self.detector.until_sure) else {})

    def describe_weights(self) -> str:
        """Describe in one line what is used."""
        confirmer = self.detector.confirmer
        confirmed = f"boxes confirmed by {confirmer.path} ({confirmer.sha256[:8]}), " if confirmer else ""
        line = (
            f"using detector {self.detector.path} ({self.weights.detector[:8]}) at image size "
            f"{self.detector.settings.image_size}, confidence {self.detector.settings.confidence:g}, {confirmed}gates "
            f"{self.config.gates_file} ({self.weights.thresholds[:8]}), {self.heads.describe()}"
        )
        if until_sure := self.detector.until_sure:
            line += f"; {until_sure.describe()}"
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
        require_local(str(clip))
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

        def start_clip() -> StreamingHeads:
            started.append(self._predictor.new_streaming_heads(self.detector.confirmer))
            return started[-1]

        for detected in self.detector.detect_all(clips, start_clip):
            yield detected, started.popleft()

    def decide_presence(self, detections: ClipDetections) -> PresenceDecision:
        """Apply the gates to one clip: an actor is present if it is in one of the clip's windows."""
        return self.gates.decide(clip_presence_ratios(detections, len(self.taxonomy.actors)))

    def sample_frames(self, detections: ClipDetections, decision: PresenceDecision) -> dict[str, tuple[int, ...]]:
        """Sample the frames for each present actor's head: frames that show the actor, one in every interval.

        Of a long clip, only the windows in which the actor is present count.

        Args:
            detections: Of one clip.
            decision: Which actors are present in it.

        Returns:
            Frame indices, from 0, by present actor. A gate of 0 also passes actors that were never detected; their
            heads are given frames of the whole clip.
        """
        windows = ClipWindows.of_clip(detections)
        present = windows.presence_ratios(len(self.taxonomy.actors)) >= self.gates.values
        frames = {}
        for actor in self.taxonomy.actors:
            if decision.present[actor.index]:
                sampled = np.array(sample_frames(detections, actor.index, self.config.sample_every_seconds))
                frames[actor.name] = tuple(sampled[present[windows.index_of(sampled), actor.index]].tolist())
        return frames

    def predict_actions(
        self,
        detected: DetectedClip,
        frames: Mapping[str, Sequence[int]],
        streamed: StreamingHeads | None = None,
        box_within_seconds: float = 0.0,
    ) -> dict[str, ActorPredictions]:
        """Predict the actions of some actors from some frames of a clip, see `ActionPredictor.predict`."""
        return self._predictor.predict(detected, frames, streamed, box_within_seconds)

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
        return choose_labels(scores, self.taxonomy, self.config.label_threshold)

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
        labels = [
            self._tagged_label(
                name, scores[name], predictions[self.taxonomy.label(name).actor], detections.duration_seconds
            )
            for name in self.taxonomy.decode(self.predict_labels(scores))
        ]
        windows = ClipWindows.of_clip(detections)
        present_windows = windows.present_seconds(self.gates.values)
        detected_ratios: list[float] | list[None] = [None] * len(self.taxonomy.actors)
        if detected.unconfirmed is not None:
            detected_ratios = clip_presence_ratios(detected.unconfirmed, len(self.taxonomy.actors)).tolist()
        evidence = {
            actor.name: ActorEvidence.from_decision(
                decision,
                actor.index,
                predictions.get(actor.name),
                present_windows[actor.index],
                detected_ratios[actor.index],
                self._boxes_seen_by_head(detections, actor.index, predictions.get(actor.name)),
            )
            for actor in self.taxonomy.actors
        }
        intervals = detected.presence_intervals
        if intervals is not None:
            evidence = {name: evidence[name].within(row) for name, row in zip(evidence, intervals, strict=True)}
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
            actors=evidence,
            labels=tuple(sorted(labels, key=lambda label: -label.score)),
            scores={name: round(float(value), 4) for name, value in scores.items()},
            timeline={
                name: Timeline.from_predictions(prediction, self.taxonomy.actor(name).label_names)
                for name, prediction in predictions.items()
            },
            looks=None if intervals is None else Looks(len(detections.frame_index), self.config.until_sure or 0.0),
            timing={
                "detect_seconds": round(detect_seconds, 3),
                "heads_seconds": round(total_seconds - detect_seconds, 3),
                "total_seconds": round(total_seconds, 3),
                "detections_from_cache": detected.from_cache,
            },
        )

    def _boxes_seen_by_head(
        self, detections: ClipDetections, actor_index: int, predictions: ActorPredictions | None
    ) -> NDArray[np.float32] | None:
        """Return the actor's best box in each frame that its head was given, shape (K, 4), NaN for none."""
        return detections.best_boxes(actor_index, predictions.frame_index.tolist()) if predictions else None

    def _tagged_label(
        self, name: str, score: float, prediction: ActorPredictions, duration_seconds: float
    ) -> TaggedLabel:
        """Find out when a predicted label applies."""
        label = self.taxonomy.label(name)
        column = prediction.probabilities[:, self.taxonomy.actor(label.actor).label_names.index(name)]
        threshold = min(self.config.moment_threshold, score)
        every_seconds = self.config.sample_every_seconds
        segments = find_segments(prediction.time_seconds, column, threshold, every_seconds, duration_seconds)
        return TaggedLabel(name, label.id, round(score, 4), segments)
