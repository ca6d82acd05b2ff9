"""Probabilities back into logits."""

import numpy as np
from numpy.typing import NDArray


def to_logits(probabilities: NDArray[np.floating]) -> NDArray[np.float32]:
    """Turn probabilities in [0, 1] into logits; those nearer than a millionth to 0 or 1 are taken for that near."""
    kept = np.clip(probabilities.astype(np.float64), 1e-6, 1 - 1e-6)
    return np.asarray(np.log(kept / (1 - kept)), dtype=np.float32)
