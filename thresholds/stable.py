"""Gates that hold on new sources: less is taken from the labelled videos than they seem to say.

A search finds the gates that are best for the videos that it is given. With some hundred videos of a few dozen sources,
many of them say more about those sources than about the actors. The methods here differ in how much they believe the
videos, and videos of sources that a method was not given decide between them.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

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
    """The search for gates by some videos; what several methods need is searched for once.

    Attributes:
        table: Of the videos.
        objective: A name from `thresholds.fitness.OBJECTIVES`.
        settings: How to search.
        fixed: Gates that are kept, NaN for those to tune, shape (actors,).
    """

    table: PresenceTable
    objective: str
    settings: SearchSettings
    fixed: NDArray[np.float64]

    def by(self, method: str) -> NDArray[np.float64]:
        """Return the gates that a method finds, with the kept ones, shape (actors,)."""
        return np.where(np.isnan(self.fixed), METHODS[method](self), self.fixed)

    def tuned(self) -> NDArray[np.float64]:
        """Search for the gates that are best for the videos, as published."""
        return self._tune(self.table)

    def common(self) -> NDArray[np.float64]:
        """Search for the one gate that is best for all actors."""
        return self._common

    def bagged(self) -> NDArray[np.float64]:
        """Average, on a logarithmic scale, the gates that are best for resamples of the sources."""
        return self._bagged

    def shrunk(self) -> NDArray[np.float64]:
        """Move the bagged gates half way, on a logarithmic scale, to the common gate."""
        return np.sqrt(self._bagged * np.maximum(self._common, LOWEST))

    def _tune(self, table: PresenceTable) -> NDArray[np.float64]:
        return tune(table, self.objective, self.settings, self.fixed).values

    @cached_property
    def _common(self) -> NDArray[np.float64]:
        low, high = (max(LOWEST, bound) for bound in self.settings.bounds)
        gates = np.repeat(np.geomspace(low, high, COMMON_GATES)[:, None], self.table.actors, axis=1)
        gates = np.where(np.isnan(self.fixed), gates, self.fixed)
        fitness = OBJECTIVES[self.objective](score_gates(self.table.ratios, self.table.truth, gates))
        best: NDArray[np.float64] = gates[fitness == fitness.min()]
        return best[len(best) // 2]  # of equally good ones, that in the middle

    @cached_property
    def _bagged(self) -> NDArray[np.float64]:
        found = [self._tune(resample) for resample in _resamples(self.table, self.settings.seed)]
        return np.exp(np.mean(np.log(np.maximum(found, LOWEST)), axis=0))


_Method = Callable[[_Search], NDArray[np.float64]]
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
    search = _Search(table, objective, settings, np.full(table.actors, np.nan) if fixed is None else fixed)
    names = list(METHODS) if method == AUTO else [method]
    sources = len(set(table.sources))
    candidates = {name: search.by(name) for name in names}
    if sources < 2:  # one to tune on, one to hold out
        chosen = WITHOUT_EVIDENCE if method == AUTO else method
        return StableGates(chosen, candidates[chosen], candidates, {}, sources)
    out_of_fold = _score_out_of_fold(search, names)
    fitness = {name: negative_objective(out_of_fold[name], objective) for name in names}
    limit = min(fitness.values()) * (1 - TOLERANCE)  # of negative numbers
    chosen = next(name for name in names if fitness[name] <= limit)
    return StableGates(chosen, candidates[chosen], candidates, out_of_fold, sources)


def negative_objective(scores: Scores, objective: str) -> float:
    """Compute an objective, a name from `thresholds.fitness.OBJECTIVES`, of scores; the lower, the better."""
    columns = (np.array([value]) for value in (scores.precision, scores.recall, scores.f1))
    return float(OBJECTIVES[objective](GateScores(*columns))[0])


def _score_out_of_fold(search: _Search, methods: Sequence[str]) -> dict[str, Scores]:
    """Score each method's decisions for videos of sources that it was not given."""
    table = search.table
    present = {name: np.zeros(table.truth.shape) for name in methods}
    for rows in _folds(table, search.settings.seed):
        others = replace(search, table=table.take(~rows))
        for name in methods:
            present[name][rows] = table.ratios[rows] >= others.by(name)
    threshold = np.full((1, table.actors), 0.5)
    return {name: score_gates(found, table.truth, threshold).of_particle(0) for name, found in present.items()}


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
