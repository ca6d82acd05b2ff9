"""How a frame is laid into the detector's input, and boxes back into the frame.

As Ultralytics does it for frames of one size: shrunk or enlarged until the long side fits, centred on grey, the short
side padded to the next multiple of the network's stride.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from video.frames import resize_image

STRIDE = 32  # of the coarsest feature map
PADDING_VALUE = 114


@dataclass(frozen=True)
class Letterbox:
    """Where frames of one size lie in the input.

    Attributes:
        frame: Width and height of the frame, pixels.
        inner: Width and height of what it is resized to, pixels.
        outer: Width and height of the input, pixels.
    """

    frame: tuple[int, int]
    inner: tuple[int, int]
    outer: tuple[int, int]

    @classmethod
    def fit(cls, frame: tuple[int, int], image_size: int) -> "Letterbox":
        """Fit frames of a width and height into a long side of `image_size`, a multiple of the stride.

        >>> Letterbox.fit((426, 240), 224)
        Letterbox(frame=(426, 240), inner=(224, 126), outer=(224, 128))
        """
        gain = image_size / max(frame)
        width, height = max(1, round(frame[0] * gain)), max(1, round(frame[1] * gain))
        outer = (-(-width // STRIDE) * STRIDE, -(-height // STRIDE) * STRIDE)
        return cls(frame, (width, height), outer)

    @property
    def corner(self) -> tuple[int, int]:
        """Left and top of the frame in the input, pixels."""
        return (self.outer[0] - self.inner[0]) // 2, (self.outer[1] - self.inner[1]) // 2

    def canvas(self, batch_size: int) -> NDArray[np.uint8]:
        """Make an empty batch of inputs, shape (B, H, W, 3)."""
        return np.full((batch_size, self.outer[1], self.outer[0], 3), PADDING_VALUE, np.uint8)

    def place(self, image: NDArray[np.uint8], inputs: NDArray[np.uint8]) -> None:
        """Lay a frame's image, of whatever size, into one input (H, W, 3)."""
        (left, top), (width, height) = self.corner, self.inner
        inputs[top : top + height, left : left + width] = resize_image(image, self.inner)

    def to_frame(self, boxes: NDArray[np.float32]) -> NDArray[np.float32]:
        """Turn corners in the input, shape (N, 4), into corners in the frame, clipped to it."""
        left, top = self.corner
        across, down = self.inner[0] / self.frame[0], self.inner[1] / self.frame[1]  # each side was rounded by itself
        scaled = (boxes - np.array([left, top, left, top], np.float32)) / np.array([across, down] * 2, np.float32)
        return np.clip(scaled, 0, np.array([*self.frame, *self.frame], np.float32)).astype(np.float32)
