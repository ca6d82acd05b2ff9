"""How sure a measured score is: 95 % intervals by drawing sources, not samples, with replacement."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from a2d.metrics import count

BoolArray = NDArray[np.bool_]
RESAMPLES = 2000


def bootstrap_f1(said: BoolArray, actual: BoolArray, groups: Sequence[str], seed: int) -> tuple[float, float]:
    """Give the 95 % interval of the sample-averaged F1, sources drawn with replacement.

    Args:
        said: Shape (samples, labels).
        actual: Shape (samples, labels).
        groups: Source of each sample.
        seed: Of the drawing.
    """
    return bootstrap_mean(f1_by_sample(said, actual), groups, seed)


def f1_by_sample(said: BoolArray, actual: BoolArray) -> NDArray[np.float64]:
    """Give each sample's F1, shape (samples,), of labels said and actual, both (samples, labels)."""
    rows = range(len(said))
    return np.array([count(said[row : row + 1], actual[row : row + 1]).sample_averaged.f1 for row in rows])


def bootstrap_mean(values: NDArray[np.float64], groups: Sequence[str], seed: int) -> tuple[float, float]:
    """Give the 95 % interval of the mean of what each sample has, sources drawn with replacement.

    Args:
        values: Shape (samples,); for the interval of a difference, that of each sample.
        groups: Source of each sample.
        seed: Of the drawing.
    """
    _, place = np.unique(groups, return_inverse=True)
    sums, sizes = np.bincount(place, values), np.bincount(place)
    drawn = np.random.default_rng(seed).integers(0, len(sums), (RESAMPLES, len(sums)))
    low, high = np.percentile(sums[drawn].sum(axis=1) / sizes[drawn].sum(axis=1), [2.5, 97.5])
    return float(low), float(high)
