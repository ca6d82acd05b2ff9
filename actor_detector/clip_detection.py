"""Stage 1 on one clip: decode, detect, keep every frame."""

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from a2d.clips import ClipMeter, read_frames
from a2d.errors import TruncatedClipError
from actor_detector.detections import ClipDetections, FrameDetections, join_frames


class Detector(Protocol):
    """Anything that finds actors in a batch of frames, each (H, W, 3), uint8, BGR."""

    def detect(self, images: Sequence[NDArray[np.uint8]] | NDArray[np.uint8]) -> list[FrameDetections]:
        """Give one entry a frame, in order."""


def detect_clip(detector: Detector, clip: Path, batch_size: int) -> ClipDetections:
    """Find the actors in every frame of a clip.

    Args:
        detector: Finds them in a batch.
        clip: A video file, or a folder of PNG frames.
        batch_size: Frames decoded and detected at a time.

    Returns:
        The detections. A clip that breaks off gives what could be decoded, and says so in `truncated`.

    Raises:
        ClipError: If no frame can be decoded.
    """
    meter = ClipMeter()
    frames: list[FrameDetections] = []
    indices, times = [], []
    truncated = ""
    try:
        for batch in read_frames(clip, batch_size):
            meter.add(batch)
            frames += detector.detect(batch.images)
            indices.append(batch.frame_index)
            times.append(batch.time_seconds)
    except TruncatedClipError as reason:
        if not frames:
            raise
        # Detections are kept by the clip's contents, so its name has no place in them.
        truncated = str(reason).removeprefix(f"{clip}: ")
    duration = meter.info().duration_seconds
    return join_frames(frames, np.concatenate(indices), np.concatenate(times), duration, truncated)
