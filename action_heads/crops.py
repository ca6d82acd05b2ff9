"""What a head is shown of a frame: all of it, or a square around its actor. Training and tagging both ask here."""

import numpy as np
from numpy.typing import NDArray

WHOLE_FRAME, CROP, BOTH, MOVING = "frame", "crop", "both", "moving"
INPUT_KINDS = (CROP, WHOLE_FRAME, BOTH, MOVING)
VIEWS_BY_INPUT = {WHOLE_FRAME: (WHOLE_FRAME,), CROP: (CROP,), BOTH: (WHOLE_FRAME, CROP), MOVING: (WHOLE_FRAME, CROP)}
"""What the network is shown for each kind of input; of several, the features are laid side by side. `moving` heads are
also told how the actor moves through the clip."""

MOTION_LAYER = "motion"  # of a `moving` head: weight (outputs, M), without a bias
MOTION_DIM = 20  # M, as many as `actor_detector.motion.features.MOTION_FEATURES` names
CROP_MARGIN = 1.3  # side of the square over the box's longer side; part of what `crop` means in a head's manifest
MIN_CROP_SIDE = 32  # pixels; around a tinier box there is too little to see

NO_BOX = np.full(4, np.nan, np.float32)


def crop_actor(image: NDArray[np.uint8], box: NDArray[np.float32], kind: str) -> NDArray[np.uint8]:
    """Cut out of a frame what a head is fed with.

    Args:
        image: Shape (H, W, 3), uint8.
        box: The actor's corners x1 y1 x2 y2 in pixels, shape (4,); NaN where the frame has no box of it.
        kind: `frame` or `crop`.

    Returns:
        A view of the image. For `crop` a square around the box, moved into the frame where it sticks out and clipped
        where it is larger; all of the frame where there is no box.

    >>> frame = np.zeros((100, 200, 3), np.uint8)
    >>> crop_actor(frame, np.array([10, 40, 50, 60], np.float32), "crop").shape
    (52, 52, 3)
    >>> crop_actor(frame, NO_BOX, "crop").shape
    (100, 200, 3)
    """
    if kind == WHOLE_FRAME or np.isnan(box).any():
        return image
    height, width = image.shape[:2]
    side = max(CROP_MARGIN * max(box[2] - box[0], box[3] - box[1]), MIN_CROP_SIDE)
    left, right = _span((box[0] + box[2]) / 2, side, width)
    top, bottom = _span((box[1] + box[3]) / 2, side, height)
    return image[top:bottom, left:right]


def _span(centre: float, side: float, available: int) -> tuple[int, int]:
    """Lay a stretch of pixels around a centre, inside 0 to `available`."""
    length = min(round(float(side)), available)
    first = min(max(round(float(centre) - length / 2), 0), available - length)
    return first, first + length
