"""One decoded frame, as the readers of video files and of folders of frames hand it on."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

ASSUMED_FPS = 25.0
"""For clips that do not say: folders of frames, whose rate is unknown, and streams without timestamps."""


@dataclass(frozen=True)
class Frame:
    """One frame: index from 0, seconds from the first frame on, image (H, W, 3) uint8 BGR."""

    index: int
    time_seconds: float
    duration_seconds: float
    image: NDArray[np.uint8]

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in pixels."""
        return self.image.shape[1], self.image.shape[0]
