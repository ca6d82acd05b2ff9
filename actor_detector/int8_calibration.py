"""Calibration images for the quantization of a detector to 8-bit integers: frames of clips, letterboxed."""

from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from actor_detector.letterbox import Letterbox
from common.errors import ClipError, TruncatedClipError
from inference.interfaces import CalibrationImages, content_key
from video.clips import clip_sha256, decode_frames
from video.frames import Frame

IMAGES = 128  # enough for the ranges of the activations to converge
FORMAT = 1  # raise it when the selection of frames or their letterboxing changes


def calibration_images(clips: Sequence[Path]) -> CalibrationImages:
    """Describe the images with which a network is calibrated; they are decoded when they are needed.

    Args:
        clips: Video files or folders of frames, at least one.

    Raises:
        ClipError: If one cannot be read. Files that are not videos are only detected when the images are loaded.
    """
    try:
        key = content_key(FORMAT, IMAGES, [clip_sha256(clip) for clip in clips])
    except OSError as reason:
        raise ClipError(f"{reason.filename}: {(reason.strerror or str(reason)).lower()}") from None

    def load(size: tuple[int, int]) -> NDArray[np.uint8]:
        frames_per_clip = -(-IMAGES // len(clips))
        return np.stack(
            [letterboxed(frame, size) for clip in clips for frame in evenly_spaced_frames(clip, frames_per_clip)]
        )

    return CalibrationImages(key, load)


def evenly_spaced_frames(clip: Path, wanted: int) -> list[Frame]:
    """Return evenly spaced frames of a clip of unknown length: at most `wanted`, and more than half as many.

    Raises:
        ClipError: If nothing can be decoded.
    """
    selected: list[Frame] = []
    step = 1
    with closing(decode_frames(clip)) as frames:
        try:
            for frame in frames:
                if frame.index % step == 0:
                    selected.append(frame)
                if len(selected) > wanted:
                    selected, step = selected[::2], 2 * step
        except TruncatedClipError:
            if not selected:
                raise
    return selected


def letterboxed(frame: Frame, size: tuple[int, int]) -> NDArray[np.uint8]:
    """Letterbox a frame into an input (H, W, 3) of a given height and width."""
    height, width = size
    letterbox = Letterbox.fit_into(frame.size, (width, height))
    (image,) = letterbox.canvas(1)
    letterbox.paste(frame.image(letterbox.resized_size), image)
    return image
