"""Decision from logits and probabilities to labels."""

from collections.abc import Sequence
from functools import reduce

import numpy as np
from numpy.typing import NDArray

from action_heads.defaults import LABEL_THRESHOLD

MAX_LABELS = 1.0  # that an actor is expected to have: A2D's have 1.17, a head that saw little finds all a bit probable
MIN_THRESHOLD = 0.25  # where nothing is sure, the highest F1 would be that of saying nearly everything
MARGIN = 0.01  # between a clip's threshold and the most probable label that is not said, where there is room


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


def best_threshold(probabilities: Sequence[NDArray[np.floating]]) -> float:
    """Return the threshold with which the labels of one clip have the highest expected F1.

    An answer that is sure should not be diluted by what is hardly probable; where much is unsure, a guess costs little.
    The best threshold is about half of the F1 that can be expected (Lipton et al., 2014). Here, the expectation is
    computed exactly for every threshold, with labels that are independent (Dembczyński et al., 2011); where the
    probabilities of an actor's labels sum to more than `MAX_LABELS`, they count in proportion. No threshold is below
    `MIN_THRESHOLD`: it costs no accuracy, and keeps answers short.

    Args:
        probabilities: Of the labels of each present actor, shape (outputs,), in [0, 1], calibrated. Of each actor, the
            most probable label is said in any case, see `decide_labels`.

    Returns:
        In [0, 1], for `decide_labels`; `LABEL_THRESHOLD` if no further label can be said.

    >>> sure, unsure = np.array([0.95, 0.3, 0.05]), np.array([0.35, 0.3, 0.05])
    >>> decide_labels(sure, best_threshold([sure])), decide_labels(unsure, best_threshold([unsure]))
    (array([ True, False, False]), array([ True,  True, False]))
    """
    rows = [of_actor.astype(np.float64) for of_actor in probabilities]
    in_any_case = np.concatenate([np.arange(len(row)) == row.argmax() for row in rows] or [np.zeros(0, bool)])
    if in_any_case.all():
        return LABEL_THRESHOLD
    given = np.concatenate(rows)
    believed = np.concatenate([row * min(1.0, MAX_LABELS / max(row.sum(), 1e-9)) for row in rows])
    order, fewest = np.lexsort((-given, ~in_any_case)), int(in_any_case.sum())
    expected = [_expected_f1(believed[order[:said]], believed[order[said:]]) for said in range(fewest, len(given) + 1)]
    further, said = given[order[fewest:]], int(np.argmax(expected))
    highest_unsaid, lowest_said = (further[said] if said < len(further) else 0.0), (further[said - 1] if said else 1.0)
    just_above = min(highest_unsaid + MARGIN, (highest_unsaid + lowest_said) / 2)
    return max(MIN_THRESHOLD, float(min(max(expected[said] / 2, just_above), lowest_said)))


def _expected_f1(said: NDArray[np.float64], unsaid: NDArray[np.float64]) -> float:
    """Return the expected F1 of saying some labels and not others, given the probability of each."""
    hits, misses = _distribution(said), _distribution(unsaid)
    hit, missed = np.arange(len(hits))[:, None], np.arange(len(misses))
    return float((hits[:, None] * misses * 2 * hit / (len(said) + hit + missed)).sum())


def _distribution(probabilities: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the probabilities that 0, 1, … of some independent labels are true, shape (labels + 1,)."""
    return reduce(lambda known, p: np.convolve(known, [1 - p, p]), probabilities, np.ones(1))
