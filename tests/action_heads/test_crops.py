"""Views of a frame."""

import numpy as np
import pytest

from action_heads.crops import CROP_MARGIN, MIN_CROP_SIDE, NO_BOX, crop_actor


@pytest.fixture(scope="module")
def frame():
    """An image whose pixels contain their own row in the first channel and their column in the second."""
    rows, columns = np.mgrid[:100, :200]
    return np.stack([rows, columns, np.zeros_like(rows)], axis=2).astype(np.uint8)


@pytest.mark.parametrize(
    ("box", "top_left", "shape"),
    [
        pytest.param([80, 40, 120, 60], (24, 74), (52, 52), id="square over the longer side, with a margin"),
        pytest.param([0, 0, 40, 20], (0, 0), (52, 52), id="at a corner: shifted into the frame"),
        pytest.param([160, 80, 200, 100], (48, 148), (52, 52), id="at the opposite corner"),
        pytest.param([20, 0, 120, 100], (0, 5), (100, 130), id="larger than the frame: clipped"),
        pytest.param([0, 0, 200, 100], (0, 0), (100, 200), id="the whole frame"),
        pytest.param([99, 49, 101, 51], (34, 84), (MIN_CROP_SIDE, MIN_CROP_SIDE), id="tiny box: minimum side"),
        pytest.param([100, 50, 100, 50], (34, 84), (MIN_CROP_SIDE, MIN_CROP_SIDE), id="box without area"),
        pytest.param(NO_BOX, (0, 0), (100, 200), id="no box"),
    ],
)
def test_crop_is_a_square_around_the_box(frame, box, top_left, shape):
    crop = crop_actor(frame, np.array(box, np.float32), "crop")
    assert crop.shape[:2] == shape
    assert tuple(crop[0, 0, :2]) == top_left
    assert CROP_MARGIN == 1.3, "existing heads were trained with this margin"


def test_view_frame_is_the_whole_frame(frame):
    assert crop_actor(frame, np.array([80, 40, 120, 60], np.float32), "frame") is frame


@pytest.mark.parametrize("size", [(10, 10), (1, 50)], ids=str)
def test_crop_of_a_frame_smaller_than_the_minimum_side_is_clipped(size):
    image = np.zeros((*size, 3), np.uint8)
    assert crop_actor(image, np.array([2, 0, 4, 1], np.float32), "crop").shape[:2] == (size[0], min(size[1], 32))
