"""Image files: finding and reading them."""

import os

import cv2
import numpy as np
import pytest

from common.errors import DatasetError
from video.image_files import find_images, read_image, read_image_size


@pytest.fixture
def image(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (5, 7, 3)).astype(np.uint8)
    path = tmp_path / "folder" / "deeper" / "b.PNG"
    path.parent.mkdir(parents=True)
    cv2.imwrite(str(path), pixels)
    return path, pixels


def test_pixels_are_bgr_and_the_size_is_width_and_height(image):
    path, pixels = image
    np.testing.assert_array_equal(read_image(path), pixels)
    assert read_image_size(path) == (7, 5)


@pytest.mark.parametrize("read", [read_image, read_image_size])
@pytest.mark.parametrize("content", [None, b"no image"], ids=["missing", "text"])
def test_unreadable_image_is_named(tmp_path, read, content):
    path = tmp_path / "no.png"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(DatasetError, match=r"no\.png: not a readable image"):
        read(path)


def test_images_are_found_recursively_and_sorted(image, tmp_path):
    path, _ = image
    (tmp_path / "folder" / "a.jpg").touch()
    (tmp_path / "folder" / "notes.txt").touch()
    assert find_images(tmp_path) == [tmp_path / "folder" / "a.jpg", path]


def test_hidden_files_folders_and_pipes_are_no_images(image, tmp_path):
    path, _ = image
    for name in ("._a.jpg", ".Trash-1000/a.jpg", "folder.jpg/notes.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    os.mkfifo(tmp_path / "pipe.jpg")
    assert find_images(tmp_path) == [path]


def test_folder_without_images_is_refused(tmp_path):
    with pytest.raises(DatasetError, match="no images there"):
        find_images(tmp_path)
