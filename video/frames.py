"""One decoded frame, as the readers of video files and of folders of frames hand it on."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

ASSUMED_FPS = 25.0
"""For clips that do not say: folders of frames, whose rate is unknown, and streams without timestamps."""


class Picture(Protocol):
    """What a decoder gives: pixels that become an image only when somebody asks for one, at the size they ask for."""

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in pixels, upright."""

    def image(self, size: tuple[int, int] | None = None) -> NDArray[np.uint8]:
        """Give an image (H, W, 3), uint8, BGR, upright; of another width and height where they are given."""


def resize_image(image: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    """Stretch an image (H, W, 3) to a width and height, interpolated linearly."""
    if (image.shape[1], image.shape[0]) == size:
        return image
    import cv2

    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_LINEAR), dtype=np.uint8)


@dataclass(frozen=True)
class Frame:
    """One frame: index from 0, seconds from the first frame on, how long it is shown, and its pixels."""

    index: int
    time_seconds: float
    duration_seconds: float
    picture: Picture

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in pixels."""
        return self.picture.size

    def image(self, size: tuple[int, int] | None = None) -> NDArray[np.uint8]:
        """Give the image (H, W, 3), uint8, BGR, upright; of another width and height where they are given."""
        return self.picture.image(size)
