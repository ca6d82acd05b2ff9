"""Exact coordinate-wise search for the gates, as a check on the swarm and as an alternative to it.

Every score is a step function of a gate with steps only at the observed presence ratios. The best gate of one actor,
with the others fixed, is therefore found by trying every interval between neighbouring ratios. Cumulative sums over the
sorted videos give the scores of all intervals at once: O(V log V) the first time, O(V) afterwards.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from a2d.metrics import score_samples
from thresholds.fitness import GateScores, Objective, PresenceTable, score_gates

UNIFORM_GATE = 0.15  # the initial gate of all actors in the challenge report
MIN_GAIN = 1e-12  # smaller differences between averages are rounding errors


@dataclass(frozen=True)
class ExactResult:
    """Gates that cannot be improved by changing a single gate.

    Attributes:
        gates: Shape (actors,), each half-way between two neighbouring observed ratios.
        value: The objective at these gates, lower is better.
    """

    gates: NDArray[np.float64]
    value: float


@dataclass(frozen=True)
class _Column:
    """One actor's sorted ratios and the gate of every cut: cut k excludes the k videos with the lowest ratios.

    Attributes:
        order: Indices of the videos by ascending ratio, shape (videos,).
        ratios: Ascending ratios, shape (videos,).
        gates: Gate of each cut, shape (videos + 1,).
        valid: Whether the bounds allow a gate for that cut, shape (videos + 1,).
    """

    order: NDArray[np.intp]
    ratios: NDArray[np.float64]
    gates: NDArray[np.float64]
    valid: NDArray[np.bool_]


def coordinate_search(
    table: PresenceTable,
    objective: Objective,
    start: NDArray[np.float64],
    bounds: tuple[float, float] = (0.0, 1.0),
    is_fixed: NDArray[np.bool_] | None = None,
) -> ExactResult:
    """Optimize one gate after the other exactly, with the others fixed, until no single gate improves the objective.

    A gate is set half-way between the two observed ratios that it separates, so that small numerical differences
    between machines do not change decisions. Below every ratio ("always present") it is half-way to the lower bound,
    above every ratio ("never present") half-way to the upper bound; if a ratio is 1, no gate in [0, 1] means "never".

    Args:
        table: Ratios and ground truth.
        objective: One of `thresholds.fitness.OBJECTIVES`; lower is better.
        start: Initial gates, shape (actors,).
        bounds: Lowest and highest gate allowed.
        is_fixed: True for the gates that keep their initial value, within the bounds or not, shape (actors,); None
            optimizes all gates.

    Returns:
        The gates and their value.

    Raises:
        ValueError: If the start does not fit the table, or is outside the bounds.
    """
    gates = np.array(start, dtype=np.float64)
    is_fixed = np.zeros(table.actors, dtype=bool) if is_fixed is None else is_fixed
    if gates.shape != (table.actors,) or not ((gates >= bounds[0]) & (gates <= bounds[1]) | is_fixed).all():
        raise ValueError(f"a start of {table.actors} gates in {list(bounds)} was expected, found {gates}")
    columns = {actor: _sort_column(table.ratios[:, actor], bounds) for actor in np.flatnonzero(~is_fixed).tolist()}
    for actor, column in columns.items():
        gates[actor] = column.gates[np.searchsorted(column.ratios, gates[actor])]
    value = _value(table, objective, gates)
    improved = True
    while improved:
        improved = False
        for actor, column in columns.items():
            candidate = gates.copy()
            candidate[actor] = _best_gate(table, objective, gates, actor, column)
            candidate_value = _value(table, objective, candidate)
            if candidate_value < value - MIN_GAIN:
                gates, value, improved = candidate, candidate_value, True
    return ExactResult(gates, value)


def best_gate(
    table: PresenceTable, objective: Objective, gates: NDArray[np.float64], actor: int, bounds: tuple[float, float]
) -> float:
    """Find the best gate of one actor exactly, with those of the others fixed.

    Args:
        table: Ratios and ground truth.
        objective: One of `thresholds.fitness.OBJECTIVES`; lower is better.
        gates: Gates of all actors, shape (actors,); that of the actor itself does not matter.
        actor: Index of the actor, from 0.
        bounds: Lowest and highest gate allowed.
    """
    return _best_gate(table, objective, gates, actor, _sort_column(table.ratios[:, actor], bounds))


def search(
    table: PresenceTable,
    objective: Objective,
    *,
    starts: int,
    seed: int,
    bounds: tuple[float, float] = (0.0, 1.0),
    fixed: NDArray[np.float64] | None = None,
) -> ExactResult:
    """Run `coordinate_search` from several starts, because a single one can end in a local optimum.

    Args:
        table: Ratios and ground truth.
        objective: One of `thresholds.fitness.OBJECTIVES`; lower is better.
        starts: Number of starts: the first with all gates at 0.15, the others random.
        seed: Seed of the random starts.
        bounds: Lowest and highest gate allowed.
        fixed: Gates that are not searched for, NaN for the others, shape (actors,); None searches for all.

    Returns:
        The best result, the first one of several equal ones.

    Raises:
        ValueError: If there is no start, or the bounds are not within [0, 1] in ascending order.
    """
    lower, upper = bounds
    if starts < 1 or not 0.0 <= lower <= upper <= 1.0:
        raise ValueError(f"at least 1 start and bounds within [0, 1] were expected, found {starts = }, {bounds = }")
    rng = np.random.default_rng(seed)
    initial_gates = rng.uniform(lower, upper, (starts, table.actors))
    initial_gates[0] = np.clip(UNIFORM_GATE, lower, upper)
    is_fixed = np.zeros(table.actors, dtype=bool)
    if fixed is not None:
        is_fixed = ~np.isnan(fixed)
        initial_gates[:, is_fixed] = fixed[is_fixed]
    results = [coordinate_search(table, objective, start, bounds, is_fixed) for start in initial_gates]
    return min(results, key=lambda result: result.value)


def _sort_column(ratios: NDArray[np.float64], bounds: tuple[float, float]) -> _Column:
    """Sort one actor's ratios (videos,) and compute the gate of every cut."""
    order = np.argsort(ratios, kind="stable")
    ascending = ratios[order]
    below, above = np.append(-np.inf, ascending), np.append(ascending, np.inf)
    lowest, highest = np.maximum(below, bounds[0]), np.minimum(above, bounds[1])
    middle = (lowest + highest) / 2
    # The middle of two adjacent floating-point numbers is rounded to one of them; only the upper one separates them.
    gates = np.where(middle > below, middle, highest)
    return _Column(order, ascending, gates, (lowest <= highest) & (gates > below))


def _best_gate(
    table: PresenceTable, objective: Objective, gates: NDArray[np.float64], actor: int, column: _Column
) -> float:
    """Find the best gate of one actor, with the others fixed."""
    present = table.ratios >= gates
    present[:, actor] = False
    hits, predicted, actual = (present & table.truth).sum(axis=1), present.sum(axis=1), table.truth.sum(axis=1)
    absent_scores = score_samples(hits, predicted, actual)
    change = score_samples(hits + table.truth[:, actor], predicted + 1, actual) - absent_scores
    # With cut 0 the actor is present in every video; each further cut excludes the video with the next higher ratio.
    excluded = np.cumsum(change[:, column.order], axis=1)
    total = (absent_scores + change).sum(axis=1, keepdims=True)
    averages = np.hstack([total, total - excluded]) / max(table.videos, 1)
    values = np.where(column.valid, objective(GateScores(*averages)), np.inf)
    return float(column.gates[values.argmin()])


def _value(table: PresenceTable, objective: Objective, gates: NDArray[np.float64]) -> float:
    """Score one set of gates (actors,) directly, without the rounding errors of cumulative sums."""
    return float(objective(score_gates(table.ratios, table.truth, gates[None]))[0])
