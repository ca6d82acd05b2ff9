"""Temperature scaling of a head's logits, and the calibration error of its probabilities.

After Guo et al., "On Calibration of Modern Neural Networks" (ICML 2017), with a sigmoid per label instead of a softmax.
"""

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar

from a2d.calibration import measure_reliability

TEMPERATURE_BOUNDS = (0.25, 4.0)  # a plausible range; unbounded, the fit to a handful of samples would be arbitrary


def fit_temperature(logits: NDArray[np.floating], targets: NDArray[np.bool_]) -> float:
    """Return the temperature that maximizes the likelihood of the targets when the logits are divided by it.

    Args:
        logits: Predicted for held-out samples, shape (samples, outputs).
        targets: Same shape.

    Returns:
        Within `TEMPERATURE_BOUNDS`; above 1 if the logits are overconfident.
    """

    def loss(log_temperature: float) -> float:
        scaled = logits / np.exp(log_temperature)
        return float(np.mean(np.logaddexp(0, scaled) - targets * scaled))

    result = minimize_scalar(loss, bounds=tuple(np.log(TEMPERATURE_BOUNDS)), method="bounded")
    return float(np.exp(result.x))


def expected_calibration_error(probabilities: NDArray[np.floating], targets: NDArray[np.bool_]) -> float:
    """Compute the expected calibration error of probabilities, with ten bins of equal width.

    Args:
        probabilities: In [0, 1], of any shape.
        targets: Same shape.

    Returns:
        In [0, 1]: the absolute difference between the mean probability and the fraction of true targets in each bin,
        averaged over all probabilities; 0 if there are none.

    >>> targets = np.array([True, True, True, True, False])
    >>> round(expected_calibration_error(np.array([0.8, 0.8, 0.8, 0.8, 0.8]), targets), 3)
    0.0
    >>> round(expected_calibration_error(np.array([0.9, 0.1]), np.array([False, False])), 3)
    0.5
    """
    return measure_reliability(probabilities, targets).expected_calibration_error
