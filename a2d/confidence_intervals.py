"""95 % confidence intervals of scores by the cluster bootstrap, which resamples sources rather than samples."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from a2d.metrics import count

BoolArray = NDArray[np.bool_]
RESAMPLES = 2000


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
