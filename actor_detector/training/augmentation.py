"""Augmented views of labelled images, determined by a seed and a number, so that they can be reproduced.

A view is a window of the image at the detector's image size, randomly scaled, so that objects have about the size in
pixels that they have at inference, and little is wasted on padding. Half of the views are mosaics of four images
(Bochkovskiy et al. 2020, YOLOv4). Images with rare actors are sampled more often.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from actor_detector.letterbox import PADDING_VALUE, Letterbox
from actor_detector.training.pseudo_labels import PseudoLabelledImage
from video.image_files import read_image

MOSAIC_PROBABILITY = 0.5
FLIP_PROBABILITY = 0.5
SINGLE_SCALES = (0.6, 1.5)  # relative to the detector's image size
MOSAIC_SCALES = (0.4, 1.1)  # likewise
MOSAIC_CENTRE = (0.35, 0.65)  # range of the point where the four images meet, relative to the side of the view
ASPECT_JITTER = 0.15  # maximum change of log(width / height)
HSV_GAINS = (0.015, 0.5, 0.35)
MIN_RESIZED_SIDE = 8  # pixels
MIN_BOX_SIDE = 4.0  # pixels; smaller boxes are dropped
MIN_VISIBLE_SHARE = 0.3  # boxes of which a smaller share lies inside the view are dropped


@dataclass(frozen=True)
class TrainingView:
    """One training input of the detector and its targets.

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
    probabilities: NDArray[np.float64],
    image_size: int,
    side: int,
    seed: int,
    number: int,
) -> TrainingView:
    """Create one training view.

    Args:
        images: The images to sample from.
        probabilities: Sampling probability of each image, shape (images,), with sum 1.
        image_size: Long side in pixels to which the detector resizes its images.
        side: Side of the view in pixels.
        seed: Seed of the training.
        number: Number of the view; equal seeds and numbers give equal views.
    """
    rng = np.random.default_rng([seed, number])
    if rng.random() >= MOSAIC_PROBABILITY:
        (index,) = rng.choice(len(images), 1, p=probabilities)
        view = _random_window(images[index], image_size, (side, side), SINGLE_SCALES, rng)
    else:
        x, y = (int(side * rng.uniform(*MOSAIC_CENTRE)) for _ in range(2))
        indices = rng.choice(len(images), 4, p=probabilities)
        view = _mosaic([images[index] for index in indices], image_size, side, (x, y), rng)
    return TrainingView(_jitter_colours(view.image, rng), view.boxes, view.actor_index)


def plain_view(image: PseudoLabelledImage, image_size: int) -> TrainingView:
    """Letterbox a whole image into a square, without augmentation."""
    pixels = read_image(image.path)
    letterbox = Letterbox.fit_into((pixels.shape[1], pixels.shape[0]), (image_size, image_size))
    (canvas,) = letterbox.canvas(1)
    letterbox.paste(pixels, canvas)
    boxes = image.boxes * np.array(letterbox.resized_size * 2) + np.array(letterbox.offset * 2)
    return TrainingView(canvas, boxes.astype(np.float32), image.actor_index)


def sampling_probabilities(images: Sequence[PseudoLabelledImage], actors: int) -> NDArray[np.float64]:
    """Compute with which probability to sample each image, so that rare actors are seen more often.

    An image's weight is that of its rarest actor: one over the square root of the number of images with that actor.
    Images without actors have the weight of the most common actor.

    Returns:
        Shape (images,), with sum 1.
    """
    is_present = np.zeros((len(images), actors), bool)
    for row, image in enumerate(images):
        is_present[row, image.actor_index] = True
    actor_weights = 1 / np.sqrt(np.maximum(is_present.sum(axis=0), 1))
    weights = np.where(is_present.any(axis=1), (is_present * actor_weights).max(axis=1), actor_weights.min())
    return np.asarray(weights / weights.sum())


def _mosaic(
    images: Sequence[PseudoLabelledImage],
    image_size: int,
    side: int,
    centre: tuple[int, int],
    rng: np.random.Generator,
) -> TrainingView:
    """Combine random windows of four images, which meet at a point (x, y), into a square view."""
    x, y = centre
    tiles = [(0, 0, x, y), (x, 0, side, y), (0, y, x, side), (x, y, side, side)]
    canvas = np.full((side, side, 3), PADDING_VALUE, np.uint8)
    boxes, actors = [np.zeros((0, 4), np.float32)], [np.zeros(0, np.int64)]
    for image, (x1, y1, x2, y2) in zip(images, tiles, strict=True):
        window = _random_window(image, image_size, (x2 - x1, y2 - y1), MOSAIC_SCALES, rng)
        canvas[y1:y2, x1:x2] = window.image
        boxes.append(window.boxes + np.array([x1, y1, x1, y1], np.float32))
        actors.append(window.actor_index)
    return TrainingView(canvas, np.concatenate(boxes), np.concatenate(actors))


def _random_window(
    image: PseudoLabelledImage,
    image_size: int,
    size: tuple[int, int],
    scales: tuple[float, float],
    rng: np.random.Generator,
) -> TrainingView:
    """Crop a window (width, height) out of a randomly resized and flipped image; grey beyond the image's borders."""
    pixels, boxes = _resize_randomly(read_image(image.path), image.boxes, image_size, scales, rng)
    height, width = pixels.shape[:2]
    # The window lies anywhere within a larger image, and contains all of a smaller one.
    left = round(rng.uniform(min(0, width - size[0]), max(0, width - size[0])))
    top = round(rng.uniform(min(0, height - size[1]), max(0, height - size[1])))
    canvas = np.full((size[1], size[0], 3), PADDING_VALUE, np.uint8)
    x1, y1, x2, y2 = max(left, 0), max(top, 0), min(left + size[0], width), min(top + size[1], height)
    canvas[y1 - top : y2 - top, x1 - left : x2 - left] = pixels[y1:y2, x1:x2]
    moved = boxes - np.array([left, top] * 2, np.float32)
    clipped = moved.clip(0, np.array([*size, *size], np.float32))
    sides = clipped[:, 2:] - clipped[:, :2]
    visible_share = sides.prod(axis=1) / np.maximum((moved[:, 2:] - moved[:, :2]).prod(axis=1), 1e-6)
    selected = (sides.min(axis=1, initial=np.inf) >= MIN_BOX_SIDE) & (visible_share >= MIN_VISIBLE_SHARE)
    return TrainingView(canvas, clipped[selected].astype(np.float32), image.actor_index[selected])


def _resize_randomly(
    pixels: NDArray[np.uint8],
    boxes: NDArray[np.float32],
    image_size: int,
    scales: tuple[float, float],
    rng: np.random.Generator,
) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """Resize an image with a random scale and aspect ratio and flip half of them; its boxes become pixels."""
    height, width = pixels.shape[:2]
    scale = image_size / max(height, width) * np.exp(rng.uniform(*np.log(scales)))
    stretch = np.exp(rng.uniform(-ASPECT_JITTER, ASPECT_JITTER) / 2)
    new_width = max(round(width * scale * stretch), MIN_RESIZED_SIDE)
    new_height = max(round(height * scale / stretch), MIN_RESIZED_SIDE)
    resized = np.asarray(cv2.resize(pixels, (new_width, new_height), interpolation=cv2.INTER_LINEAR), np.uint8)
    if rng.random() < FLIP_PROBABILITY:
        resized = resized[:, ::-1]
        boxes = boxes[:, [2, 1, 0, 3]]
        boxes[:, [0, 2]] = 1 - boxes[:, [0, 2]]
    return resized, boxes * np.array([new_width, new_height] * 2, np.float32)


def _jitter_colours(image: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
    """Change hue, saturation and brightness randomly."""
    hue, saturation, value = 1 + rng.uniform(-1, 1, 3) * HSV_GAINS
    levels = np.arange(256, dtype=np.float64)
    tables = [(levels * hue) % 180, (levels * saturation).clip(0, 255), (levels * value).clip(0, 255)]
    channels = cv2.split(cv2.cvtColor(image, cv2.COLOR_BGR2HSV))
    changed = [cv2.LUT(c, table.astype(np.uint8)) for c, table in zip(channels, tables, strict=True)]
    return np.asarray(cv2.cvtColor(cv2.merge(changed), cv2.COLOR_HSV2BGR), dtype=np.uint8)
