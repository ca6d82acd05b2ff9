"""The pictures that a network is given for moments of a clip."""

from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from common.errors import TruncatedClipError
from rivals.recipes import BLACK, FrameInput
from video.clips import decode_frames, end_seconds, read_frames_at

if TYPE_CHECKING:
    from rivals.system import Draw

MOMENTS_AT_ONCE = 16  # whose frames are in memory at their full size


@dataclass(frozen=True)
class ClipInfo:
    """What decoding a clip once has shown.

    Attributes:
        clip: A video file, or a folder of PNG frames.
        time_seconds: When each frame is shown, shape (F,), F at least 1.
        duration_seconds: From the first frame's start to the last one's end.
        truncated: Why the clip ends early; empty if it does not.
    """

    clip: Path
    time_seconds: NDArray[np.float64]
    duration_seconds: float
    truncated: str = ""

    @property
    def frames(self) -> int:
        """Number of frames."""
        return len(self.time_seconds)

    def moments(self, every_seconds: float) -> list[int]:
        """Return the middle one of the frames in each interval of so many seconds; intervals without any are left out.

        >>> ClipInfo(Path("clip.mp4"), np.arange(10) / 5, 2.0).moments(1.0)
        [2, 7]
        """
        intervals = np.floor(self.time_seconds / every_seconds).astype(np.int64)
        _, first, frames = np.unique(intervals, return_index=True, return_counts=True)
        return [int(index) for index in first + (frames - 1) // 2]


def examine_clip(clip: Path) -> ClipInfo:
    """Decode a clip without looking at its pixels.

    Raises:
        ClipError: If it cannot be read at all.
    """
    times: list[float] = []
    last_duration, truncated = 0.0, ""
    with closing(decode_frames(clip)) as frames:
        try:
            for frame in frames:
                times.append(frame.time_seconds)
                last_duration = frame.duration_seconds
        except TruncatedClipError as reason:
            truncated = str(reason).removeprefix(f"{clip}: ")
    time_seconds = np.array(times)
    return ClipInfo(clip, time_seconds, end_seconds(time_seconds, last_duration), truncated)


def read_pictures(
    info: ClipInfo, moments: Sequence[int], inputs: FrameInput, draw: "Draw | None" = None
) -> NDArray[np.uint8]:
    """Read the pictures for some moments of a clip.

    Args:
        info: The clip.
        moments: Frame indices, from 0.
        inputs: Which frames around each moment, and their size.
        draw: See `rivals.system.System`.

    Returns:
        Shape (moments, N, S, S, 3), uint8, BGR.

    Raises:
        ClipError: If a frame cannot be read.
    """
    parts = [
        _read_some(info, moments[start : start + MOMENTS_AT_ONCE], inputs, draw)
        for start in range(0, len(moments), MOMENTS_AT_ONCE)
    ]
    return np.concatenate(parts)


def _read_some(info: ClipInfo, moments: Sequence[int], inputs: FrameInput, draw: "Draw | None") -> NDArray[np.uint8]:
    windows = [inputs.window(moment, info.frames) for moment in moments]
    wanted = sorted({index for window in windows for index in window} - {BLACK})
    images = read_frames_at(info.clip, wanted, intact_frames=0 if info.truncated else info.frames).images
    found: dict[int, NDArray[np.uint8]] = dict(zip(wanted, images, strict=True))
    if draw is None:
        found = {index: resize(image, inputs.size) for index, image in found.items()}
    found[BLACK] = np.zeros_like(found[wanted[0]])
    rows = []
    for window in windows:
        frames = [found[index] for index in window]
        rows.append(np.stack([resize(picture, inputs.size) for picture in (draw(frames) if draw else frames)]))
    return np.stack(rows)


def resize(image: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    """Resize an image (H, W, 3) to a square, regardless of its aspect ratio."""
    import cv2

    if image.shape[:2] == (size, size):
        return image
    is_smaller = max(image.shape[:2]) > size
    resized = cv2.resize(image, (size, size), interpolation=cv2.INTER_AREA if is_smaller else cv2.INTER_LINEAR)
    return np.asarray(resized, dtype=np.uint8)
