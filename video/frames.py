"""Decoded frames, as yielded by the readers of video files and of frame folders."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

ASSUMED_FPS = 25.0
"""For clips of unknown frame rate: folders of frames, and streams without timestamps."""


class Picture(Protocol):
    """A decoded picture, converted to an image only on demand, at the requested size."""

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in pixels, upright."""

    def image(self, size: tuple[int, int] | None = None) -> NDArray[np.uint8]:
        """Return the picture as an upright image.

        Args:
            size: Width and height to resize to, in pixels; None keeps the size of the picture.

        Returns:
            Shape (H, W, 3), uint8, BGR.
        """


@dataclass(frozen=True)
class Frame:
    """One frame of a clip.

    Attributes:
        index: Index in the clip, from 0.
        time_seconds: When it is shown, relative to the first frame.
        duration_seconds: How long it is shown; 0 if unknown.
        picture: Its pixels.
        stored_seconds: When it is shown on the file's own clock, which need not begin at 0, and may jump; None if the
            file does not say, or it was not asked.
    """

    index: int
    time_seconds: float
    duration_seconds: float
    picture: Picture
    stored_seconds: float | None = None

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in pixels, upright."""
        return self.picture.size

    def image(self, size: tuple[int, int] | None = None) -> NDArray[np.uint8]:
        """Return the frame as an upright image, see `Picture.image`."""
        return self.picture.image(size)


def resize_image(image: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    """Resize an image to a width and height with bilinear interpolation, ignoring its aspect ratio.

    Args:
        image: Shape (H, W, 3), uint8.
        size: Width and height in pixels.
    """
    if (image.shape[1], image.shape[0]) == size:
        return image
    import cv2

    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_LINEAR), dtype=np.uint8)
