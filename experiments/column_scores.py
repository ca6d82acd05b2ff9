"""Scores of single columns of predictions, each with its 95 % interval."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from a2d.confidence_intervals import RESAMPLES, BoolArray


def bootstrap_columns(
    said: BoolArray, actual: BoolArray, names: Sequence[str], groups: Sequence[str], seed: int
) -> dict[str, dict[str, Any]]:
    """Score each column by itself: F1, its 95 % interval (sources drawn with replacement), and how often it is true.

    Args:
        said: Shape (samples, columns).
        actual: Shape (samples, columns).
        names: Of the columns.
        groups: Source of each sample.
        seed: Of the drawing.

    Returns:
        By name; columns that are neither said nor true are left out.
    """
    _, place = np.unique(groups, return_inverse=True)
    sources = place.max() + 1
    drawn = np.random.default_rng(seed).multinomial(sources, np.full(sources, 1 / sources), RESAMPLES)
    hits, sizes = (np.zeros((sources, len(names))) for _ in range(2))
    np.add.at(hits, place, said & actual)
    np.add.at(sizes, place, said.astype(int) + actual)
    with np.errstate(invalid="ignore"):  # a drawing without the column says nothing of it
        f1 = 2 * (drawn @ hits) / (drawn @ sizes)
    return {
        name: {
            "f1": float(2 * hits[:, column].sum() / sizes[:, column].sum()),
            "f1_interval": [float(bound) for bound in np.nanpercentile(f1[:, column], [2.5, 97.5])],
            "true": int(actual[:, column].sum()),
            "said": int(said[:, column].sum()),
        }
        for column, name in enumerate(names)
        if sizes[:, column].any()
    }
