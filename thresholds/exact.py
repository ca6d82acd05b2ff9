"""Exact search, one gate at a time: a check on the swarm, and a tuner in its own right.

Any score is a step function of a gate that jumps only where the gate passes an observed presence ratio. So the best
gate of one actor, the others held, is found by trying every gap between neighbouring ratios, and cumulative sums over
the sorted videos give all their scores at once: O(V log V) the first time, O(V) after.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from thresholds.fitness import GateScores, Objective, PresenceTable, score_gates, video_scores

UNIFORM_GATE = 0.15  # the uniform gate that the challenge report starts from
MIN_GAIN = 1e-12  # below it, a difference of two averages is rounding


@dataclass(frozen=True)
class ExactResult:
    """Gates that no change of a single gate improves.

    Attributes:
        gates: Shape (actors,), each half-way between two neighbouring observed ratios.
        value: The objective there, lower is better.
        start_values: What each start came to, shape (starts,).
    """

    gates: NDArray[np.float64]
    value: float
    start_values: NDArray[np.float64]


@dataclass(frozen=True)
class _Column:
    """One actor's ratios, sorted, and the gate for every cut: cut k leaves out the k lowest videos.

    Attributes:
        order: Videos by rising ratio, shape (videos,).
        ratios: Their ratios, rising, shape (videos,).
        gates: Gate of each cut, shape (videos + 1,).
        valid: Whether a gate within the bounds makes that cut, shape (videos + 1,).
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
) -> ExactResult:
    """Set one gate after the other to its exact best, the others held, until no gate alone improves anything.

    A gate is placed half-way between the two observed ratios that it separates, so that a ratio a hair off on another
    machine does not flip a video. Below every ratio ("always present") it is half-way to the lower bound, above every
    ratio ("never present") half-way to the upper one; when a ratio is 1, "never" has no gate within [0, 1].

    Args:
        table: Ratios and truth.
        objective: One of `thresholds.fitness.OBJECTIVES`; lower is better.
        start: Gates to start from, shape (actors,).
        bounds: Lowest and highest gate allowed.

    Returns:
        The gates and their value.

    Raises:
        ValueError: If the start does not fit the table, or lies outside the bounds.
    """
    gates = np.array(start, dtype=np.float64)
    if gates.shape != (table.actors,) or not ((gates >= bounds[0]) & (gates <= bounds[1])).all():
        raise ValueError(f"a start of {table.actors} gates in {list(bounds)} was expected, found {gates}")
    columns = [_sort_column(ratios, bounds) for ratios in table.ratios.T]
    for actor, column in enumerate(columns):
        gates[actor] = column.gates[np.searchsorted(column.ratios, gates[actor])]
    value = _value(table, objective, gates)
    improved = True
    while improved:
        improved = False
        for actor, column in enumerate(columns):
            candidate = gates.copy()
            candidate[actor] = _best_gate(table, objective, gates, actor, column)
            candidate_value = _value(table, objective, candidate)
            if candidate_value < value - MIN_GAIN:
                gates, value, improved = candidate, candidate_value, True
    return ExactResult(gates, value, np.array([value]))


def best_gate(
    table: PresenceTable, objective: Objective, gates: NDArray[np.float64], actor: int, bounds: tuple[float, float]
) -> float:
    """Give the exact best gate of one actor, those of the others held.

    Args:
        table: Ratios and truth.
        objective: One of `thresholds.fitness.OBJECTIVES`; lower is better.
        gates: Of all actors, shape (actors,); the actor's own does not matter.
        actor: Its place, from 0.
        bounds: Lowest and highest gate allowed.
    """
    return _best_gate(table, objective, gates, actor, _sort_column(table.ratios[:, actor], bounds))


def search(
    table: PresenceTable,
    objective: Objective,
    *,
    starts: int = 8,
    seed: int = 0,
    bounds: tuple[float, float] = (0.0, 1.0),
) -> ExactResult:
    """Run `coordinate_search` from several starts, for one start can end where two gates would have to move together.

    Args:
        table: Ratios and truth.
        objective: One of `thresholds.fitness.OBJECTIVES`; lower is better.
        starts: How many: the uniform gate 0.15, then random ones.
        seed: Of the random starts.
        bounds: Lowest and highest gate allowed.

    Returns:
        The best of them; the first where several are.

    Raises:
        ValueError: If there is no start, or the bounds are not within [0, 1] in rising order.
    """
    lower, upper = bounds
    if starts < 1 or not 0.0 <= lower <= upper <= 1.0:
        raise ValueError(f"at least 1 start and bounds within [0, 1] were expected, found {starts = }, {bounds = }")
    rng = np.random.default_rng(seed)
    places = rng.uniform(lower, upper, (starts, table.actors))
    places[0] = np.clip(UNIFORM_GATE, lower, upper)
    results = [coordinate_search(table, objective, place, bounds) for place in places]
    values = np.array([result.value for result in results])
    best = results[int(values.argmin())]
    return ExactResult(best.gates, best.value, values)


def _sort_column(ratios: NDArray[np.float64], bounds: tuple[float, float]) -> _Column:
    """Sort one actor's ratios (videos,) and place the gate of every cut."""
    order = np.argsort(ratios, kind="stable")
    rising = ratios[order]
    below, above = np.append(-np.inf, rising), np.append(rising, np.inf)
    lowest, highest = np.maximum(below, bounds[0]), np.minimum(above, bounds[1])
    middle = (lowest + highest) / 2
    # Between two neighbouring floating-point numbers the middle rounds onto one of them; the upper one still separates.
    gates = np.where(middle > below, middle, highest)
    return _Column(order, rising, gates, (lowest <= highest) & (gates > below))


def _best_gate(
    table: PresenceTable, objective: Objective, gates: NDArray[np.float64], actor: int, column: _Column
) -> float:
    """Find the best gate of one actor, the others held."""
    present = table.ratios >= gates
    present[:, actor] = False
    hits, said, true = (present & table.truth).sum(axis=1), present.sum(axis=1), table.truth.sum(axis=1)
    without = video_scores(hits, said, true)
    change = video_scores(hits + table.truth[:, actor], said + 1, true) - without
    # Cut 0 says the actor in every video; each further cut takes it away from the video with the next higher ratio.
    taken_away = np.cumsum(change[:, column.order], axis=1)
    everywhere = (without + change).sum(axis=1, keepdims=True)
    averages = np.hstack([everywhere, everywhere - taken_away]) / max(table.videos, 1)
    values = np.where(column.valid, objective(GateScores(*averages)), np.inf)
    return float(column.gates[values.argmin()])


def _value(table: PresenceTable, objective: Objective, gates: NDArray[np.float64]) -> float:
    """Score one set of gates (actors,) from scratch, so that no rounding of cumulative sums is ever believed."""
    return float(objective(score_gates(table.ratios, table.truth, gates[None]))[0])
