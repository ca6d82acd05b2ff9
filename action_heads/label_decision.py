"""From probabilities to labels: when a head says an action."""

import numpy as np
from numpy.typing import NDArray

LABEL_THRESHOLD = 0.3  # by grouped cross-validation over train clips; 0.25 to 0.5 differ by a point of F1


def to_probabilities(logits: NDArray[np.floating]) -> NDArray[np.float32]:
    """Turn logits, of any shape, into probabilities in [0, 1]: each label's sigmoid, so they need not add up to 1."""
    return np.asarray(0.5 * (1 + np.tanh(0.5 * logits)), dtype=np.float32)  # the sigmoid, without an overflow


def decide_labels(probabilities: NDArray[np.floating], label_threshold: float = LABEL_THRESHOLD) -> NDArray[np.bool_]:
    """Say every label whose probability reaches the threshold, and the likeliest where none does.

    An actor that is there does something, if only `none`, so a head that says nothing of a present actor is always
    wrong (A2D gives every actor at least one action).

    Args:
        probabilities: Of one actor's labels, shape (..., outputs), in [0, 1].
        label_threshold: In [0, 1].

    Returns:
        Shape (..., outputs), at least one True in each row.

    >>> decide_labels(np.array([[0.7, 0.5, 0.1], [0.2, 0.25, 0.1]]))
    array([[ True,  True, False],
           [False,  True, False]])
    """
    likeliest = np.arange(probabilities.shape[-1]) == probabilities.argmax(axis=-1)[..., None]
    said = probabilities >= label_threshold
    return np.asarray(said | (likeliest & ~said.any(axis=-1, keepdims=True)))
