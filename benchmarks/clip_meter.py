"""Length and size of a clip, measured while its frames are read, so that it need not be decoded twice."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from video.clips import FrameBatch, end_seconds


@dataclass(frozen=True)
class ClipInfo:
    """Length and size of a decoded clip.

    Attributes:
        frames: Number of decoded frames.
        duration_seconds: From the start of the first frame to the end of the last.
        width: Of the first frame, in pixels, upright.
        height: Of the first frame, in pixels, upright.
    """

    frames: int
    duration_seconds: float
    width: int
    height: int

    @property
    def fps(self) -> float:
        """Average number of frames per second."""
        return self.frames / self.duration_seconds


@dataclass
class ClipMeter:
    """Measures a clip from the batches of frames that another component reads.

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
        """Add the next batch of the clip."""
        if not len(batch):
            return
        self._times.append(batch.time_seconds)
        self._last_duration_seconds = float(batch.duration_seconds[-1])
        if self._size is None:
            self._size = (batch.images.shape[2], batch.images.shape[1])

    def info(self) -> ClipInfo:
        """Return the measurements so far. If the last frame's duration is unknown, the median frame interval is used.

        Raises:
            ValueError: If no frame was added.
        """
        if self._size is None:
            raise ValueError("no frame was counted: add at least one batch first")
        times = np.concatenate(self._times)
        return ClipInfo(len(times), end_seconds(times, self._last_duration_seconds), *self._size)
