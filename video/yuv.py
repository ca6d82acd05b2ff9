"""Downscaled BGR images from large YUV pictures: the planes are resized first and converted to BGR afterwards.

This touches almost no pixel of a large picture. Interpolation and colour conversion are both linear, so their order
only affects rounding: the result differs by a few intensity levels from resizing the full BGR image.
"""

from functools import cache
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from av.video.frame import VideoFrame

SUPPORTED_FORMATS = ("yuv420p", "yuvj420p")  # 8 bits per value, chroma subsampled by 2 in both directions
FULL_RANGE = 2  # FFmpeg's AVCOL_RANGE_JPEG
LUMA_COEFFICIENTS = {
    1: (0.2126, 0.0722),  # BT.709
    9: (0.2627, 0.0593),  # BT.2020, non-constant luminance
    10: (0.2627, 0.0593),  # BT.2020, constant luminance
}
"""Weights of red and blue in the luma, by FFmpeg's AVColorSpace."""
DEFAULT_LUMA_COEFFICIENTS = (0.299, 0.114)  # BT.601, FFmpeg's assumption for videos that do not specify a colour space


def resize_yuv(picture: "VideoFrame", size: tuple[int, int]) -> NDArray[np.uint8] | None:
    """Resize a picture and convert it to BGR.

    Args:
        picture: A decoded picture in any of FFmpeg's pixel formats.
        size: Width and height in pixels.

    Returns:
        The bilinearly interpolated image, shape (H, W, 3), uint8, BGR; None if the format is not one of
        `SUPPORTED_FORMATS`.
    """
    if picture.format.name not in SUPPORTED_FORMATS:
        return None
    import cv2

    chroma_size = ((picture.width + 1) // 2, (picture.height + 1) // 2)
    plane_sizes = ((picture.width, picture.height), chroma_size, chroma_size)
    planes = []
    for plane, (width, height) in zip(picture.planes, plane_sizes, strict=True):
        values = np.frombuffer(memoryview(plane), np.uint8).reshape(-1, plane.line_size)[:height, :width]
        planes.append(cv2.resize(values, size, interpolation=cv2.INTER_LINEAR))
    full_range = picture.format.name == "yuvj420p" or picture.color_range == FULL_RANGE
    matrix = yuv_to_bgr_matrix(picture.colorspace, full_range)
    return np.asarray(cv2.transform(cv2.merge(planes), matrix), dtype=np.uint8)


@cache
def yuv_to_bgr_matrix(colorspace: int, full_range: bool) -> NDArray[np.float32]:
    """Compute the affine matrix from (Y, U, V, 1) to (B, G, R).

    Args:
        colorspace: FFmpeg's AVColorSpace.
        full_range: Whether the luma ranges from 0 to 255 rather than from 16 to 235.

    Returns:
        Shape (3, 4).
    """
    red, blue = LUMA_COEFFICIENTS.get(colorspace, DEFAULT_LUMA_COEFFICIENTS)
    green = 1 - red - blue
    luma_scale, chroma_scale, black = (1.0, 1.0, 0.0) if full_range else (255 / 219, 255 / 224, 16.0)
    u, v = 2 * (1 - blue) * chroma_scale, 2 * (1 - red) * chroma_scale
    matrix = np.array([[luma_scale, u, 0], [luma_scale, -u * blue / green, -v * red / green], [luma_scale, 0, v]])
    return np.column_stack([matrix, -matrix @ [black, 128, 128]]).astype(np.float32)
