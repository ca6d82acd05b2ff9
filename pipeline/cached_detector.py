"""Stage 1 of a run: the detector over every frame of clips, with the cache before it."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property, partial
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Self

from a2d.taxonomy import Taxonomy
from actor_detector.clip_detection import ClipJob, FrameWatcher, detect_clips
from actor_detector.detections import ClipDetections
from actor_detector.speed_options import SpeedOptions
from common.errors import ClipError
from common.files import sha256_file
from inference.runtime import Runtime
from pipeline.config import TaggerConfig
from pipeline.detection_cache import DetectionCache, detection_key
from pipeline.known_detectors import KNOWN_DETECTORS, find_detector
from thresholds.gates import DetectorIdentity
from video.clips import clip_sha256

if TYPE_CHECKING:
    from actor_detector.yolo import YoloActorDetector

CACHED_CONFIDENCE = 0.1


@dataclass(frozen=True)
class DetectedClip:
    """What stage 1 says of a clip, and of which clip.

    Attributes:
        clip: Its path.
        detections: Every box of every frame.
        sha256: Of the clip's contents.
        from_cache: Whether the detector was spared.
        watcher: Who saw the frames while they were decoded; None where they were not, or nobody did.
    """

    clip: Path
    detections: ClipDetections
    sha256: str
    from_cache: bool
    watcher: FrameWatcher | None = None


@dataclass(frozen=True)
class UnreadableClip:
    """A clip of which nothing can be decoded, and why."""

    clip: Path
    error: ClipError


@dataclass
class _CachedPass(ClipJob):
    """A clip on its way, and under which key its detections are to be kept; an empty one where they are already."""

    sha256: str = ""
    key: str = ""


@dataclass(frozen=True)
class CachedDetector:
    """A detector that is loaded when the first clip is not in the cache, and never if all are.

    Attributes:
        name: What it is known as, for people.
        path: The detector's weights.
        taxonomy: Whose actors it finds.
        image_size: Long side in pixels of what it sees.
        confidence: From which confidence a box counts, in [0, 1].
        runtime: What runs the network.
        batch_size: Frames in one forward pass.
        shortcuts: What is left undone to be faster.
        cache: Kept detections.
    """

    name: str
    path: Path
    taxonomy: Taxonomy
    image_size: int
    confidence: float
    runtime: Runtime
    batch_size: int
    shortcuts: SpeedOptions
    cache: DetectionCache

    @classmethod
    def from_config(cls, config: TaggerConfig, taxonomy: Taxonomy) -> Self:
        """Find the weights that a configuration names, without loading them.

        Raises:
            UserError: If there are none, or they cannot be downloaded.
        """
        path = find_detector(config.detector)
        image_size, confidence = config.detector_settings
        return cls(
            config.detector if config.detector in KNOWN_DETECTORS else path.stem,
            path,
            taxonomy,
            image_size,
            confidence,
            config.runtime,
            config.batch_size,
            config.shortcuts,
            DetectionCache(config.cache),
        )

    @cached_property
    def identity(self) -> DetectorIdentity:
        """What gates must have been made for to fit."""
        return DetectorIdentity(sha256_file(self.path), self.image_size, self.confidence, self.name)

    @property
    def kept_confidence(self) -> float:
        """From which confidence on boxes are kept, so that a run with another confidence detects nothing again.

        Leaving out afterwards what is below a confidence changes nothing: non-maximum suppression lets a box be
        suppressed by more confident ones alone.
        """
        return min(self.confidence, CACHED_CONFIDENCE)

    @cached_property
    def model(self) -> "YoloActorDetector":
        """The loaded network, which hands out every box that is worth keeping."""
        from actor_detector.yolo import YoloActorDetector

        return YoloActorDetector(
            self.path, self.taxonomy, self.image_size, self.kept_confidence, self.runtime, self.batch_size
        )

    def detect(self, clip: Path) -> DetectedClip:
        """Find the actors in every frame of a clip, or in the cache.

        Raises:
            ClipError: If the clip cannot be read at all. One that breaks off gives what could be decoded, and says so
                in `truncated`.
        """
        (found,) = self.detect_all([clip])
        if isinstance(found, UnreadableClip):
            raise found.error
        return found

    def detect_all(
        self, clips: Iterable[Path], watch: Callable[[], FrameWatcher] | None = None
    ) -> Iterator[DetectedClip | UnreadableClip]:
        """Find the actors in every frame of clips, without a pause between them.

        Args:
            clips: Are asked for in another thread, somewhat ahead.
            watch: Makes who sees the frames of a clip that is decoded; None for nobody.

        Yields:
            One answer a clip, in order.
        """
        passes = map(partial(self._look_up, watch=watch), clips)
        for first in passes:
            if first.is_done:
                yield self._answer(first)
                continue
            for clip_pass in detect_clips(self.model, chain([first], passes), self.shortcuts):  # takes all that is left
                yield self._answer(clip_pass)

    def _look_up(self, clip: Path, watch: Callable[[], FrameWatcher] | None) -> _CachedPass:
        """Start a clip on its way, which is over already where its detections are kept or it cannot be read."""
        try:
            digest = clip_sha256(clip)
        except OSError as reason:
            return _CachedPass(clip, error=ClipError(f"{clip}: {(reason.strerror or str(reason)).lower()}"))
        key = detection_key(
            digest,
            self.identity.sha256 or "",
            self.image_size,
            self.kept_confidence,
            self.taxonomy,
            self.runtime.name,
            self.shortcuts,
        )
        kept = self.cache.load(key)
        if kept is not None:
            return _CachedPass(clip, detections=kept, sha256=digest)
        return _CachedPass(clip, watch() if watch else None, sha256=digest, key=key)

    def _answer(self, clip_pass: _CachedPass) -> DetectedClip | UnreadableClip:
        """Keep what is new, and say what was found."""
        if clip_pass.error:
            return UnreadableClip(clip_pass.clip, clip_pass.error)
        assert clip_pass.detections
        if clip_pass.key:
            self.cache.save(clip_pass.key, clip_pass.detections)
        return DetectedClip(
            clip_pass.clip,
            clip_pass.detections.at_confidence(self.confidence),
            clip_pass.sha256,
            from_cache=not clip_pass.key,
            watcher=clip_pass.watcher,
        )
