"""Frames by which a detector is brought to 8 bits: some of every clip that was named, laid out as it wants them."""

from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from actor_detector.letterbox import PADDING_VALUE
from common.errors import ClipError, TruncatedClipError
from inference.interfaces import CalibrationImages, content_key
from video.clips import clip_sha256, decode_frames
from video.frames import Frame

IMAGES = 128  # as many as make the scale settle; more only take time
FORMAT = 1  # raise it when other frames are chosen, or they are laid out in another way


def calibration_images(clips: Sequence[Path]) -> CalibrationImages:
    """Say which images calibrate a network.

    Args:
        clips: Video files or folders of frames, one at least.

    Raises:
        ClipError: If one cannot be read; what is no video shows when the images are asked for.
    """
    try:
        key = content_key(FORMAT, IMAGES, [clip_sha256(clip) for clip in clips])
    except OSError as reason:
        raise ClipError(f"{reason.filename}: {(reason.strerror or str(reason)).lower()}") from None

    def images(size: tuple[int, int]) -> NDArray[np.uint8]:
        each = -(-IMAGES // len(clips))
        return np.stack([lay_out(frame, size) for clip in clips for frame in evenly_spaced_frames(clip, each)])

    return CalibrationImages(key, images)


def evenly_spaced_frames(clip: Path, wanted: int) -> list[Frame]:
    """Give frames spread evenly over a clip of unknown length: at most `wanted`, and more than half as many.

    Raises:
        ClipError: If nothing can be decoded.
    """
    kept: list[Frame] = []
    step = 1
    with closing(decode_frames(clip)) as frames:
        try:
            for frame in frames:
                if frame.index % step == 0:
                    kept.append(frame)
                if len(kept) > wanted:
                    kept, step = kept[::2], 2 * step
        except TruncatedClipError:
            if not kept:
                raise
    return kept


def lay_out(frame: Frame, size: tuple[int, int]) -> NDArray[np.uint8]:
    """Lay a frame on grey, (H, W, 3), as large as fits into a height and width."""
    height, width = size
    gain = min(width / frame.size[0], height / frame.size[1])
    inner = max(1, round(frame.size[0] * gain)), max(1, round(frame.size[1] * gain))
    left, top = (width - inner[0]) // 2, (height - inner[1]) // 2
    image = np.full((height, width, 3), PADDING_VALUE, np.uint8)
    image[top : top + inner[1], left : left + inner[0]] = frame.image(inner)
    return image
