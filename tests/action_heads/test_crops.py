"""What a head is shown of a frame."""

import numpy as np
import pytest

from action_heads.crops import CROP_MARGIN, MIN_CROP_SIDE, NO_BOX, crop_actor


@pytest.fixture(scope="module")
def frame():
    """Every pixel says where it is: its row in the first channel, its column in the second."""
    rows, columns = np.mgrid[:100, :200]
    return np.stack([rows, columns, np.zeros_like(rows)], axis=2).astype(np.uint8)


@pytest.mark.parametrize(
    ("box", "top_left", "shape"),
    [
        pytest.param([80, 40, 120, 60], (24, 74), (52, 52), id="around the longer side, with a margin"),
        pytest.param([0, 0, 40, 20], (0, 0), (52, 52), id="a corner: moved into the frame"),
        pytest.param([160, 80, 200, 100], (48, 148), (52, 52), id="the other corner"),
        pytest.param([20, 0, 120, 100], (0, 5), (100, 130), id="taller than the frame: clipped"),
        pytest.param([0, 0, 200, 100], (0, 0), (100, 200), id="all of the frame"),
        pytest.param([99, 49, 101, 51], (34, 84), (MIN_CROP_SIDE, MIN_CROP_SIDE), id="a speck"),
        pytest.param([100, 50, 100, 50], (34, 84), (MIN_CROP_SIDE, MIN_CROP_SIDE), id="a box without area"),
        pytest.param(NO_BOX, (0, 0), (100, 200), id="no box"),
    ],
)
def test_a_crop_is_a_square_around_the_actor(frame, box, top_left, shape):
    shown = crop_actor(frame, np.array(box, np.float32), "crop")
    assert shown.shape[:2] == shape
    assert tuple(shown[0, 0, :2]) == top_left
    assert CROP_MARGIN == 1.3, "heads in the field were trained with this margin"


def test_a_head_that_wants_frames_gets_them_whole(frame):
    assert crop_actor(frame, np.array([80, 40, 120, 60], np.float32), "frame") is frame


@pytest.mark.parametrize("size", [(10, 10), (1, 50)], ids=str)
def test_a_frame_smaller_than_the_least_side_is_shown_as_far_as_it_goes(size):
    image = np.zeros((*size, 3), np.uint8)
    assert crop_actor(image, np.array([2, 0, 4, 1], np.float32), "crop").shape[:2] == (size[0], min(size[1], 32))
