"""How a frame is fitted into the network's input, and boxes are mapped back to the frame.

As in Ultralytics' inference on frames of one size: the frame is resized, keeping its aspect ratio, until its long side
fits, and centred on grey; the short side is padded to a multiple of the network's stride. Ultralytics takes the next
multiple; here it is the next that frames of a common aspect ratio have, since every size of inputs needs an engine of
its own: a folder of clips of all shapes has five sizes of inputs, and common shapes have the same one in both.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from video.frames import resize_image

NETWORK_STRIDE = 32  # pixels of the input per cell of the coarsest feature map
MAX_BATCH_PIXELS = 1 << 24  # of the frames of a batch, some 25 MB of 8-bit video
PADDING_VALUE = 114  # grey, as in Ultralytics
ASPECT_RATIOS = (9 / 16, 3 / 4, 1.0)
"""Short by long side of inputs, before the short side is rounded up to a multiple of the stride."""


@dataclass(frozen=True)
class Letterbox:
    """How frames of one size are fitted into inputs of one size.

    Attributes:
        frame_size: Width and height of the frame, pixels.
        resized_size: Width and height of the resized frame, pixels.
        input_size: Width and height of the input, pixels.
    """

    frame_size: tuple[int, int]
    resized_size: tuple[int, int]
    input_size: tuple[int, int]

    @classmethod
    def fit(cls, frame_size: tuple[int, int], image_size: int) -> "Letterbox":
        """Fit frames into inputs of the widest of the `ASPECT_RATIOS` that holds them.

        Args:
            frame_size: Width and height of the frames, pixels.
            image_size: Long side of the input in pixels, a multiple of the stride.

        >>> Letterbox.fit((426, 240), 224)
        Letterbox(frame_size=(426, 240), resized_size=(224, 126), input_size=(224, 128))
        """
        resized_size = _scale(frame_size, image_size / max(frame_size))
        short_sides = (math.ceil(image_size * ratio / NETWORK_STRIDE) * NETWORK_STRIDE for ratio in ASPECT_RATIOS)
        short_side = next(side for side in short_sides if side >= min(resized_size))
        width, height = (image_size if side > short_side else short_side for side in resized_size)
        return cls(frame_size, resized_size, (width, height))

    @classmethod
    def fit_into(cls, frame_size: tuple[int, int], input_size: tuple[int, int]) -> "Letterbox":
        """Fit frames into inputs of a given width and height.

        >>> Letterbox.fit_into((426, 240), (224, 224))
        Letterbox(frame_size=(426, 240), resized_size=(224, 126), input_size=(224, 224))
        """
        gain = min(input_size[0] / frame_size[0], input_size[1] / frame_size[1])
        return cls(frame_size, _scale(frame_size, gain), input_size)

    def batch_size(self, maximum: int) -> int:
        """Return how many frames form a batch: fewer if they are large, since all stay in memory meanwhile.

        >>> [Letterbox.fit((16 * n, 9 * n), 320).batch_size(16) for n in (80, 120, 240, 480)]  # 720p, 1080p, 4K, 8K
        [16, 8, 2, 1]
        """
        fitting = max(1, MAX_BATCH_PIXELS // (self.frame_size[0] * self.frame_size[1]))
        return min(maximum, 1 << (fitting.bit_length() - 1))  # of few different sizes, as each needs an engine

    @property
    def offset(self) -> tuple[int, int]:
        """Left and top of the resized frame in the input, pixels."""
        return (self.input_size[0] - self.resized_size[0]) // 2, (self.input_size[1] - self.resized_size[1]) // 2

    def canvas(self, batch_size: int) -> NDArray[np.uint8]:
        """Create a batch of blank inputs, shape (B, H, W, 3)."""
        return np.full((batch_size, self.input_size[1], self.input_size[0], 3), PADDING_VALUE, np.uint8)

    def paste(self, image: NDArray[np.uint8], inputs: NDArray[np.uint8]) -> None:
        """Resize the image of a frame, which may be resized already, and write it into one input (H, W, 3)."""
        (left, top), (width, height) = self.offset, self.resized_size
        inputs[top : top + height, left : left + width] = resize_image(image, self.resized_size)

    def to_frame(self, boxes: NDArray[np.float32]) -> NDArray[np.float32]:
        """Map corners in the input, shape (N, 4), to corners in the frame, clipped to it."""
        left, top = self.offset
        scale_x, scale_y = self.resized_size[0] / self.frame_size[0], self.resized_size[1] / self.frame_size[1]
        scaled = (boxes - np.array([left, top, left, top], np.float32)) / np.array([scale_x, scale_y] * 2, np.float32)
        return np.clip(scaled, 0, np.array([*self.frame_size, *self.frame_size], np.float32)).astype(np.float32)


def _scale(size: tuple[int, int], gain: float) -> tuple[int, int]:
    return max(1, round(size[0] * gain)), max(1, round(size[1] * gain))
