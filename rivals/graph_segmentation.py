"""Graph-based segmentation: a picture's pixels, joined along weak edges.

The method is that of P. F. Felzenszwalb and D. P. Huttenlocher, "Efficient Graph-Based Image Segmentation", IJCV 2004:
edges between neighbouring pixels are looked at from the weakest to the strongest, and one joins two regions if it is
no stronger than what holds each of them together, plus `scale` over its size; then small regions are joined to the
neighbour with the weakest edge. OpenCV's own is in a module of its contributed ones, which the project does not need.
"""

from array import array
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

PARTS = 24  # of the edges: before each, those that can no longer join anything are dropped at once


class _Forest:
    """Disjoint sets of pixels, each with its size in pixels, and the strongest edge that may still join it."""

    def __init__(self, pixels: int, scale: float) -> None:
        self.scale = scale
        self.parents = array("q", range(pixels))  # which Python reads one by one faster than an array of NumPy
        self.sizes = array("q", [1]) * pixels
        self.limits = array("d", [scale]) * pixels

    def roots(self) -> NDArray[np.int64]:
        """Return the set of each pixel, named by one of its pixels."""
        roots = np.array(self.parents)
        while not np.array_equal(parents := roots[roots], roots):
            roots = parents
        return roots

    def find(self, pixel: int) -> int:
        """Return the set of a pixel."""
        parents = self.parents
        while (parent := parents[pixel]) != pixel:
            parents[pixel] = pixel = parents[parent]
        return pixel

    def join(self, first: int, second: int, weight: float) -> None:
        """Make one set of two, along an edge that is stronger than all before."""
        if self.sizes[first] < self.sizes[second]:
            first, second = second, first
        self.parents[second] = first
        self.sizes[first] += self.sizes[second]
        self.limits[first] = weight + self.scale / self.sizes[first]


def segment(picture: NDArray[np.float32], scale: float, min_size: int) -> NDArray[np.int64]:
    """Cut a picture into regions of similar colour.

    Args:
        picture: Shape (H, W, C), of at least one pixel.
        scale: How much the colours within a region may differ, in the picture's units, times pixels: the larger, the
            larger the regions.
        min_size: Of a region, in pixels; only a picture that is smaller has a smaller one.

    Returns:
        The region of each pixel, shape (H, W), from 0, numbered without gaps; each region is connected, diagonals
        included.
    """
    height, width = picture.shape[:2]
    pixels = np.arange(height * width).reshape(height, width)
    ends = np.concatenate([np.stack([first.ravel(), second.ravel()]) for first, second in _neighbours(pixels)], axis=1)
    colours = picture.reshape(height * width, -1)
    weights = np.sqrt(np.square(colours[ends[0]] - colours[ends[1]]).sum(axis=1))
    order = np.argsort(weights, kind="stable")
    ends, weights = ends[:, order], weights[order]
    forest = _Forest(height * width, scale)
    _join_similar(forest, ends, weights)
    _join_small(forest, ends, weights, min_size)
    return np.unique(forest.roots(), return_inverse=True)[1].reshape(height, width)


def touching(regions: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Return which regions touch, diagonals included.

    Args:
        regions: Of each pixel, shape (H, W), from 0, as `segment` numbers them.

    Returns:
        Symmetric, shape (regions, regions); no region touches itself.
    """
    count = int(regions.max()) + 1
    found = np.zeros((count, count), bool)
    for first, second in _neighbours(regions):
        found[first, second] = found[second, first] = True
    np.fill_diagonal(found, False)
    return found


def _neighbours(values: NDArray[np.int64]) -> list[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Return the values (H, W) of all pairs of pixels that touch: side by side, above each other, and diagonally."""
    return [
        (values[:, :-1], values[:, 1:]),
        (values[:-1], values[1:]),
        (values[:-1, :-1], values[1:, 1:]),
        (values[:-1, 1:], values[1:, :-1]),
    ]


def _join_similar(forest: _Forest, ends: NDArray[np.int64], weights: NDArray[np.float32]) -> None:
    """Join along the edges that are weak enough; a region that one was too strong for stays as it is."""
    for part in _parts(len(weights)):
        final = np.array(forest.limits) < weights[part][0]
        first, second = forest.roots()[ends[:, part]]
        for one, other, weight in _edges(first, second, weights[part], ~(final[first] | final[second])):
            one, other = forest.find(one), forest.find(other)
            if one != other and weight <= forest.limits[one] and weight <= forest.limits[other]:
                forest.join(one, other, weight)


def _join_small(forest: _Forest, ends: NDArray[np.int64], weights: NDArray[np.float32], min_size: int) -> None:
    """Join regions that are too small along their weakest edge."""
    for part in _parts(len(weights)):
        small = np.array(forest.sizes) < min_size
        first, second = forest.roots()[ends[:, part]]
        for one, other, weight in _edges(first, second, weights[part], small[first] | small[second]):
            one, other = forest.find(one), forest.find(other)
            if one != other and min(forest.sizes[one], forest.sizes[other]) < min_size:
                forest.join(one, other, weight)


def _parts(edges: int) -> list[slice]:
    """Cut the edges into parts, none of which is empty."""
    step = -(-edges // PARTS) or 1
    return [slice(start, start + step) for start in range(0, edges, step)]


def _edges(
    first: NDArray[np.int64], second: NDArray[np.int64], weights: NDArray[np.float32], matters: NDArray[np.bool_]
) -> Iterator[tuple[int, int, float]]:
    """Return the two sets and the weight of each edge that matters and has its ends in two sets."""
    matters = matters & (first != second)
    return zip(first[matters].tolist(), second[matters].tolist(), weights[matters].tolist(), strict=True)
