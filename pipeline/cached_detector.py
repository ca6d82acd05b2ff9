"""Stage 1 of a run: the detector over every frame of clips, and the confirmation of its boxes, behind a cache."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from itertools import chain
from pathlib import Path
from threading import RLock
from typing import TYPE_CHECKING, Self

import numpy as np
from numpy.typing import NDArray

from a2d.taxonomy import Taxonomy
from action_heads.confirmation import Confirmer
from actor_detector.clip_detection import detect_clips
from actor_detector.detections import ClipDetections
from actor_detector.detector_settings import DetectorSettings
from actor_detector.looks.selective_detection import detect_selected
from actor_detector.looks.stretches import LookJob
from actor_detector.speed_options import SpeedOptions
from common.errors import ClipError
from common.files import sha256_file
from common.system import return_free_memory
from inference.process_guard import check_process
from inference.runtime import Runtime
from pipeline.box_confirmation import JudgementCache
from pipeline.box_judge import BoxJudge, Judgements
from pipeline.config import TaggerConfig, build_runtime
from pipeline.detection_cache import DetectionCache, DetectionSettings, file_name
from pipeline.known_detectors import KNOWN_DETECTORS, find_detector
from pipeline.streaming_heads import StreamingHeads
from pipeline.until_sure import UntilSure
from thresholds.gates import DetectorIdentity
from video.clips import clip_sha256

if TYPE_CHECKING:
    from actor_detector.yolo import YoloActorDetector

CACHED_CONFIDENCE = 0.1


@dataclass(frozen=True)
class DetectedClip:
    """The detections of one clip.

    Attributes:
        clip: Its path.
        detections: Every box of every frame, without those that were not confirmed.
        sha256: Of the clip's contents.
        from_cache: Whether the detections came from the cache.
        unconfirmed: The same detections with those boxes; None if boxes count as they are.
        presence_intervals: Within what the presence ratio of each actor lies, shape (A, 2), see
            `pipeline.until_sure`; None if every frame was looked at.
    """

    clip: Path
    detections: ClipDetections
    sha256: str
    from_cache: bool
    unconfirmed: ClipDetections | None = None
    presence_intervals: NDArray[np.float64] | None = None


@dataclass(frozen=True)
class UnreadableClip:
    """A clip of which nothing can be decoded, and why."""

    clip: Path
    error: ClipError


@dataclass
class _CachedJob(LookJob):
    """A clip in progress.

    Attributes:
        sha256: Of the clip.
        key: Under which its detections are cached.
        is_cached: Whether they came from the cache.
        streamed: What is given its frames while it is decoded.
        knows_all: Whether every frame was looked at earlier.
        judgements: Those that are cached, by index of the actor.
    """

    sha256: str = ""
    key: str = ""
    is_cached: bool = False
    streamed: StreamingHeads | None = None
    knows_all: bool = False
    judgements: Judgements | None = None


@dataclass(frozen=True)
class CachedDetector:
    """A detector that is loaded when the first clip is not in the cache, and never if all are.

    May be used by several threads.

    Attributes:
        name: For people.
        path: The detector's weights.
        sha256: Of that file.
        taxonomy: Whose actors it detects.
        settings: Image size and confidence threshold.
        runtime: What runs the network.
        batch_size: Frames in one forward pass.
        speed_options: What is skipped in order to be faster.
        cache: Cached detections.
        trust_weights: Whether to unpickle a `.pt` file even if that may run code.
        confirmer: Judges the boxes, of which those that it does not confirm are dropped; None drops none.
        every_seconds: Length of the intervals in each of which it judges one box of an actor.
        cross_fitted: Whether a clip that the confirmer was fitted to is judged by the layers that have not seen it, as
            whatever is tuned or trained on such clips needs. A tagger judges all clips alike, so that a copy of a clip
            gets the same answer.
        until_sure: Which frames are looked at; None if every frame is.
        given_up: Clips that another process could not read, or that ended it, and why: they are not tried again.
    """

    name: str
    path: Path
    sha256: str
    taxonomy: Taxonomy
    settings: DetectorSettings
    runtime: Runtime
    batch_size: int
    speed_options: SpeedOptions
    cache: DetectionCache
    trust_weights: bool = False
    confirmer: Confirmer | None = None
    every_seconds: float = TaggerConfig.sample_every_seconds
    cross_fitted: bool = True
    until_sure: UntilSure | None = None
    given_up: Mapping[Path, str] = field(default_factory=dict, compare=False, repr=False)
    _lock: RLock = field(default_factory=RLock, compare=False, repr=False)

    @classmethod
    def from_config(cls, config: TaggerConfig, taxonomy: Taxonomy) -> Self:
        """Find the weights that a configuration names, without loading them.

        Raises:
            UserError: If there are none, or they cannot be downloaded.
        """
        path = find_detector(config.detector)
        runtime = build_runtime(config)
        confirmation = config.confirmation_file
        return cls(
            name=config.detector if config.detector in KNOWN_DETECTORS else path.stem,
            path=path,
            sha256=sha256_file(path),
            taxonomy=taxonomy,
            settings=config.detector_settings,
            runtime=runtime,
            batch_size=config.batch_size or runtime.batch_size,
            speed_options=config.speed_options,
            cache=DetectionCache(config.cache),
            trust_weights=config.trust_weights,
            confirmer=Confirmer(confirmation, runtime) if confirmation else None,
            every_seconds=config.sample_every_seconds,
        )

    @property
    def identity(self) -> DetectorIdentity:
        """What gates must have been tuned for to be used with this detector."""
        settings = self.settings
        confirmation = self.confirmer.sha256 if self.confirmer else None
        return DetectorIdentity(self.sha256, settings.image_size, settings.confidence, self.name, confirmation)

    @property
    def cached_settings(self) -> DetectorSettings:
        """The settings with the confidence from which boxes are cached, so that another threshold needs no detection.

        Dropping the boxes below a threshold afterwards changes nothing: in non-maximum suppression, a box can only be
        suppressed by more confident ones.
        """
        return replace(self.settings, confidence=min(self.settings.confidence, CACHED_CONFIDENCE))

    @property
    def model(self) -> "YoloActorDetector":
        """The loaded network, which returns every box that is cached."""
        check_process()
        with self._lock:
            return self._model

    @cached_property
    def _model(self) -> "YoloActorDetector":
        from actor_detector.yolo import YoloActorDetector

        return YoloActorDetector(
            self.path, self.taxonomy, self.cached_settings, self.runtime, self.batch_size, self.trust_weights
        )

    def detect(self, clip: Path) -> DetectedClip:
        """Detect the actors in every frame of a clip, or load the detections from the cache.

        Raises:
            ClipError: If the clip cannot be read at all. For a truncated clip, what could be decoded is returned, with
                the reason in `truncated`.
        """
        (detected,) = self.detect_all([clip])
        if isinstance(detected, UnreadableClip):
            raise detected.error
        return detected

    def detect_all(
        self, clips: Iterable[Path], start_clip: Callable[[], StreamingHeads] | None = None
    ) -> Iterator[DetectedClip | UnreadableClip]:
        """Detect the actors in every frame of clips, without a pause between them.

        Args:
            clips: Consumed in another thread, somewhat ahead.
            start_clip: Called once for each clip, in order; returns what is given its frames as they are processed
                (none, if its detections come from the cache). It must confirm boxes if this detector does.

        Yields:
            One result per clip, in order.
        """
        jobs = map(partial(self._start, start_clip=start_clip), clips)
        for first in jobs:
            if first.is_done:
                yield self._finish(first)
                continue
            remaining = chain([first], jobs)  # all are consumed
            if self.until_sure:
                running = detect_selected(self.model, remaining, self.speed_options.loop_filter)
            else:
                running = detect_clips(self.model, remaining, self.speed_options)
            for job in running:
                yield self._finish(job)

    def lacks(self, clip: Path) -> bool:
        """Return whether something about a clip is still to be computed; of one that cannot be read, nothing is."""
        try:
            key = self._detection_settings.key(clip_sha256(clip))
        except (ClipError, OSError):
            return False
        detections = self.cache.load(key)
        return detections is None or bool(self._judge and self._judge.load(key, detections) is None)

    def file_of(self, clip_sha256: str) -> str:
        """Return the path in the cache folder of the detections of a clip with a digest."""
        return file_name(self._detection_settings.key(clip_sha256))

    @cached_property
    def _settings_of_every_frame(self) -> DetectionSettings:
        return DetectionSettings(
            self.sha256, self.cached_settings, self.taxonomy, self.runtime.name, self.speed_options
        )

    @cached_property
    def _settings_of_looks(self) -> DetectionSettings:
        """Those of the entry with all frames of a clip that were ever looked at, whatever for."""
        return replace(self._settings_of_every_frame, looks="all looks")

    @cached_property
    def _detection_settings(self) -> DetectionSettings:
        if not self.until_sure:
            return self._settings_of_every_frame
        return replace(self._settings_of_every_frame, looks=self.until_sure.key)

    def _start(self, clip: Path, start_clip: Callable[[], StreamingHeads] | None) -> _CachedJob:
        """Create a clip's job, which is done already if its detections are cached or it cannot be read."""
        streamed = start_clip() if start_clip else self._new_streaming()
        if clip in self.given_up:
            return _CachedJob(clip, error=ClipError(self.given_up[clip]))
        try:
            digest = clip_sha256(clip)
        except ClipError as reason:
            return _CachedJob(clip, error=reason)
        except OSError as reason:
            return _CachedJob(clip, error=ClipError(f"{clip}: {(reason.strerror or str(reason)).lower()}"))
        key = self._detection_settings.key(digest)
        cached = self.cache.load(key)
        judgements = self._judge.load(key, cached) if self._judge and cached else None
        if cached is not None and (judgements is not None or not (self._judge and self.until_sure)):
            return _CachedJob(clip, detections=cached, sha256=digest, key=key, is_cached=True, judgements=judgements)
        job = _CachedJob(clip, sha256=digest, key=key, streamed=streamed)
        if self.until_sure and streamed:  # which the plan gives the frames
            job.plan = self.until_sure.plan(digest, streamed)
            job.known = self.cache.load(self._settings_of_every_frame.key(digest))
            job.knows_all = job.known is not None
            job.known = job.known or self.cache.load(self._settings_of_looks.key(digest))
        elif streamed:
            job.on_frames = streamed.on_frames
        return job

    def _new_streaming(self) -> StreamingHeads | None:
        """Return what is given frames if there are no heads to give them to; None if nothing needs them."""
        if not self.confirmer and not self.until_sure:
            return None
        return StreamingHeads(None, self.taxonomy, self.settings.confidence, self.every_seconds, self.confirmer)

    @cached_property
    def _judge(self) -> BoxJudge | None:
        if not self.confirmer:
            return None
        return BoxJudge(
            self.confirmer,
            self.taxonomy,
            self.settings.confidence,
            self.every_seconds,
            JudgementCache(self.cache.folder, self.cache.on_file),
            self.until_sure.gates if self.until_sure else None,
            self.speed_options.loop_filter,
        )

    def _finish(self, job: _CachedJob) -> DetectedClip | UnreadableClip:
        """Cache new detections, and return the result."""
        if job.error:
            return UnreadableClip(job.clip, job.error)
        assert job.detections
        if not job.is_cached:
            self.cache.save(job.key, job.detections)
            if job.looked and not job.knows_all:
                self.cache.save(self._settings_of_looks.key(job.sha256), job.looked)
            return_free_memory()
        detections = job.detections.at_confidence(self.settings.confidence)
        until_sure, judge = self.until_sure, self._judge
        if not judge:
            intervals = until_sure.intervals(job.detections, {}, {}) if until_sure else None
            return DetectedClip(job.clip, detections, job.sha256, job.is_cached, presence_intervals=intervals)
        part = judge.confirmer.part_of(job.sha256) if self.cross_fitted else 0
        judgements = job.judgements
        if judgements is None:
            try:
                judgements = judge.judge(job.clip, job.key, detections, job.streamed, part)
            except ClipError as reason:
                return UnreadableClip(job.clip, reason)
        confirmed, intervals = judge.drop_unconfirmed(detections, judgements, part), None
        if until_sure:
            intervals = until_sure.intervals(job.detections, judgements, judge.unjudged(detections, judgements))
        return DetectedClip(job.clip, confirmed, job.sha256, job.is_cached, detections, intervals)
