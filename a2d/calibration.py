"""Calibration of probabilities: how often what is given a probability is true.

After Guo et al., "On Calibration of Modern Neural Networks" (ICML 2017), for every label by itself.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

BINS = 10


@dataclass(frozen=True)
class Reliability:
    """Probabilities and targets in bins of equal width.

    Attributes:
        counts: Number of probabilities in each bin, shape (bins,).
        probability_sums: Their sum in each bin, shape (bins,).
        true_counts: Number of true targets in each bin, shape (bins,).
    """

    counts: NDArray[np.int64]
    probability_sums: NDArray[np.float64]
    true_counts: NDArray[np.int64]

    @property
    def edges(self) -> NDArray[np.float64]:
        """Limits of the bins in [0, 1], shape (bins + 1,)."""
        return np.linspace(0, 1, len(self.counts) + 1)

    @property
    def mean_probability(self) -> NDArray[np.float64]:
        """Mean probability in each bin, NaN in an empty one, shape (bins,)."""
        return self._per_probability(self.probability_sums)

    @property
    def true_fraction(self) -> NDArray[np.float64]:
        """Fraction of true targets in each bin, NaN in an empty one, shape (bins,)."""
        return self._per_probability(self.true_counts)

    @property
    def expected_calibration_error(self) -> float:
        """Absolute difference of the two, averaged over all probabilities, in [0, 1]; 0 if there are none."""
        return float(np.abs(self.probability_sums - self.true_counts).sum() / max(int(self.counts.sum()), 1))

    def to_dict(self) -> dict[str, Any]:
        """Return the calibration error and the bins."""
        return {
            "expected_calibration_error": self.expected_calibration_error,
            "counts": self.counts.tolist(),
            "probability_sums": self.probability_sums.tolist(),
            "true_counts": self.true_counts.tolist(),
        }

    def _per_probability(self, sums: NDArray[Any]) -> NDArray[np.float64]:
        return np.where(self.counts > 0, sums / np.maximum(self.counts, 1), np.nan)


def measure_reliability(probabilities: NDArray[np.floating], targets: NDArray[np.bool_]) -> Reliability:
    """Sort probabilities into ten bins of equal width, and count the true targets in each.

    Args:
        probabilities: In [0, 1], of any shape.
        targets: Same shape.

    >>> reliability = measure_reliability(np.array([0.1, 0.8, 0.8]), np.array([False, True, False]))
    >>> reliability.counts.tolist(), reliability.true_counts.tolist()
    ([0, 1, 0, 0, 0, 0, 0, 0, 2, 0], [0, 0, 0, 0, 0, 0, 0, 0, 1, 0])
    >>> round(reliability.expected_calibration_error, 4)
    0.2333
    """
    bins = np.minimum((probabilities * BINS).astype(np.int64), BINS - 1).ravel()
    sums = np.bincount(bins, probabilities.ravel(), minlength=BINS).astype(np.float64)
    return Reliability(np.bincount(bins, minlength=BINS), sums, np.bincount(bins[targets.ravel()], minlength=BINS))
