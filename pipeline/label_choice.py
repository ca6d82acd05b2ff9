"""Which labels are said of a clip, given the probability of every label of the actors that are present."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from a2d.taxonomy import Taxonomy
from action_heads.label_decision import best_threshold, decide_labels


def clip_threshold(scores: Mapping[str, float], taxonomy: Taxonomy, label_threshold: float | None = None) -> float:
    """Return the probability from which a label of a clip is said.

    Args:
        scores: By label, for all labels of the actors that are present.
        taxonomy: Actors and labels.
        label_threshold: That of all clips; None if each clip has its own.
    """
    if label_threshold is not None:
        return label_threshold
    return best_threshold(list(_by_actor(scores, taxonomy).values()))


def choose_labels(
    scores: Mapping[str, float], taxonomy: Taxonomy, label_threshold: float | None = None
) -> NDArray[np.bool_]:
    """Choose the labels of a clip: those that are probable enough, and each present actor's most probable one.

    Args:
        scores: See `clip_threshold`.
        taxonomy: Actors and labels.
        label_threshold: See `clip_threshold`.

    Returns:
        Shape (labels,): True for each chosen label.
    """
    threshold = clip_threshold(scores, taxonomy, label_threshold)
    row = np.zeros(len(taxonomy.labels), dtype=bool)
    for name, probabilities in _by_actor(scores, taxonomy).items():
        row[taxonomy.actor(name).label_indices] = decide_labels(probabilities, threshold)
    return row


def _by_actor(scores: Mapping[str, float], taxonomy: Taxonomy) -> dict[str, NDArray[np.float64]]:
    return {
        actor.name: np.array([scores[name] for name in actor.label_names])
        for actor in taxonomy.actors
        if all(name in scores for name in actor.label_names)
    }
