"""Tuning of the gates on a table of presence ratios; the detector is not run."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from a2d.metrics import Scores
from common.errors import UserError
from common.files import nearest
from thresholds import exact, swarm
from thresholds.fitness import OBJECTIVES, PresenceTable, score_gates

OPTIMIZERS = (*swarm.OPTIMIZERS, "exact")


@dataclass(frozen=True)
class SearchSettings:
    """How to search for the gates; the defaults are the challenge report's (section 3.1.1).

    Attributes:
        optimizer: A name from `OPTIMIZERS`.
        particles: Number of particles in the swarm; not used by the exact search.
        iterations: Evaluations of the whole swarm in each run; not used by the exact search, which ends by itself.
        runs: Runs of the swarm or starts of the exact search, the best of which counts.
        bounds: Lowest and highest gate allowed, for all actors.
        seed: Seed of the search; equal seeds give equal gates.
    """

    optimizer: str = "spso2011"
    particles: int = 40
    iterations: int = 10
    runs: int = 4
    bounds: tuple[float, float] = (0.1, 0.4)
    seed: int = 0

    def __post_init__(self) -> None:
        """Check the bounds.

        Raises:
            UserError: If they are not in ascending order within [0, 1].
        """
        low, high = self.bounds
        if not 0 <= low < high <= 1:
            raise UserError(f"bounds {low:g} {high:g} were given, 0 <= LOW < HIGH <= 1 is allowed")


@dataclass(frozen=True)
class TunedGates:
    """Result of tuning.

    Attributes:
        values: The gates, shape (actors,).
        reached: Sample-averaged scores of these gates on the table that they were tuned on.
        history: The objective of the best gates up to each iteration of each run of the swarm, shape (runs,
            iterations); None if no swarm searched.
    """

    values: NDArray[np.float64]
    reached: Scores
    history: NDArray[np.float64] | None = None


def tune(
    table: PresenceTable,
    objective: str,
    settings: SearchSettings,
    fixed: NDArray[np.float64] | None = None,
) -> TunedGates:
    """Tune one gate per actor.

    Args:
        table: Ratios and ground truth of the videos to tune on.
        objective: A name from `thresholds.fitness.OBJECTIVES`.
        settings: How to search.
        fixed: Gates that are kept as they are, within the bounds or not, NaN for those to tune, shape (actors,); None
            tunes all. Those of actors that `is_determined` excludes should be kept, because no gate of theirs is better
            than another for a reason.

    Returns:
        The gates with their scores.

    Raises:
        ValueError: If a name is unknown, a setting is out of range, or there are no videos to tune on.
    """
    if objective not in OBJECTIVES:
        raise ValueError(f"unknown objective {objective!r}; {nearest(objective, OBJECTIVES)}")
    if settings.optimizer not in OPTIMIZERS:
        raise ValueError(f"unknown optimizer {settings.optimizer!r}; {nearest(settings.optimizer, OPTIMIZERS)}")
    if not table.videos:
        raise ValueError("there is no video to tune on")
    if settings.optimizer == "exact":
        optimum = exact.search(
            table, OBJECTIVES[objective], starts=settings.runs, seed=settings.seed, bounds=settings.bounds, fixed=fixed
        )
        return _describe(table, optimum.gates)
    fixed = np.full(table.actors, np.nan) if fixed is None else fixed
    # Where no gate within the bounds decides differently, the swarm would return a random one.
    fixed = np.where(np.isnan(fixed) & is_indifferent(table.ratios, settings.bounds), np.mean(settings.bounds), fixed)
    is_free = np.isnan(fixed)
    if not is_free.any():
        return _describe(table, fixed)

    def with_fixed(gates: NDArray[np.float64]) -> NDArray[np.float64]:
        """Complete gates (particles, free actors) to gates (particles, actors)."""
        completed = np.tile(fixed, (len(gates), 1))
        completed[:, is_free] = gates
        return completed

    def evaluate(gates: NDArray[np.float64]) -> NDArray[np.float64]:
        return OBJECTIVES[objective](score_gates(table.ratios, table.truth, with_fixed(gates)))

    low, high = settings.bounds
    dimensions = int(is_free.sum())
    box = (np.full(dimensions, low), np.full(dimensions, high))
    swarm_settings = swarm.SwarmSettings(
        settings.optimizer, settings.particles, settings.iterations, settings.runs, settings.seed
    )
    found = swarm.minimise(evaluate, box, swarm_settings)
    return _describe(table, with_fixed(found.position[None])[0], found.history)


def is_determined(truth: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return which gates labelled videos determine.

    The scores tell a good gate from a bad one only by videos that show the actor, which it should let pass, and by
    videos that do not, which it should stop. Without the former, every gate above the highest ratio is as good as any
    other; without the latter, every gate below the lowest ratio is.

    Args:
        truth: True where the actor is present, shape (videos, actors).

    Returns:
        True for the actors that some videos show and some do not, shape (actors,).

    >>> is_determined(np.array([[True, True, False], [True, False, False]])).tolist()
    [False, True, False]
    """
    shown, not_shown = truth.sum(axis=0) > 0, (~truth).sum(axis=0) > 0
    return np.asarray(shown & not_shown)


def is_indifferent(ratios: NDArray[np.float64], bounds: tuple[float, float]) -> NDArray[np.bool_]:
    """Return for which actors all gates within the bounds decide every video alike.

    Args:
        ratios: Presence ratios, shape (videos, actors).
        bounds: Lowest and highest gate allowed.

    Returns:
        True for the actors without a ratio from the lowest gate to the highest, shape (actors,).

    >>> is_indifferent(np.array([[0.0, 0.1, 0.4], [0.9, 0.0, 0.0]]), (0.1, 0.4)).tolist()
    [True, False, True]
    """
    return np.asarray(((ratios >= bounds[0]) & (ratios < bounds[1])).sum(axis=0) == 0)


def gates_on_bound(values: NDArray[np.float64], bounds: tuple[float, float]) -> NDArray[np.bool_]:
    """Return which gates are on a bound, so that wider bounds might yield better ones.

    Args:
        values: Gates, shape (actors,).
        bounds: Lowest and highest gate allowed.

    Returns:
        True for each gate on a bound, shape (actors,).

    >>> gates_on_bound(np.array([0.1, 0.107, 0.1, 0.1, 0.161, 0.267]), (0.1, 0.4)).tolist()
    [True, False, True, True, False, False]
    """
    lower, upper = bounds
    return (values <= lower) | (values >= upper)


def _describe(
    table: PresenceTable, values: NDArray[np.float64], history: NDArray[np.float64] | None = None
) -> TunedGates:
    return TunedGates(values, score_gates(table.ratios, table.truth, values[None]).of_particle(0), history)
