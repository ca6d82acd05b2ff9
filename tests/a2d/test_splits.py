"""The held-out split is never the one that is trained on."""

import pytest
from fake_a2d import write_clips_csv, write_course, write_release

from a2d.dataset import find_held_out_split
from common.errors import DatasetError


@pytest.mark.parametrize(
    ("write", "split", "expected"),
    [
        pytest.param(write_release, "train", "test", id="release"),
        pytest.param(write_release, "test", None, id="no other split"),
        pytest.param(write_clips_csv, "train", "test", id="csv"),
        pytest.param(write_course, "train", "val", id="course: the labels of test are withheld"),
        pytest.param(write_course, "val", "test", id="course, from val"),
    ],
)
def test_find_held_out_split_defaults(tmp_path, write, split, expected):
    assert find_held_out_split(write(tmp_path), split, None) == expected


@pytest.mark.parametrize("wanted", ["train", "tset"])
def test_find_held_out_split_rejects_other_splits(tmp_path, wanted):
    with pytest.raises(DatasetError, match=f"cannot hold out split '{wanted}'"):
        find_held_out_split(write_clips_csv(tmp_path), "train", wanted)
