"""The letterbox: the same pixels and boxes as in Ultralytics, and as in the formulas that it replaced."""

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from actor_detector.int8_calibration import letterboxed
from actor_detector.letterbox import Letterbox
from actor_detector.training.augmentation import plain_view
from actor_detector.training.pseudo_labels import PseudoLabelledImage
from video.frames import Frame, resize_image

SIZES = [(426, 240), (240, 426), (320, 320), (33, 500), (1920, 1080), (7, 5), (1279, 533)]


class ArrayPicture:
    """A decoded picture whose pixels are in memory."""

    def __init__(self, pixels: np.ndarray) -> None:
        self.pixels = pixels
        self.size = (pixels.shape[1], pixels.shape[0])

    def image(self, size: tuple[int, int] | None = None) -> np.ndarray:
        return resize_image(self.pixels, size or self.size)


def noise(size: tuple[int, int]) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3)).astype(np.uint8)


COMMON_SIZES = [(426, 240), (240, 426), (1920, 1080), (1080, 1920), (320, 240), (480, 640), (320, 320)]


@pytest.mark.parametrize("image_size", [224, 320, 640])
@pytest.mark.parametrize("size", COMMON_SIZES, ids=str)
def test_frames_of_common_shapes_are_fitted_as_by_ultralytics(size, image_size):
    from ultralytics.data.augment import LetterBox
    from ultralytics.utils.ops import scale_boxes

    letterbox, image = Letterbox.fit(size, image_size), noise(size)
    (inputs,) = letterbox.canvas(1)
    letterbox.paste(image, inputs)
    np.testing.assert_array_equal(inputs, LetterBox(image_size, auto=True, stride=32)(image=image))
    boxes = np.array([[-3, 2, 100, 90], [10, 10, 224, 224]], np.float32)
    expected = scale_boxes(inputs.shape[:2], torch.from_numpy(boxes.copy()), image.shape[:2])
    np.testing.assert_allclose(letterbox.to_frame(boxes), expected, atol=1e-3)


@pytest.mark.parametrize("image_size", [224, 320, 640])
@pytest.mark.parametrize("size", [*SIZES, (568, 320), (1000, 430), (430, 1000), (2048, 858), (5000, 3)], ids=str)
def test_other_frames_get_more_grey_and_keep_their_pixels(size, image_size):
    from ultralytics.data.augment import LetterBox

    letterbox, image = Letterbox.fit(size, image_size), noise(size)
    (inputs,) = letterbox.canvas(1)
    letterbox.paste(image, inputs)
    if min(letterbox.resized_size) > 1:
        expected = LetterBox(letterbox.input_size[::-1], auto=False)(image=image)
        np.testing.assert_array_equal(inputs, expected)
    assert max(inputs.shape) == image_size
    corners = np.array([[*letterbox.offset, *np.add(letterbox.offset, letterbox.resized_size)]], np.float32)
    np.testing.assert_allclose(letterbox.to_frame(corners), [[0, 0, *size]], rtol=1e-5)


@pytest.mark.parametrize(("image_size", "shapes"), [(96, 3), (224, 5), (320, 5), (416, 5), (640, 5)])
def test_all_frame_sizes_share_few_input_sizes(image_size, shapes):
    sizes = [(width, height) for width in range(16, 2000, 67) for height in range(16, 2000, 61)]
    letterboxes = [Letterbox.fit(size, image_size) for size in sizes]
    assert len({letterbox.input_size for letterbox in letterboxes}) == shapes
    assert all(np.greater_equal(each.input_size, each.resized_size).all() for each in letterboxes)


@pytest.mark.parametrize("input_size", [(224, 224), (224, 128), (160, 320)], ids=str)
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_calibration_images_are_scaled_and_centred(size, input_size):
    width, height = input_size
    gain = min(width / size[0], height / size[1])
    resized = max(1, round(size[0] * gain)), max(1, round(size[1] * gain))
    left, top = (width - resized[0]) // 2, (height - resized[1]) // 2
    expected = np.full((height, width, 3), 114, np.uint8)
    expected[top : top + resized[1], left : left + resized[0]] = resize_image(noise(size), resized)
    frame = Frame(0, 0.0, 0.04, ArrayPicture(noise(size)))
    np.testing.assert_array_equal(letterboxed(frame, (height, width)), expected)


@pytest.mark.parametrize("image_size", [96, 320])
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_plain_views_are_scaled_and_centred(size, image_size, tmp_path: Path):
    path = tmp_path / "image.png"
    cv2.imwrite(str(path), noise(size))
    boxes = np.random.default_rng(1).random((5, 4)).astype(np.float32)
    view = plain_view(PseudoLabelledImage(path, boxes, np.ones(5, np.float32), np.arange(5)), image_size)
    scale = image_size / max(size)
    width, height = round(size[0] * scale), round(size[1] * scale)
    left, top = (image_size - width) // 2, (image_size - height) // 2
    expected = np.full((image_size, image_size, 3), 114, np.uint8)
    expected[top : top + height, left : left + width] = cv2.resize(noise(size), (width, height))
    np.testing.assert_array_equal(view.image, expected)
    expected_boxes = (boxes * np.array([width, height] * 2) + np.array([left, top] * 2)).astype(np.float32)
    np.testing.assert_array_equal(view.boxes, expected_boxes)
    assert view.boxes.dtype == np.float32


def test_a_frame_thinner_than_a_pixel_keeps_one():
    assert Letterbox.fit((5000, 3), 224).resized_size == (224, 1)
    assert Letterbox.fit_into((3, 5000), (224, 224)).resized_size == (1, 224)
