"""Training views: boxes stay on their objects, and equal seeds and numbers give equal views."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from actor_detector.training.augmentation import augmented_view, plain_view, sampling_probabilities
from actor_detector.training.pseudo_labels import PseudoLabelledImage

SIDE = 128


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> list[PseudoLabelledImage]:
    """Black images with one saturated red rectangle each, which is their only box, labelled as actor 2."""
    folder = tmp_path_factory.mktemp("images")
    created = []
    for number, (height, width) in enumerate([(90, 160), (120, 80), (100, 100)]):
        image = np.zeros((height, width, 3), np.uint8)
        x1, y1, x2, y2 = width // 4, height // 4, width * 3 // 4, height // 2
        image[y1:y2, x1:x2] = (0, 0, 255)
        path = folder / f"{number}.png"
        cv2.imwrite(str(path), image)
        box = np.array([[x1 / width, y1 / height, x2 / width, y2 / height]], np.float32)
        created.append(PseudoLabelledImage(path, box, np.array([0.9], np.float32), np.array([2])))
    return created


def red(image: np.ndarray) -> np.ndarray:
    """Return a mask of the pixels that are red, neither grey nor black."""
    pixels = image.astype(int)
    return (pixels[..., 2] > 90) & (pixels[..., 2] > 1.5 * pixels[..., :2].max(axis=2))


def test_seed_and_number_determine_a_view(images):
    probabilities = sampling_probabilities(images, 6)
    view, same, other = (augmented_view(images, probabilities, 160, SIDE, 1, number) for number in (5, 5, 6))
    assert (view.image == same.image).all()
    assert (view.boxes == same.boxes).all()
    assert (view.image != other.image).any()


def test_boxes_contain_only_red(images):
    probabilities = sampling_probabilities(images, 6)
    views_with_one_box = 0
    for number in range(60):
        view = augmented_view(images, probabilities, 160, SIDE, 0, number)
        assert view.image.shape == (SIDE, SIDE, 3)
        assert (view.actor_index == 2).all()
        assert ((view.boxes >= 0) & (view.boxes <= SIDE)).all()
        views_with_one_box += len(view.boxes) == 1
        for box in view.boxes:
            x1, y1, x2, y2 = box.round().astype(int)
            inside = red(view.image)[y1:y2, x1:x2]
            assert inside[1:-1, 1:-1].mean() > 0.95
    assert views_with_one_box > 10


def test_red_outside_all_boxes_is_at_most_slivers(images):
    probabilities = sampling_probabilities(images, 6)
    for number in range(60):
        view = augmented_view(images, probabilities, 160, SIDE, 3, number)
        mask = red(view.image)
        for x1, y1, x2, y2 in view.boxes.round().astype(int):
            mask[max(y1 - 2, 0) : y2 + 2, max(x1 - 2, 0) : x2 + 2] = False
        # What remains belongs to rectangles of which less than the minimum visible share is in the view.
        assert mask.sum() < 1000


def test_plain_view_is_letterboxed(images):
    view = plain_view(images[0], 160)
    assert view.image.shape == (160, 160, 3)
    assert (view.image[:30] == 114).all()  # 90 of 160 rows are centred
    assert view.boxes[0] == pytest.approx([40, 35 + 22, 120, 35 + 45], abs=1)


def test_images_with_rare_actors_are_sampled_more_often():
    def image(*actors: int) -> PseudoLabelledImage:
        count = len(actors)
        return PseudoLabelledImage(
            Path("x"), np.zeros((count, 4), np.float32), np.zeros(count, np.float32), np.array(actors, int)
        )

    probabilities = sampling_probabilities([image(0), image(0), image(0), image(0, 1), image()], 2)
    assert probabilities.sum() == pytest.approx(1)
    assert probabilities[3] == pytest.approx(2 * probabilities[0])  # actor 1 is in one image, actor 0 in four
    assert probabilities[4] == pytest.approx(probabilities[0])
