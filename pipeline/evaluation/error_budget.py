"""Where the F1 went: what repairing one kind of mistake after another would win back, up to everything.

The kinds follow the stages. Mistakes overlap (a false gate matters less where the actions are wrong too), so each is
worth what its repair adds after those before it; together they are all that is missing.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from a2d.metrics import count
from a2d.taxonomy import Actor, Taxonomy

BoolArray = NDArray[np.bool_]
NOTHING = "nothing"


@dataclass(frozen=True)
class _Case:
    """What is said and true of all samples, and who passed the gates.

    Attributes:
        actual: Shape (samples, labels).
        gated: Shape (samples, actors).
        taxonomy: Actors and labels.
    """

    actual: BoolArray
    gated: BoolArray
    taxonomy: Taxonomy

    def by_label(self, actors: BoolArray) -> BoolArray:
        """Spread what holds of actors, shape (samples, actors), over their labels, shape (samples, labels)."""
        return actors[:, [self.taxonomy.actor(label.actor).index for label in self.taxonomy.labels]]

    @property
    def rightly_gated(self) -> BoolArray:
        """Labels of actors that are there and passed, shape (samples, labels)."""
        return self.by_label(self.gated & self.taxonomy.actors_of(self.actual))


def error_budget(said: BoolArray, gated: BoolArray, actual: BoolArray, taxonomy: Taxonomy) -> dict[str, float]:
    """Say what each kind of mistake costs.

    Args:
        said: Labels said, shape (samples, labels).
        gated: Actors that passed their gate, shape (samples, actors).
        actual: Labels that hold, shape (samples, labels).
        taxonomy: The run's.

    Returns:
        By kind, in the order of repair, the sample-averaged F1 that is lost to it, each from 0; they add up to 1 − F1.
    """
    case = _Case(actual, gated, taxonomy)
    repairs: dict[str, Callable[[BoolArray, _Case], BoolArray]] = {
        "false gate: labels of actors that are not there": _drop_absent_actors,
        "adult or baby: the right action of the wrong one": _swap_kinds,
        "wrong action of an actor that is there and passed": _leave_one_right_action,
        "further actions of such an actor": _add_further_actions,
        "missed gate: actors that are there and did not pass": lambda _, own: own.actual.copy(),
    }
    budget = {}
    reached = count(said, actual).sample_averaged.f1
    for kind, repair in repairs.items():
        said = repair(said, case)
        repaired = count(said, actual).sample_averaged.f1
        budget[kind] = repaired - reached
        reached = repaired
    budget["samples without a label, which cannot be right"] = 1 - reached
    return budget


def confusion(said: BoolArray, actual: BoolArray, actor: Actor) -> dict[str, dict[str, float]]:
    """Say what is said of an actor instead of what is true.

    Args:
        said: Labels said, shape (samples, labels).
        actual: Labels that hold, shape (samples, labels).
        actor: Whose labels.

    Returns:
        By true label, by label said, how many samples; a label that is missed is shared out among those of the actor
        that are wrongly said, or counts as `nothing`. Labels that never hold are left out.
    """
    names = actor.label_names
    own_said, own_true = said[:, actor.label_indices], actual[:, actor.label_indices]
    matrix = {}
    for place, name in enumerate(names):
        rows = own_true[:, place]
        if not rows.any():
            continue
        hit = rows & own_said[:, place]
        wrong = own_said[rows & ~hit] & ~own_true[rows & ~hit]
        shares = wrong / np.maximum(wrong.sum(axis=1, keepdims=True), 1)
        line = dict(zip(names, map(float, shares.sum(axis=0)), strict=True))
        line[name] = float(hit.sum())
        matrix[name] = line | {NOTHING: float((~wrong.any(axis=1)).sum())}
    return matrix


def confusion_table(matrix: Mapping[str, Mapping[str, float]]) -> tuple[list[list[str]], list[str]]:
    """Lay a confusion matrix out as rows and headers; labels that are never said are left out."""
    columns = [name for name in next(iter(matrix.values())) if any(line[name] for line in matrix.values())]
    rows = [
        [name, *(f"{line[column]:.3g}" if line[column] else "" for column in columns)] for name, line in matrix.items()
    ]
    return rows, ["is \\ said", *columns]


def _drop_absent_actors(said: BoolArray, case: _Case) -> BoolArray:
    return said & case.by_label(case.taxonomy.actors_of(case.actual))


def _swap_kinds(said: BoolArray, case: _Case) -> BoolArray:
    """Turn a wrong label into the label of the same action and actor, but another kind, that is true and not said."""
    said = said.copy()
    for wrong in case.taxonomy.labels:
        for right in case.taxonomy.labels:
            if (right.actor, right.action) == (wrong.actor, wrong.action) and right.kind != wrong.kind:
                rows = said[:, wrong.index] & ~case.actual[:, wrong.index]
                rows &= case.actual[:, right.index] & ~said[:, right.index]
                said[rows, wrong.index], said[rows, right.index] = False, True
    return said


def _leave_one_right_action(said: BoolArray, case: _Case) -> BoolArray:
    """Take away what is wrong of actors that rightly passed, and say one right action where none is left."""
    said = said & (case.actual | ~case.rightly_gated)
    for actor in case.taxonomy.actors:
        own = case.actual[:, actor.label_indices]
        silent = case.gated[:, actor.index] & own.any(axis=1) & ~said[:, actor.label_indices].any(axis=1)
        said[silent, np.array(actor.label_indices)[own[silent].argmax(axis=1)]] = True
    return said


def _add_further_actions(said: BoolArray, case: _Case) -> BoolArray:
    return said | (case.actual & case.rightly_gated)
