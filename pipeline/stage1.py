"""Stage 1 of a run: the detector over every frame of a clip, with the cache before it."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Self

from a2d.engines import Runtime
from a2d.errors import ClipError
from a2d.files import sha256_file
from a2d.labels import Taxonomy
from actor_detector.clip_detection import detect_clip
from actor_detector.detections import ClipDetections
from pipeline.cache import DetectionCache, clip_sha256, detection_key
from pipeline.config import TaggerConfig
from pipeline.known_detectors import KNOWN_DETECTORS, find_detector
from thresholds.gates import DetectorIdentity

if TYPE_CHECKING:
    from actor_detector.yolo import YoloActorDetector

KEPT_CONFIDENCE = 0.1


@dataclass(frozen=True)
class DetectedClip:
    """What stage 1 says of a clip, and of which clip.

    Attributes:
        detections: Every box of every frame.
        sha256: Of the clip's contents.
        from_cache: Whether the detector was spared.
    """

    detections: ClipDetections
    sha256: str
    from_cache: bool


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
        stride: Every how manieth frame is looked at.
        cache: Kept detections.
    """

    name: str
    path: Path
    taxonomy: Taxonomy
    image_size: int
    confidence: float
    runtime: Runtime
    batch_size: int
    stride: int
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
            config.stride,
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
        return min(self.confidence, KEPT_CONFIDENCE)

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
        try:
            digest = clip_sha256(clip)
        except OSError as reason:
            raise ClipError(f"{clip}: {(reason.strerror or str(reason)).lower()}") from None
        key = detection_key(
            digest,
            self.identity.sha256 or "",
            self.image_size,
            self.kept_confidence,
            self.taxonomy,
            self.runtime.name,
            self.stride,
        )
        kept = self.cache.load(key)
        if kept is not None:
            return DetectedClip(kept.at_confidence(self.confidence), digest, from_cache=True)
        detections = detect_clip(self.model, clip, self.stride)
        self.cache.save(key, detections)
        return DetectedClip(detections.at_confidence(self.confidence), digest, from_cache=False)
