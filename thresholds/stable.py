"""Gates that hold on new sources: less is taken from the labelled videos than they seem to say.

A search finds the gates that are best for the videos that it is given. With some hundred videos of a few dozen sources,
many of them say more about those sources than about the actors. The methods here differ in how much they believe the
videos, and videos of sources that a method was not given decide between them.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from a2d.metrics import Scores
from thresholds.fitness import OBJECTIVES, GateScores, PresenceTable, score_gates
from thresholds.tuning import SearchSettings, tune

AUTO = "auto"
FOLDS = 5
RESAMPLES = 10
COMMON_GATES = 60  # that are tried between the bounds
TOLERANCE = 0.02
"""Of methods whose objectives out of fold differ by less than this share, the one that believes least is chosen. With
some hundred videos, that is less than a standard error."""
LOWEST = 1e-3  # a gate of 0 lets everything pass, and has no logarithm


@dataclass(frozen=True)
class StableGates:
    """Result of a tuning that is to hold on new sources.

    Attributes:
        method: The chosen one, a name from `METHODS`.
        values: Its gates by all videos, shape (actors,).
        candidates: The gates of every method that was tried, by name.
        out_of_fold: Sample-averaged scores of every method on videos of sources that it was not given, by name; empty
            if all videos are of one source.
        sources: Number of sources.
    """

    method: str
    values: NDArray[np.float64]
    candidates: Mapping[str, NDArray[np.float64]]
    out_of_fold: Mapping[str, Scores]
    sources: int


@dataclass(frozen=True)
class _Search:
    """What all methods are given.

    Attributes:
        objective: A name from `thresholds.fitness.OBJECTIVES`.
        settings: How to search.
        fixed: Gates that are kept, NaN for those to tune, shape (actors,).
    """

    objective: str
    settings: SearchSettings
    fixed: NDArray[np.float64]

    def tuned(self, table: PresenceTable) -> NDArray[np.float64]:
        """Search for the gates that are best for the videos, as published."""
        return tune(table, self.objective, self.settings, self.fixed).values

    def common(self, table: PresenceTable) -> NDArray[np.float64]:
        """Search for the one gate that is best for all actors."""
        low, high = (max(LOWEST, bound) for bound in self.settings.bounds)
        gates = np.repeat(np.geomspace(low, high, COMMON_GATES)[:, None], table.actors, axis=1)
        gates = np.where(np.isnan(self.fixed), gates, self.fixed)
        fitness = OBJECTIVES[self.objective](score_gates(table.ratios, table.truth, gates))
        best: NDArray[np.float64] = gates[fitness == fitness.min()]
        return best[len(best) // 2]  # of equally good ones, that in the middle

    def bagged(self, table: PresenceTable) -> NDArray[np.float64]:
        """Average, on a logarithmic scale, the gates that are best for resamples of the sources."""
        found = [self.tuned(resample) for resample in _resamples(table, self.settings.seed)]
        return np.exp(np.mean(np.log(np.maximum(found, LOWEST)), axis=0))

    def shrunk(self, table: PresenceTable) -> NDArray[np.float64]:
        """Move the bagged gates half way, on a logarithmic scale, to the common gate."""
        return np.sqrt(self.bagged(table) * np.maximum(self.common(table), LOWEST))


_Method = Callable[[_Search, PresenceTable], NDArray[np.float64]]
METHODS: dict[str, _Method] = {
    "common": _Search.common,
    "shrunk": _Search.shrunk,
    "bagged": _Search.bagged,
    "tuned": _Search.tuned,
}
"""From the one that believes the videos least to the one that believes them most."""
WITHOUT_EVIDENCE = "shrunk"
"""The method for videos of one source, which cannot decide between them."""


def tune_stable(
    table: PresenceTable,
    objective: str,
    settings: SearchSettings,
    method: str = AUTO,
    fixed: NDArray[np.float64] | None = None,
) -> StableGates:
    """Tune one gate per actor so that the gates hold on videos of other sources.

    Args:
        table: Ratios, ground truth and sources of the videos to tune on.
        objective: A name from `thresholds.fitness.OBJECTIVES`.
        settings: How to search.
        method: A name from `METHODS`, or `auto` for the one that is best on sources that it was not given.
        fixed: Gates that are kept as they are, see `thresholds.tuning.tune`.

    Returns:
        The gates, and the scores of every method in question out of fold.
    """
    search = _Search(objective, settings, np.full(table.actors, np.nan) if fixed is None else fixed)
    names = list(METHODS) if method == AUTO else [method]
    sources = len(set(table.sources))
    candidates = {name: METHODS[name](search, table) for name in names}
    candidates = {name: np.where(np.isnan(search.fixed), gates, search.fixed) for name, gates in candidates.items()}
    if sources < 2:  # one to tune on, one to hold out
        chosen = WITHOUT_EVIDENCE if method == AUTO else method
        return StableGates(chosen, candidates[chosen], candidates, {}, sources)
    out_of_fold = {name: _score_out_of_fold(METHODS[name], search, table) for name in names}
    fitness = {name: negative_objective(out_of_fold[name], objective) for name in names}
    limit = min(fitness.values()) * (1 - TOLERANCE)  # of negative numbers
    chosen = next(name for name in names if fitness[name] <= limit)
    return StableGates(chosen, candidates[chosen], candidates, out_of_fold, sources)


def negative_objective(scores: Scores, objective: str) -> float:
    """Compute an objective, a name from `thresholds.fitness.OBJECTIVES`, of scores; the lower, the better."""
    columns = (np.array([value]) for value in (scores.precision, scores.recall, scores.f1))
    return float(OBJECTIVES[objective](GateScores(*columns))[0])


def _score_out_of_fold(method: _Method, search: _Search, table: PresenceTable) -> Scores:
    """Score the decisions for videos of sources that the method was not given."""
    present = np.zeros(table.truth.shape)
    for rows in _folds(table, search.settings.seed):
        gates = method(search, table.take(~rows))
        present[rows] = table.ratios[rows] >= np.where(np.isnan(search.fixed), gates, search.fixed)
    return score_gates(present, table.truth, np.full((1, table.actors), 0.5)).of_particle(0)


def _folds(table: PresenceTable, seed: int) -> Iterator[NDArray[np.bool_]]:
    """Yield the videos of each fold as a mask, shape (videos,); those of a source are in the same fold."""
    sources = np.random.default_rng(seed).permutation(np.unique(table.sources))
    for first in range(min(FOLDS, len(sources))):
        yield np.isin(table.sources, sources[first::FOLDS])


def _resamples(table: PresenceTable, seed: int) -> Iterator[PresenceTable]:
    """Yield tables of as many sources, drawn with replacement."""
    draw = np.random.default_rng(seed)
    names, first = np.unique(table.sources, return_inverse=True)
    rows = [np.flatnonzero(first == index) for index in range(len(names))]
    for _ in range(RESAMPLES):
        yield table.take(np.concatenate([rows[index] for index in draw.integers(len(names), size=len(names))]))
