"""Tuning: find the gates that make an objective best on a table of presence ratios. The detector is never called."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from a2d.metrics import Scores
from common.files import nearest
from thresholds import exact, swarm
from thresholds.fitness import OBJECTIVES, PresenceTable, score_gates

OPTIMIZERS = (*swarm.OPTIMIZERS, "exact")
PUBLISHED_BOUNDS = (0.1, 0.4)


@dataclass(frozen=True)
class TunedGates:
    """What tuning found.

    Attributes:
        values: The gates, shape (actors,).
        objective_value: The objective there, lower is better.
        reached: Sample-averaged scores of these gates on the table that they were tuned on.
        run_values: Best value of each run, or of each start of the exact search, shape (runs,).
    """

    values: NDArray[np.float64]
    objective_value: float
    reached: Scores
    run_values: NDArray[np.float64]


def tune(
    table: PresenceTable,
    objective: str = "prf",
    *,
    optimizer: str = "spso2011",
    particles: int = 40,
    iterations: int = 10,
    runs: int = 4,
    bounds: tuple[float, float] = PUBLISHED_BOUNDS,
    seed: int = 0,
) -> TunedGates:
    """Tune one gate per actor; the defaults are the challenge report's (section 3.1.1).

    Args:
        table: Ratios and truth of the videos to tune on.
        objective: A name from `thresholds.fitness.OBJECTIVES`.
        optimizer: A name from `OPTIMIZERS`.
        particles: Size of the swarm; the exact search has none.
        iterations: Evaluations of the whole swarm; the exact search stops by itself.
        runs: Runs of the swarm, or starts of the exact search.
        bounds: Lowest and highest gate allowed, for all actors.
        seed: The same seed gives the same gates.

    Returns:
        The gates with what they reach.

    Raises:
        ValueError: If a name is unknown, an argument is out of range, or there is no video to tune on.
    """
    if objective not in OBJECTIVES:
        raise ValueError(f"unknown objective {objective!r}; {nearest(objective, OBJECTIVES)}")
    if optimizer not in OPTIMIZERS:
        raise ValueError(f"unknown optimizer {optimizer!r}; {nearest(optimizer, OPTIMIZERS)}")
    if not 0.0 <= bounds[0] <= bounds[1] <= 1.0:
        raise ValueError(f"bounds: two fractions in [0, 1], in rising order, were expected, found {list(bounds)}")
    if not table.videos:
        raise ValueError("there is no video to tune on")
    if optimizer == "exact":
        result = exact.search(table, OBJECTIVES[objective], starts=runs, seed=seed, bounds=bounds)
        return _describe(table, result.gates, result.value, result.start_values)

    def evaluate(gates: NDArray[np.float64]) -> NDArray[np.float64]:
        return OBJECTIVES[objective](score_gates(table.ratios, table.truth, gates))

    box = (np.full(table.actors, bounds[0]), np.full(table.actors, bounds[1]))
    found = swarm.minimise(
        evaluate, box, optimizer=optimizer, particles=particles, iterations=iterations, runs=runs, seed=seed
    )
    return _describe(table, found.position, found.value, found.run_values)


def gates_on_bound(values: NDArray[np.float64], bounds: tuple[float, float]) -> NDArray[np.bool_]:
    """Say which gates ended on a bound, where a wider range might have done better.

    Args:
        values: Gates, shape (actors,).
        bounds: Lowest and highest gate allowed.

    Returns:
        True for each gate on a bound, shape (actors,).

    >>> gates_on_bound(np.array([0.1, 0.107, 0.1, 0.1, 0.161, 0.267]), PUBLISHED_BOUNDS).tolist()
    [True, False, True, True, False, False]
    """
    lower, upper = bounds
    return (values <= lower) | (values >= upper)


def _describe(
    table: PresenceTable, values: NDArray[np.float64], value: float, run_values: NDArray[np.float64]
) -> TunedGates:
    reached = score_gates(table.ratios, table.truth, values[None]).of_particle(0)
    return TunedGates(values, value, reached, run_values)
