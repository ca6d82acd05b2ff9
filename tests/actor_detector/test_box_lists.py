"""Lists of known boxes: reading them, and what they replace."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from actor_detector.training.box_lists import read_boxes, replace_boxes
from actor_detector.training.pseudo_labels import PseudoLabelledImage
from common.errors import DatasetError

BALL, DOG = 1, 5


@pytest.fixture
def image(tmp_path: Path) -> Path:
    """A picture of 100 x 50 pixels in a subfolder."""
    path = tmp_path / "photos" / "one.png"
    path.parent.mkdir()
    cv2.imwrite(str(path), np.zeros((50, 100, 3), np.uint8))
    return path


def write(folder: Path, *rows: str, header: str = "file,x1,y1,x2,y2") -> Path:
    path = folder / "balls.csv"
    path.write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")
    return path


def test_boxes_become_fractions_of_their_image(tmp_path: Path, image: Path):
    path = write(tmp_path, "photos/one.png,10,20,30,40", "photos/../photos/one.png,0,0,100,50")
    found = read_boxes(path)
    assert list(found) == [image.resolve()]
    assert found[image.resolve()] == pytest.approx(np.array([[0.1, 0.4, 0.3, 0.8], [0, 0, 1, 1]]))


def test_columns_are_found_by_name_and_others_ignored(tmp_path: Path, image: Path):
    path = write(tmp_path, "40;x;photos/one.png;10;20;30", header="Y2;remark;File;X1;Y1;X2")
    assert read_boxes(path)[image.resolve()] == pytest.approx(np.array([[0.1, 0.4, 0.3, 0.8]]))


def test_a_row_without_corners_says_that_there_is_none(tmp_path: Path, image: Path):
    assert read_boxes(write(tmp_path, "photos/one.png,,,,"))[image.resolve()].shape == (0, 4)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("photos/one.png,10,20,30", "5 cells were expected"),
        ("photos/one.png,10,20,30,", "four numbers were expected"),
        ("photos/one.png,a,20,30,40", "four numbers were expected"),
        ("photos/one.png,nan,20,30,40", "x1 < x2"),
        ("photos/one.png,30,20,10,40", "x1 < x2"),
        ("photos/one.png,10,20,300,40", "100 x 50 pixels"),
        ("photos/two.png,10,20,30,40", "no such file"),
        ("balls.csv,10,20,30,40", "not a readable image"),
    ],
)
def test_a_wrong_row_is_named(tmp_path: Path, image: Path, row: str, message: str):
    path = write(tmp_path, "photos/one.png,1,2,3,4", row)
    with pytest.raises(DatasetError, match=message) as error:
        read_boxes(path)
    assert f"{path}:3" in str(error.value)


def test_known_boxes_replace_those_of_one_actor_in_the_images_they_name(tmp_path: Path, image: Path):
    def labelled(path: Path) -> PseudoLabelledImage:
        boxes = np.array([[0, 0, 0.5, 0.5], [0.2, 0.2, 0.4, 0.4]], np.float32)
        return PseudoLabelledImage(path, boxes, np.array([0.9, 0.3], np.float32), np.array([DOG, BALL]))

    known = {image.resolve(): np.array([[0.7, 0.7, 0.8, 0.8], [0.1, 0.7, 0.2, 0.8]], np.float32)}
    changed, other = replace_boxes([labelled(image), labelled(tmp_path / "other.png")], known, BALL)
    assert changed.path == image
    assert changed.actor_index.tolist() == [DOG, BALL, BALL]
    assert changed.boxes[1:] == pytest.approx(known[image.resolve()])
    assert changed.confidence == pytest.approx([0.9, 1, 1])
    assert other.actor_index.tolist() == [DOG, BALL]
