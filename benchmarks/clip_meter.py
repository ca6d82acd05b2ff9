"""The length and size of a clip, measured while something else reads it, so that nothing is decoded twice."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from video.clips import FrameBatch, end_seconds


@dataclass(frozen=True)
class ClipInfo:
    """What a clip turned out to hold once it was decoded.

    Attributes:
        frames: Number of frames decoded.
        duration_seconds: When the last frame ends, from the first frame on.
        width: Of the first frame, in pixels, upright.
        height: Of the first frame, in pixels, upright.
    """

    frames: int
    duration_seconds: float
    width: int
    height: int

    @property
    def fps(self) -> float:
        """Frames per second, on average."""
        return self.frames / self.duration_seconds


@dataclass
class ClipMeter:
    """Takes the measure of a clip while somebody else reads it, so that nothing is decoded twice.

    >>> meter = ClipMeter()
    >>> images = np.zeros((2, 48, 64, 3), np.uint8)
    >>> meter.add(FrameBatch(np.arange(2), np.array([0.0, 0.5]), np.array([0.5, 0.5]), images))
    >>> meter.info(), meter.info().fps
    (ClipInfo(frames=2, duration_seconds=1.0, width=64, height=48), 2.0)
    """

    _times: list[NDArray[np.float64]] = field(default_factory=list)
    _last_duration_seconds: float = 0.0
    _size: tuple[int, int] | None = None

    def add(self, batch: FrameBatch) -> None:
        """Count the next batch of the clip."""
        if not len(batch):
            return
        self._times.append(batch.time_seconds)
        self._last_duration_seconds = float(batch.duration_seconds[-1])
        if self._size is None:
            self._size = (batch.images.shape[2], batch.images.shape[1])

    def info(self) -> ClipInfo:
        """Say what was counted so far. A last frame of unknown duration is given the median gap between frames.

        Raises:
            ValueError: If no frame was counted.
        """
        if self._size is None:
            raise ValueError("no frame was counted: add at least one batch first")
        times = np.concatenate(self._times)
        return ClipInfo(len(times), end_seconds(times, self._last_duration_seconds), *self._size)
