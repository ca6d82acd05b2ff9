"""Where the F1 is lost: what correcting one kind of error after another would win back, up to everything.

The kinds follow the stages. Errors overlap (a false gate matters less if the actions are wrong too), so each is worth
what its correction adds after those before it; together they account for everything that is missing.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from a2d.metrics import count
from a2d.taxonomy import Actor, Taxonomy

BoolArray = NDArray[np.bool_]
NOTHING = "nothing"
UNLABELLED = "samples without a label, which cannot be right"  # 0 since nothing is the right prediction for them


@dataclass(frozen=True)
class _Case:
    """The ground truth of all samples, and the actors that passed the gates.

    Attributes:
        actual: Shape (samples, labels).
        gated: Shape (samples, actors).
        taxonomy: Actors and labels.
    """

    actual: BoolArray
    gated: BoolArray
    taxonomy: Taxonomy

    def by_label(self, actors: BoolArray) -> BoolArray:
        """Repeat values of actors, shape (samples, actors), for their labels, shape (samples, labels)."""
        return actors[:, [self.taxonomy.actor(label.actor).index for label in self.taxonomy.labels]]

    @property
    def correctly_gated(self) -> BoolArray:
        """Labels of actors that are present and passed, shape (samples, labels)."""
        return self.by_label(self.gated & self.taxonomy.actors_of(self.actual))


def error_budget(predicted: BoolArray, gated: BoolArray, actual: BoolArray, taxonomy: Taxonomy) -> dict[str, float]:
    """Compute what each kind of error costs.

    Args:
        predicted: Predicted labels, shape (samples, labels).
        gated: Actors that passed their gate, shape (samples, actors).
        actual: True labels, shape (samples, labels).
        taxonomy: The run's.

    Returns:
        By kind, in the order of correction, the sample-averaged F1 that is lost to it, from 0; they add up to 1 − F1.
    """
    case = _Case(actual, gated, taxonomy)
    corrections: dict[str, Callable[[BoolArray, _Case], BoolArray]] = {
        "false gate: labels of actors that are not there": _drop_absent_actors,
        "adult or baby: the right action of the wrong one": _swap_kinds,
        "wrong action of an actor that is there and passed": _keep_correct_actions,
        "further actions of such an actor": _add_further_actions,
        "missed gate: actors that are there and did not pass": lambda _, case: case.actual.copy(),
    }
    budget = {}
    reached = count(predicted, actual).sample_averaged.f1
    for kind, correct in corrections.items():
        predicted = correct(predicted, case)
        corrected = count(predicted, actual).sample_averaged.f1
        budget[kind] = corrected - reached
        reached = corrected
    budget[UNLABELLED] = 1 - reached
    return budget


def confusion(predicted: BoolArray, actual: BoolArray, actor: Actor) -> dict[str, dict[str, float]]:
    """Count what is predicted for an actor instead of the true label.

    Args:
        predicted: Predicted labels, shape (samples, labels).
        actual: True labels, shape (samples, labels).
        actor: Whose labels.

    Returns:
        By true label, by predicted label, the number of samples; a missed label is divided among the actor's wrongly
        predicted ones, or counts as `nothing`. Labels that are never true are left out.
    """
    names = actor.label_names
    predicted, actual = predicted[:, actor.label_indices], actual[:, actor.label_indices]
    matrix = {}
    for index, name in enumerate(names):
        rows = actual[:, index]
        if not rows.any():
            continue
        hit = rows & predicted[:, index]
        wrong = predicted[rows & ~hit] & ~actual[rows & ~hit]
        shares = wrong / np.maximum(wrong.sum(axis=1, keepdims=True), 1)
        line = dict(zip(names, map(float, shares.sum(axis=0)), strict=True))
        line[name] = float(hit.sum())
        matrix[name] = line | {NOTHING: float((~wrong.any(axis=1)).sum())}
    return matrix


def false_alarms(predicted: BoolArray, actual: BoolArray, actor: Actor) -> dict[str, float]:
    """Count what is predicted for an actor in the samples in which it is not.

    Args:
        predicted: Predicted labels, shape (samples, labels).
        actual: True labels, shape (samples, labels).
        actor: Whose labels.

    Returns:
        By predicted label, the number of samples; one with several labels is divided among them, and one without any,
        which is right, counts as `nothing`.
    """
    absent = predicted[:, actor.label_indices][~actual[:, actor.label_indices].any(axis=1)]
    shares = (absent / np.maximum(absent.sum(axis=1, keepdims=True), 1)).sum(axis=0)
    line = dict(zip(actor.label_names, map(float, shares), strict=True))
    return line | {NOTHING: float((~absent.any(axis=1)).sum())}


def confusion_table(matrix: Mapping[str, Mapping[str, float]]) -> tuple[list[list[str]], list[str]]:
    """Format a confusion matrix as rows and headers; labels that are never predicted are left out."""
    columns = [name for name in next(iter(matrix.values())) if any(line[name] for line in matrix.values())]
    rows = [
        [name, *(f"{line[column]:.3g}" if line[column] else "" for column in columns)] for name, line in matrix.items()
    ]
    return rows, ["true \\ predicted", *columns]


def _drop_absent_actors(predicted: BoolArray, case: _Case) -> BoolArray:
    return predicted & case.by_label(case.taxonomy.actors_of(case.actual))


def _swap_kinds(predicted: BoolArray, case: _Case) -> BoolArray:
    """Replace a wrong label by the true one of the same actor and action but another kind, unless predicted already."""
    predicted = predicted.copy()
    for wrong in case.taxonomy.labels:
        for right in case.taxonomy.labels:
            if (right.actor, right.action) == (wrong.actor, wrong.action) and right.kind != wrong.kind:
                rows = predicted[:, wrong.index] & ~case.actual[:, wrong.index]
                rows &= case.actual[:, right.index] & ~predicted[:, right.index]
                predicted[rows, wrong.index], predicted[rows, right.index] = False, True
    return predicted


def _keep_correct_actions(predicted: BoolArray, case: _Case) -> BoolArray:
    """Remove the wrong labels of correctly gated actors, and predict one true action if none remains."""
    predicted = predicted & (case.actual | ~case.correctly_gated)
    for actor in case.taxonomy.actors:
        actual = case.actual[:, actor.label_indices]
        empty = case.gated[:, actor.index] & actual.any(axis=1) & ~predicted[:, actor.label_indices].any(axis=1)
        predicted[empty, np.array(actor.label_indices)[actual[empty].argmax(axis=1)]] = True
    return predicted


def _add_further_actions(predicted: BoolArray, case: _Case) -> BoolArray:
    return predicted | (case.actual & case.correctly_gated)
