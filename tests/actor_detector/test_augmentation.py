"""Views: the boxes stay where the things are."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from actor_detector.training.augmentation import augmented_view, balanced_chances, plain_view
from actor_detector.training.pseudo_labels import PseudoLabelledImage

SIDE = 128


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> list[PseudoLabelledImage]:
    """Black images with one saturated red rectangle each, which is the one thing labelled, as actor 2."""
    folder = tmp_path_factory.mktemp("images")
    made = []
    for number, (height, width) in enumerate([(90, 160), (120, 80), (100, 100)]):
        image = np.zeros((height, width, 3), np.uint8)
        x1, y1, x2, y2 = width // 4, height // 4, width * 3 // 4, height // 2
        image[y1:y2, x1:x2] = (0, 0, 255)
        path = folder / f"{number}.png"
        cv2.imwrite(str(path), image)
        box = np.array([[x1 / width, y1 / height, x2 / width, y2 / height]], np.float32)
        made.append(PseudoLabelledImage(path, box, np.array([0.9], np.float32), np.array([2])))
    return made


def red(image: np.ndarray) -> np.ndarray:
    """Where an image is red and not grey or black."""
    pixels = image.astype(int)
    return (pixels[..., 2] > 90) & (pixels[..., 2] > 1.5 * pixels[..., :2].max(axis=2))


def test_a_view_is_decided_by_seed_and_number(images):
    chances = balanced_chances(images, 6)
    one, same, other = (augmented_view(images, chances, 160, SIDE, 1, number) for number in (5, 5, 6))
    assert (one.image == same.image).all()
    assert (one.boxes == same.boxes).all()
    assert (one.image != other.image).any()


def test_boxes_cover_what_is_red_and_nothing_else(images):
    chances = balanced_chances(images, 6)
    singles = 0
    for number in range(60):
        view = augmented_view(images, chances, 160, SIDE, 0, number)
        assert view.image.shape == (SIDE, SIDE, 3)
        assert (view.actor_index == 2).all()
        assert ((view.boxes >= 0) & (view.boxes <= SIDE)).all()
        if len(view.boxes) == 1:
            singles += 1
        for box in view.boxes:
            x1, y1, x2, y2 = box.round().astype(int)
            inside = red(view.image)[y1:y2, x1:x2]
            assert inside[1:-1, 1:-1].mean() > 0.95  # the box lies on red
    assert singles > 10


def test_nothing_red_lies_outside_all_boxes_but_slivers(images):
    chances = balanced_chances(images, 6)
    for number in range(60):
        view = augmented_view(images, chances, 160, SIDE, 3, number)
        mask = red(view.image)
        for x1, y1, x2, y2 in view.boxes.round().astype(int):
            mask[max(y1 - 2, 0) : y2 + 2, max(x1 - 2, 0) : x2 + 2] = False
        # What is left belongs to rectangles of which less than the smallest part that counts is in the view.
        assert mask.sum() < 4 * 0.35 * (80 * 1.6) * (40 * 1.6)


def test_a_plain_view_letterboxes(images):
    view = plain_view(images[0], 160)
    assert view.image.shape == (160, 160, 3)
    assert (view.image[:30] == 114).all()  # 90 lines of 160 are centred
    assert view.boxes[0] == pytest.approx([40, 35 + 22, 120, 35 + 45], abs=1)


def test_images_with_rare_actors_are_drawn_more_often():
    def image(*actors: int) -> PseudoLabelledImage:
        count = len(actors)
        return PseudoLabelledImage(
            Path("x"), np.zeros((count, 4), np.float32), np.zeros(count, np.float32), np.array(actors, int)
        )

    chances = balanced_chances([image(0), image(0), image(0), image(0, 1), image()], 2)
    assert chances.sum() == pytest.approx(1)
    assert chances[3] == pytest.approx(2 * chances[0])  # one image shows actor 1, four show actor 0
    assert chances[4] == pytest.approx(chances[0])
