"""Augmented views of labelled images, made from a seed and a number alone, so that they can be made again.

A view is a window of the picture as the detector will see it (resized to its image size, then larger or smaller by
chance), so that things keep the size in pixels that they will have, and little is spent on padding. Half of the views
are mosaics of four images (Bochkovskiy et al. 2020, YOLOv4). Images with rare actors are drawn more often.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from actor_detector.training.pseudo_labels import PseudoLabelledImage, read_image

PADDING_VALUE = 114  # as Ultralytics pads
MOSAIC_SHARE = 0.5
SINGLE_SCALES = (0.6, 1.5)
MOSAIC_SCALES = (0.4, 1.1)
STRETCH = 0.15  # of width against height, either way
HSV_GAINS = (0.015, 0.5, 0.35)
SMALLEST_SIDE = 4.0  # pixels; boxes below it are dropped
SMALLEST_PART = 0.3  # of a box that must still be inside the view


@dataclass(frozen=True)
class TrainingView:
    """One input of the detector and what is in it.

    Attributes:
        image: Shape (S, S, 3), uint8, BGR.
        boxes: Corners x1 y1 x2 y2 in pixels of the view, shape (N, 4), float32.
        actor_index: Shape (N,), int64.
    """

    image: NDArray[np.uint8]
    boxes: NDArray[np.float32]
    actor_index: NDArray[np.int64]


def augmented_view(
    images: Sequence[PseudoLabelledImage],
    chances: NDArray[np.float64],
    image_size: int,
    side: int,
    seed: int,
    number: int,
) -> TrainingView:
    """Make one training view.

    Args:
        images: What there is to draw from.
        chances: With which probability each is drawn, shape (images,), adding up to 1.
        image_size: Long side in pixels to which the detector resizes its images.
        side: Of the view in pixels.
        seed: Of the training.
        number: Of the view; the same seed and number give the same view.

    Returns:
        The view.
    """
    random = np.random.default_rng([seed, number])
    if random.random() >= MOSAIC_SHARE:
        (place,) = random.choice(len(images), 1, p=chances)
        view = _window(images[place], image_size, (side, side), SINGLE_SCALES, random)
    else:
        x, y = (int(side * random.uniform(0.35, 0.65)) for _ in range(2))
        tiles = [(0, 0, x, y), (x, 0, side, y), (0, y, x, side), (x, y, side, side)]
        view = TrainingView(
            np.full((side, side, 3), PADDING_VALUE, np.uint8), np.zeros((0, 4), np.float32), np.zeros(0, np.int64)
        )
        for place, (x1, y1, x2, y2) in zip(random.choice(len(images), 4, p=chances), tiles, strict=True):
            part = _window(images[place], image_size, (x2 - x1, y2 - y1), MOSAIC_SCALES, random)
            view.image[y1:y2, x1:x2] = part.image
            boxes = part.boxes + np.array([x1, y1, x1, y1], np.float32)
            view = TrainingView(
                view.image,
                np.concatenate([view.boxes, boxes]),
                np.concatenate([view.actor_index, part.actor_index]),
            )
    return TrainingView(_recolour(view.image, random), view.boxes, view.actor_index)


def plain_view(image: PseudoLabelledImage, image_size: int) -> TrainingView:
    """Letterbox an image as the detector does at work: the whole of it, centred on grey."""
    pixels = read_image(image.path)
    height, width = pixels.shape[:2]
    scale = image_size / max(height, width)
    new_width, new_height = round(width * scale), round(height * scale)
    left, top = (image_size - new_width) // 2, (image_size - new_height) // 2
    canvas = np.full((image_size, image_size, 3), PADDING_VALUE, np.uint8)
    canvas[top : top + new_height, left : left + new_width] = cv2.resize(pixels, (new_width, new_height))
    boxes = image.boxes * np.array([new_width, new_height] * 2) + np.array([left, top] * 2)
    return TrainingView(canvas, boxes.astype(np.float32), image.actor_index)


def balanced_chances(images: Sequence[PseudoLabelledImage], actors: int) -> NDArray[np.float64]:
    """Give each image the chance of its rarest actor: one over the square root of how many images show that actor.

    Returns:
        Shape (images,), adding up to 1. An image that shows no actor gets the chance of the commonest one.
    """
    shows = np.zeros((len(images), actors), bool)
    for row, image in enumerate(images):
        shows[row, image.actor_index] = True
    rarity = 1 / np.sqrt(np.maximum(shows.sum(axis=0), 1))
    chances = np.where(shows.any(axis=1), (shows * rarity).max(axis=1), rarity.min())
    return np.asarray(chances / chances.sum())


def _window(
    image: PseudoLabelledImage,
    image_size: int,
    size: tuple[int, int],
    scales: tuple[float, float],
    random: np.random.Generator,
) -> TrainingView:
    """Cut a window of (width, height) out of a resized, perhaps mirrored image; grey where the image ends."""
    pixels = read_image(image.path)
    height, width = pixels.shape[:2]
    scale = image_size / max(height, width) * np.exp(random.uniform(*np.log(scales)))
    stretch = np.exp(random.uniform(-STRETCH, STRETCH) / 2)
    new_width, new_height = max(round(width * scale * stretch), 8), max(round(height * scale / stretch), 8)
    pixels = np.asarray(cv2.resize(pixels, (new_width, new_height), interpolation=cv2.INTER_LINEAR), np.uint8)
    boxes = image.boxes.copy()
    if random.random() < 0.5:
        pixels = pixels[:, ::-1]
        boxes = boxes[:, [2, 1, 0, 3]]
        boxes[:, [0, 2]] = 1 - boxes[:, [0, 2]]
    boxes = boxes * np.array([new_width, new_height] * 2, np.float32)
    canvas = np.full((size[1], size[0], 3), PADDING_VALUE, np.uint8)
    # The window's corner in the image: anywhere inside a larger image, and so that a smaller one lies wholly in it.
    left = round(random.uniform(min(0, new_width - size[0]), max(0, new_width - size[0])))
    top = round(random.uniform(min(0, new_height - size[1]), max(0, new_height - size[1])))
    x1, y1, x2, y2 = max(left, 0), max(top, 0), min(left + size[0], new_width), min(top + size[1], new_height)
    canvas[y1 - top : y2 - top, x1 - left : x2 - left] = pixels[y1:y2, x1:x2]
    moved = boxes - np.array([left, top] * 2, np.float32)
    clipped = moved.clip(0, np.array([*size, *size], np.float32))
    sides = clipped[:, 2:] - clipped[:, :2]
    part = sides.prod(axis=1) / np.maximum((moved[:, 2:] - moved[:, :2]).prod(axis=1), 1e-6)
    kept = (sides.min(axis=1, initial=np.inf) >= SMALLEST_SIDE) & (part >= SMALLEST_PART)
    return TrainingView(canvas, clipped[kept].astype(np.float32), image.actor_index[kept])


def _recolour(image: NDArray[np.uint8], random: np.random.Generator) -> NDArray[np.uint8]:
    """Change hue, saturation and brightness by chance."""
    hue, saturation, value = 1 + random.uniform(-1, 1, 3) * HSV_GAINS
    steps = np.arange(256, dtype=np.float64)
    tables = [(steps * hue) % 180, (steps * saturation).clip(0, 255), (steps * value).clip(0, 255)]
    channels = cv2.split(cv2.cvtColor(image, cv2.COLOR_BGR2HSV))
    changed = [cv2.LUT(c, table.astype(np.uint8)) for c, table in zip(channels, tables, strict=True)]
    return np.asarray(cv2.cvtColor(cv2.merge(changed), cv2.COLOR_HSV2BGR), dtype=np.uint8)
