"""Curves of a tuning of the gates: how the swarm converged, and the scores over one gate for all actors."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from pipeline.training.operating_points import GateSearch, OperatingPoint
from thresholds.fitness import GateScores, PresenceTable, score_gates
from thresholds.stable import negative_objective
from thresholds.tuning import tune


@dataclass(frozen=True)
class SwarmConvergence:
    """How the runs of the swarm converged, by the objective without its minus sign: the higher, the better.

    Attributes:
        runs: Value of the best gates up to each iteration, shape (runs, iterations).
        exact: Value that the exact coordinate-wise search reaches within the same bounds.
    """

    runs: NDArray[np.float64]
    exact: float

    @property
    def best_run(self) -> int:
        """Index of the run whose gates count, from 0: the first of the best."""
        return int(self.runs[:, -1].argmax())

    @property
    def median(self) -> NDArray[np.float64]:
        """Median of the runs at each iteration, shape (iterations,)."""
        return np.median(self.runs, axis=0)


def swarm_convergence(point: OperatingPoint, search: GateSearch) -> SwarmConvergence | None:
    """Repeat the swarm's search on all clips, which gives the same gates as before, and return how it converged.

    Args:
        point: The clips.
        search: What was searched for, and how.

    Returns:
        The values of all runs; None if no swarm searches, because the search is exact, or because every gate is kept or
        decides all clips alike.
    """
    tuned = tune(point.table, search.objective, search.settings, point.fixed)
    if tuned.history is None:
        return None
    exact = tune(point.table, search.objective, replace(search.settings, optimizer="exact"), point.fixed)
    return SwarmConvergence(-tuned.history, -negative_objective(exact.reached, search.objective))


@dataclass(frozen=True)
class UniformGateCurve:
    """Scores over one gate for all actors.

    Attributes:
        gates: Every presence ratio of a clip, and 1, ascending, shape (gates,): the scores are constant from above one
            of them to the next.
        scores: Sample-averaged scores at each.
    """

    gates: NDArray[np.float64]
    scores: GateScores


def score_uniform_gates(table: PresenceTable) -> UniformGateCurve:
    """Score every gate that decides differently, for all actors the same (A2D challenge report, figure 2)."""
    gates = np.union1d(table.ratios, [1.0])
    return UniformGateCurve(
        gates, score_gates(table.ratios, table.truth, np.repeat(gates[:, None], table.actors, axis=1))
    )
