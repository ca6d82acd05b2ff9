"""The inverse of the sigmoid."""

import numpy as np
from numpy.typing import NDArray

MIN_PROBABILITY = 1e-6


def to_logits(probabilities: NDArray[np.floating]) -> NDArray[np.float32]:
    """Convert probabilities in [0, 1] to logits, after clipping them to [10⁻⁶, 1 − 10⁻⁶]."""
    clipped = np.clip(probabilities.astype(np.float64), MIN_PROBABILITY, 1 - MIN_PROBABILITY)
    return np.asarray(np.log(clipped / (1 - clipped)), dtype=np.float32)
