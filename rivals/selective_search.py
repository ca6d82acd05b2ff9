"""Selective search: boxes that may hold an object, without knowing which objects there are.

The method is that of J. R. R. Uijlings et al., "Selective Search for Object Recognition", IJCV 2013, with what it calls
its single strategy: the picture as hue, saturation and value; the regions of `rivals.graph_segmentation`; then, again
and again, the two most similar regions that touch become one, until one is left. The similarity is the sum of four:
how alike their colours are, how alike their textures, how small they are, and how well one fits into the other. Every
region that there ever was gives a box.

It works on a small copy of the frame, so that a frame takes some hundredths of a second.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rivals.graph_segmentation import segment, touching

COPY_PIXELS = 96  # longer side of the small copy
SCALE, MIN_SIZE = 100.0, 20
BLUR_SIGMA = 0.8
COLOUR_BINS, TEXTURE_BINS, DIRECTIONS = 25, 10, 8
STRONGEST = 128.0  # response of the derivative that falls into the last bin of the textures


@dataclass
class _Regions:
    """What is known of the regions.

    Attributes:
        sizes: In pixels of the copy, shape (R,).
        boxes: Left, top, right, bottom in pixels of the copy, right and bottom excluded, shape (R, 4).
        histograms: Of colours and of textures, each of the shape (R, bins); a region's adds up to 1.
        area: Of the copy, in pixels.
    """

    sizes: NDArray[np.float64]
    boxes: NDArray[np.int64]
    histograms: tuple[NDArray[np.float32], NDArray[np.float32]]
    area: int

    def similarities(self, one: int, others: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return how similar a region is to some others, the sum of four numbers of at most 1."""
        alike = sum(np.minimum(bins[one], bins[others]).sum(axis=1) for bins in self.histograms)
        sizes = self.sizes[one] + self.sizes[others]
        around = _around(self.boxes[one], self.boxes[others])
        return np.asarray(alike + (1 - sizes / self.area) + (1 - (box_areas(around) - sizes) / self.area))

    def merge(self, one: int, other: int) -> None:
        """Make a region of two, in the place of the first."""
        sizes = self.sizes[[one, other]]
        for bins in self.histograms:
            bins[one] = sizes @ bins[[one, other]] / sizes.sum()
        self.sizes[one] = sizes.sum()
        self.boxes[one] = _around(self.boxes[one], self.boxes[other])


def propose_boxes(frame: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Return the boxes of a frame that may hold an object.

    Args:
        frame: Shape (H, W, 3), uint8, BGR.

    Returns:
        Left, top, right, bottom in pixels of the frame, right and bottom excluded, shape (boxes, 4), each but once;
        from the region that was made last, which is the whole frame, to the parts that were there first.
    """
    import cv2

    height, width = frame.shape[:2]
    shrunk = min(1.0, COPY_PIXELS / max(height, width))
    size = max(1, round(width * shrunk)), max(1, round(height * shrunk))
    copy = cv2.resize(frame, size, interpolation=cv2.INTER_AREA)
    hsv = cv2.cvtColor(copy, cv2.COLOR_BGR2HSV_FULL).astype(np.float32)
    hsv = np.asarray(cv2.GaussianBlur(hsv, (0, 0), BLUR_SIGMA), np.float32)
    boxes = group(segment(hsv, SCALE, MIN_SIZE), hsv)[::-1]
    boxes = boxes[np.sort(np.unique(boxes, axis=0, return_index=True)[1])]
    sides, divisor = np.array([width, height]), np.array(size)
    first, last = boxes[:, :2] * sides // divisor, -(-boxes[:, 2:] * sides // divisor)  # rounded outwards
    return np.concatenate([first, last], axis=1)


def suppress(boxes: NDArray[np.int64], most_overlap: float) -> NDArray[np.int64]:
    """Drop every box that overlaps one before it, which is kept, too much.

    Args:
        boxes: Left, top, right, bottom, shape (N, 4), the preferred first; none is empty.
        most_overlap: Largest intersection over union, in [0, 1], of two boxes that are both kept.

    Returns:
        The others, in the same order.
    """
    kept = []
    left = boxes
    while len(left):
        first, left = left[0], left[1:]
        kept.append(first)
        left = left[overlaps(first, left) <= most_overlap]
    return np.stack(kept) if kept else boxes


def overlaps(box: NDArray[np.int64], others: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the intersection over union of a box (4,) and some others (N, 4), none of them empty; shape (N,)."""
    shared = np.minimum(box[2:], others[:, 2:]) - np.maximum(box[:2], others[:, :2])
    intersection = shared.clip(min=0).prod(axis=1)
    return np.asarray(intersection / (box_areas(others) + box_areas(box) - intersection))


def box_areas(boxes: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the areas of boxes (..., 4) in square pixels, shape (...)."""
    return np.asarray((boxes[..., 2:] - boxes[..., :2]).prod(axis=-1))


def group(regions: NDArray[np.int64], picture: NDArray[np.float32]) -> NDArray[np.int64]:
    """Join regions that touch, the most similar first, until one is left.

    Args:
        regions: Of each pixel, shape (H, W), from 0, numbered without gaps.
        picture: Shape (H, W, 3), values from 0 to 255.

    Returns:
        The boxes of the regions, and of those that they were joined to, in that order, shape (2 * regions - 1, 4):
        left, top, right, bottom in pixels, right and bottom excluded.
    """
    found = _describe(regions, picture)
    touch = touching(regions)
    similarity = np.full(touch.shape, -np.inf)
    for one, others in enumerate(touch):
        similarity[one, others] = found.similarities(one, np.flatnonzero(others))
    boxes = [*found.boxes.copy()]
    for _ in range(len(touch) - 1):
        one, other = divmod(int(similarity.argmax()), len(touch))
        found.merge(one, other)
        boxes.append(found.boxes[one].copy())
        touch[one] |= touch[other]
        touch[other], touch[:, other], touch[one, one] = False, False, False
        touch[:, one] = touch[one]
        similarity[[one, other]] = similarity[:, [one, other]] = -np.inf
        others = np.flatnonzero(touch[one])
        similarity[one, others] = similarity[others, one] = found.similarities(one, others)
    return np.stack(boxes)


def _describe(regions: NDArray[np.int64], picture: NDArray[np.float32]) -> _Regions:
    sizes = np.bincount(regions.ravel())
    rows, columns = np.indices(regions.shape)
    boxes = np.empty((len(sizes), 4), np.int64)
    for side, places in enumerate((columns, rows)):
        boxes[:, side], boxes[:, side + 2] = places.max(), 0
        np.minimum.at(boxes[:, side], regions, places)
        np.maximum.at(boxes[:, side + 2], regions, places + 1)
    colours = _histograms(regions, picture / 256, COLOUR_BINS)
    textures = _histograms(regions, _textures(picture) / STRONGEST, TEXTURE_BINS)
    return _Regions(sizes.astype(np.float64), boxes, (colours, textures), regions.size)


def _textures(picture: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return how much each channel brightens in each direction, shape (H, W, channels * DIRECTIONS), from 0."""
    import cv2

    across, down = (cv2.Sobel(picture, cv2.CV_32F, *order, scale=1 / 4) for order in ((1, 0), (0, 1)))
    angles = np.arange(DIRECTIONS) * (2 * np.pi / DIRECTIONS)
    turned = across[..., None] * np.cos(angles) + down[..., None] * np.sin(angles)
    return np.maximum(turned, 0).reshape(*picture.shape[:2], -1).astype(np.float32)


def _histograms(regions: NDArray[np.int64], values: NDArray[np.floating], bins: int) -> NDArray[np.float32]:
    """Return the histogram of the values (H, W, C) in each region, shape (regions, C * bins), which adds up to 1."""
    channels, count = values.shape[2], int(regions.max()) + 1
    places = np.minimum((values * bins).astype(np.int64), bins - 1) + bins * np.arange(channels)
    places += (regions * (channels * bins))[..., None]
    found = np.bincount(places.ravel(), minlength=count * channels * bins).reshape(count, -1)
    return (found / found.sum(axis=1, keepdims=True)).astype(np.float32)


def _around(box: NDArray[np.int64], others: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the smallest boxes around a box and each of some others."""
    return np.concatenate(
        [np.minimum(box[..., :2], others[..., :2]), np.maximum(box[..., 2:], others[..., 2:])], axis=-1
    )
