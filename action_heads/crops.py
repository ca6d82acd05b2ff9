"""Views of a frame: the whole frame, or a square crop around the actor, the same in training and in prediction."""

import numpy as np
from numpy.typing import NDArray

from action_heads.input_kinds import WHOLE_FRAME

CROP_MARGIN = 1.3  # side of the crop relative to the box's longer side; part of what `crop` means in a head's manifest
MIN_CROP_SIDE = 32  # pixels, so that crops around tiny boxes include some context

NO_BOX = np.full(4, np.nan, np.float32)


def crop_actor(image: NDArray[np.uint8], box: NDArray[np.float32], view: str) -> NDArray[np.uint8]:
    """Return the part of a frame that a view shows.

    Args:
        image: Shape (H, W, 3), uint8.
        box: The actor's corners x1 y1 x2 y2 in pixels, shape (4,); NaN if there is no box of the actor in the frame.
        view: `frame` or `crop`.

    Returns:
        A view of the array. For `crop`, a square around the box, shifted to lie within the frame and clipped if it is
        larger than the frame; the whole frame if there is no box.

    >>> frame = np.zeros((100, 200, 3), np.uint8)
    >>> crop_actor(frame, np.array([10, 40, 50, 60], np.float32), "crop").shape
    (52, 52, 3)
    >>> crop_actor(frame, NO_BOX, "crop").shape
    (100, 200, 3)
    """
    if view == WHOLE_FRAME or np.isnan(box).any():
        return image
    height, width = image.shape[:2]
    side = max(CROP_MARGIN * max(box[2] - box[0], box[3] - box[1]), MIN_CROP_SIDE)
    left, right = _interval((box[0] + box[2]) / 2, side, width)
    top, bottom = _interval((box[1] + box[3]) / 2, side, height)
    return image[top:bottom, left:right]


def _interval(center: float, length: float, limit: int) -> tuple[int, int]:
    """Return start and end of an interval of pixels around a center, shifted and clipped to lie within [0, limit]."""
    size = min(round(float(length)), limit)
    start = min(max(round(float(center) - size / 2), 0), limit - size)
    return start, start + size
