"""Small images from large pictures: brightness and colour are shrunk as the decoder left them, then turned into BGR.

Almost nothing of a large picture is touched so. Interpolation and the change of colours are both linear, so their order
matters for rounding only: the outcome is within a few grey levels of shrinking the full image.
"""

from functools import cache
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from av.video.frame import VideoFrame

SUPPORTED_FORMATS = ("yuv420p", "yuvj420p")  # one byte a value; two by two pixels share a colour
FULL_RANGE = 2  # as FFmpeg numbers it
LUMA_COEFFICIENTS = {
    1: (0.2126, 0.0722),
    9: (0.2627, 0.0593),
    10: (0.2627, 0.0593),
}  # shares of brightness: BT.709, BT.2020
DEFAULT_LUMA_COEFFICIENTS = (0.299, 0.114)  # BT.601, which FFmpeg assumes too where a video does not say


def resize_yuv(picture: "VideoFrame", size: tuple[int, int]) -> NDArray[np.uint8] | None:
    """Give a picture as a small image.

    Args:
        picture: As decoded, in any of FFmpeg's formats.
        size: Width and height in pixels.

    Returns:
        The image (H, W, 3), uint8, BGR, interpolated linearly; None for formats other than `SUPPORTED_FORMATS`.
    """
    if picture.format.name not in SUPPORTED_FORMATS:
        return None
    import cv2

    halves = ((picture.width + 1) // 2, (picture.height + 1) // 2)
    planes = []
    for plane, (width, height) in zip(picture.planes, ((picture.width, picture.height), halves, halves), strict=True):
        values = np.frombuffer(memoryview(plane), np.uint8).reshape(-1, plane.line_size)[:height, :width]
        planes.append(cv2.resize(values, size, interpolation=cv2.INTER_LINEAR))
    full = picture.format.name == "yuvj420p" or picture.color_range == FULL_RANGE
    return np.asarray(cv2.transform(cv2.merge(planes), yuv_to_bgr_matrix(picture.colorspace, full)), dtype=np.uint8)


@cache
def yuv_to_bgr_matrix(colorspace: int, full_range: bool) -> NDArray[np.float32]:
    """Give the matrix (3, 4) that turns (Y, U, V, 1) into (B, G, R).

    Args:
        colorspace: As FFmpeg numbers it.
        full_range: Whether brightness takes 0 to 255, not 16 to 235.
    """
    red, blue = LUMA_COEFFICIENTS.get(colorspace, DEFAULT_LUMA_COEFFICIENTS)
    green = 1 - red - blue
    brightness, colour, black = (1.0, 1.0, 0.0) if full_range else (255 / 219, 255 / 224, 16.0)
    u, v = 2 * (1 - blue) * colour, 2 * (1 - red) * colour
    matrix = np.array([[brightness, u, 0], [brightness, -u * blue / green, -v * red / green], [brightness, 0, v]])
    return np.column_stack([matrix, -matrix @ [black, 128, 128]]).astype(np.float32)
