"""Decision from logits and probabilities to labels."""

import numpy as np
from numpy.typing import NDArray

from action_heads.defaults import LABEL_THRESHOLD


def to_probabilities(logits: NDArray[np.floating]) -> NDArray[np.float32]:
    """Apply the sigmoid to logits of any shape; the probabilities of an actor's labels need not sum to 1."""
    return np.asarray(0.5 * (1 + np.tanh(0.5 * logits)), dtype=np.float32)  # the sigmoid, in a form without overflow


def decide_labels(probabilities: NDArray[np.floating], label_threshold: float = LABEL_THRESHOLD) -> NDArray[np.bool_]:
    """Predict the labels whose probability reaches the threshold, or the most probable label if none does.

    A2D gives every actor at least one action, if only `none`, so predicting no label for a present actor would always
    be wrong.

    Args:
        probabilities: Of one actor's labels, shape (..., outputs), in [0, 1].
        label_threshold: In [0, 1].

    Returns:
        Shape (..., outputs), with at least one True in each row.

    >>> decide_labels(np.array([[0.7, 0.5, 0.1], [0.2, 0.25, 0.1]]))
    array([[ True,  True, False],
           [False,  True, False]])
    """
    most_probable = np.arange(probabilities.shape[-1]) == probabilities.argmax(axis=-1)[..., None]
    predicted = probabilities >= label_threshold
    return np.asarray(predicted | (most_probable & ~predicted.any(axis=-1, keepdims=True)))
