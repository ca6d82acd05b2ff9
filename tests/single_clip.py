"""Detection in a single clip, for tests."""

from pathlib import Path

from actor_detector.clip_detection import BatchDetector, ClipJob, detect_clips
from actor_detector.detections import ClipDetections
from actor_detector.speed_options import SpeedOptions


def detect_clip(detector: BatchDetector, clip: Path, speed_options: SpeedOptions | None = None) -> ClipDetections:
    """Detect the actors in the frames of one clip.

    Raises:
        ClipError: If no frame can be decoded.
    """
    (job,) = detect_clips(detector, [ClipJob(clip)], speed_options)
    if job.error:
        raise job.error
    assert job.detections
    return job.detections
