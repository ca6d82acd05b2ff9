"""Probabilities that mean what they say: one temperature a head, and how far off its probabilities are.

Temperature scaling after Guo et al., "On Calibration of Modern Neural Networks" (ICML 2017), with a sigmoid for each
label instead of one softmax.
"""

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar

TEMPERATURES = (0.25, 4.0)  # no head's logits are farther off than so; a handful of samples would believe anything
BINS = 10


def fit_temperature(logits: NDArray[np.floating], targets: NDArray[np.bool_]) -> float:
    """Find the temperature by which logits are best divided: the likelihood of what is true becomes greatest.

    Args:
        logits: Of samples that were held out when what gives them was fitted, shape (samples, outputs).
        targets: What is true, same shape.

    Returns:
        Within `TEMPERATURES`; above 1 where the logits were too sure of themselves.
    """

    def loss(log_temperature: float) -> float:
        cooled = logits / np.exp(log_temperature)
        return float(np.mean(np.logaddexp(0, cooled) - targets * cooled))

    found = minimize_scalar(loss, bounds=tuple(np.log(TEMPERATURES)), method="bounded")
    return float(np.exp(found.x))


def expected_calibration_error(probabilities: NDArray[np.floating], targets: NDArray[np.bool_]) -> float:
    """Say how far probabilities are from how often what they speak of is true: the expected calibration error.

    Args:
        probabilities: In [0, 1], of any shape.
        targets: What is true, same shape.

    Returns:
        In [0, 1]: by tenths of probability, the distance of the mean probability from the share that is true, averaged
        over all probabilities; 0 where there are none.

    >>> round(expected_calibration_error(np.array([0.8, 0.8, 0.8, 0.8, 0.8]), np.array([True, True, True, True, False])), 3)
    0.0
    >>> round(expected_calibration_error(np.array([0.9, 0.1]), np.array([False, False])), 3)
    0.5
    """
    place = np.minimum((probabilities * BINS).astype(np.int64), BINS - 1).ravel()
    surplus = np.bincount(place, probabilities.ravel().astype(np.float64) - targets.ravel(), minlength=BINS)
    return float(np.abs(surplus).sum() / max(probabilities.size, 1))
