"""Scores of single columns of predictions with 95 % confidence intervals."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from a2d.confidence_intervals import RESAMPLES, BoolArray


def bootstrap_columns(
    predicted: BoolArray, actual: BoolArray, names: Sequence[str], groups: Sequence[str], seed: int
) -> dict[str, dict[str, Any]]:
    """Compute each column's F1 with its 95 % interval by the cluster bootstrap.

    Args:
        predicted: Shape (samples, columns).
        actual: Ground truth, shape (samples, columns).
        names: Names of the columns.
        groups: Source of each sample; sources are resampled with replacement.
        seed: Seed of the resampling.

    Returns:
        By column: `f1`, `f1_interval`, and the numbers of samples in which it is `true` and `predicted`; without
        columns that are neither.
    """
    _, group_index = np.unique(groups, return_inverse=True)
    sources = group_index.max() + 1
    drawn = np.random.default_rng(seed).multinomial(sources, np.full(sources, 1 / sources), RESAMPLES)
    hits, sizes = (np.zeros((sources, len(names))) for _ in range(2))
    np.add.at(hits, group_index, predicted & actual)
    np.add.at(sizes, group_index, predicted.astype(int) + actual)
    with np.errstate(invalid="ignore"):  # resamples without the column have no F1, and are ignored below
        f1 = 2 * (drawn @ hits) / (drawn @ sizes)
    return {
        name: {
            "f1": float(2 * hits[:, column].sum() / sizes[:, column].sum()),
            "f1_interval": [float(bound) for bound in np.nanpercentile(f1[:, column], [2.5, 97.5])],
            "true": int(actual[:, column].sum()),
            "predicted": int(predicted[:, column].sum()),
        }
        for column, name in enumerate(names)
        if sizes[:, column].any()
    }
