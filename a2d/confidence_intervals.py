"""95 % confidence intervals: of scores by the cluster bootstrap, which resamples sources, and of fractions."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from a2d.metrics import count

BoolArray = NDArray[np.bool_]
RESAMPLES = 2000
Z = 1.959964  # of the normal distribution, for 95 %


def bootstrap_f1(predicted: BoolArray, actual: BoolArray, groups: Sequence[str], seed: int) -> tuple[float, float]:
    """Compute the 95 % confidence interval of the sample-averaged F1.

    Args:
        predicted: Predicted labels, shape (samples, labels).
        actual: Ground truth, shape (samples, labels).
        groups: Source of each sample; sources are resampled with replacement.
        seed: Seed of the resampling.

    Returns:
        Lower and upper limit.
    """
    return bootstrap_mean(f1_by_sample(predicted, actual), groups, seed)


def f1_by_sample(predicted: BoolArray, actual: BoolArray) -> NDArray[np.float64]:
    """Compute the F1 of each sample.

    Args:
        predicted: Predicted labels, shape (samples, labels).
        actual: Ground truth, shape (samples, labels).

    Returns:
        Shape (samples,).
    """
    rows = range(len(predicted))
    return np.array([count(predicted[row : row + 1], actual[row : row + 1]).sample_averaged.f1 for row in rows])


def bootstrap_mean(values: NDArray[np.float64], groups: Sequence[str], seed: int) -> tuple[float, float]:
    """Compute the 95 % confidence interval of a mean over samples.

    Args:
        values: Value of each sample, shape (samples,); paired differences give the interval of a difference.
        groups: Source of each sample; sources are resampled with replacement.
        seed: Seed of the resampling.

    Returns:
        Lower and upper limit.
    """
    _, group_index = np.unique(groups, return_inverse=True)
    sums, sizes = np.bincount(group_index, values), np.bincount(group_index)
    drawn = np.random.default_rng(seed).integers(0, len(sums), (RESAMPLES, len(sums)))
    low, high = np.percentile(sums[drawn].sum(axis=1) / sizes[drawn].sum(axis=1), [2.5, 97.5])
    return float(low), float(high)


def wilson_interval(hits: NDArray[np.integer], trials: NDArray[np.integer]) -> NDArray[np.float64]:
    """Compute the 95 % confidence intervals of fractions of independent trials (Wilson's score interval, 1927).

    Args:
        hits: Shape (N,).
        trials: Same shape, from 1.

    Returns:
        Lower and upper limits in [0, 1], shape (2, N).

    >>> wilson_interval(np.array([0, 5]), np.array([10, 10])).round(3).tolist()
    [[0.0, 0.237], [0.278, 0.763]]
    """
    fraction = hits / trials
    middle = (fraction + Z**2 / (2 * trials)) / (1 + Z**2 / trials)
    half = Z * np.sqrt(fraction * (1 - fraction) / trials + (Z / (2 * trials)) ** 2) / (1 + Z**2 / trials)
    return np.clip([middle - half, middle + half], 0, 1)
