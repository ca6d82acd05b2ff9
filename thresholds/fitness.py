"""Fitness of gates: the challenge's sample-averaged precision, recall and F1, for many sets of gates at once.

An actor is present in a video if `presence ratio >= gate`. The objectives are functions of the three averages (A2D
actor-action challenge report, section 3.1.1: −P, and −P·R·F1, with which the published gates were found).
"""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from a2d.metrics import Scores, score_samples

# Maximum number of particles x videos per block: temporary arrays of some 100 kB, which fit into the processor's cache
# and are not returned to the system after each operation. Twice as fast as larger ones, and memory stays bounded.
BLOCK_SIZE = 1 << 14


@dataclass(frozen=True)
class PresenceTable:
    """Presence ratios of the detector for the videos of a split, and the ground truth.

    Attributes:
        ratios: Presence ratios in [0, 1], shape (videos, actors).
        truth: True where the actor is present, shape (videos, actors).
        sources: Where each video comes from, shape (videos,); by default, each is its own source.
        names: Path of each video, shape (videos,), for display; empty if it does not matter.
    """

    ratios: NDArray[np.float64]
    truth: NDArray[np.bool_]
    sources: NDArray[np.str_] = field(default_factory=lambda: np.zeros(0, np.str_))
    names: NDArray[np.str_] = field(default_factory=lambda: np.zeros(0, np.str_))

    def __post_init__(self) -> None:
        """Check the shapes and the range, and number the videos that have no sources.

        Raises:
            ValueError: If the shapes differ or are not two-dimensional, or a ratio is outside [0, 1] or not a number.
        """
        ratios, truth = np.asarray(self.ratios, dtype=np.float64), np.asarray(self.truth, dtype=bool)
        if ratios.shape != truth.shape or ratios.ndim != 2:
            raise ValueError(f"two arrays (videos, actors) were expected, found {ratios.shape = }, {truth.shape = }")
        if ratios.size and not (ratios.min() >= 0.0 and ratios.max() <= 1.0):  # this form also rejects NaN
            raise ValueError(f"presence ratios must be in [0, 1], found {ratios.min()} to {ratios.max()}")
        sources = self.sources if len(self.sources) else np.arange(len(ratios)).astype(str)
        if sources.shape != (len(ratios),):
            raise ValueError(f"one source per video was expected, found {sources.shape = }, {ratios.shape = }")
        object.__setattr__(self, "ratios", ratios)
        object.__setattr__(self, "truth", truth)
        object.__setattr__(self, "sources", sources)

    def take(self, rows: NDArray[np.bool_] | NDArray[np.integer]) -> "PresenceTable":
        """Return the table of some videos, by mask or index; a video may be taken several times."""
        names = self.names[rows] if len(self.names) else self.names
        return PresenceTable(self.ratios[rows], self.truth[rows], self.sources[rows], names)

    @property
    def videos(self) -> int:
        """Number of videos."""
        return self.ratios.shape[0]

    @property
    def actors(self) -> int:
        """Number of actors."""
        return self.ratios.shape[1]


@dataclass(frozen=True)
class GateScores:
    """Sample-averaged scores of several sets of gates, fractions in [0, 1].

    Attributes:
        precision: Shape (particles,).
        recall: Shape (particles,).
        f1: Mean of the videos' F1, shape (particles,); it is not 2PR / (P + R).
    """

    precision: NDArray[np.float64]
    recall: NDArray[np.float64]
    f1: NDArray[np.float64]

    def of_particle(self, index: int) -> Scores:
        """Return the scores of one set of gates, by its index from 0."""
        return Scores(float(self.precision[index]), float(self.recall[index]), float(self.f1[index]))


Objective = Callable[[GateScores], NDArray[np.float64]]


def _negative_precision(scores: GateScores) -> NDArray[np.float64]:
    return -scores.precision


def _negative_product(scores: GateScores) -> NDArray[np.float64]:
    return -scores.precision * scores.recall * scores.f1


def _negative_f1(scores: GateScores) -> NDArray[np.float64]:
    return -scores.f1


OBJECTIVES: dict[str, Objective] = {"precision": _negative_precision, "prf": _negative_product, "f1": _negative_f1}
"""Objectives to minimise by their name in gate files; they map scores to values of shape (particles,)."""


def score_gates(ratios: NDArray[np.float64], truth: NDArray[np.bool_], gates: NDArray[np.float64]) -> GateScores:
    """Score many sets of gates on the same videos, with the same results as `a2d.metrics.count` for each.

    A video's three scores depend only on the numbers of predicted, correctly predicted and actual actors: 7³ outcomes
    for six actors. So outcomes are counted for each set of gates, and scores are computed once for each outcome.

    Args:
        ratios: Presence ratios in [0, 1], shape (videos, actors).
        truth: True where the actor is present, shape (videos, actors).
        gates: Shape (particles, actors).

    Returns:
        The scores of each set of gates; 0 if there are no videos.

    Raises:
        ValueError: If the shapes do not fit or a ratio is outside [0, 1].

    >>> scores = score_gates(np.array([[0.2, 0.1]]), np.array([[True, False]]), np.array([[0.2, 0.2], [0.1, 0.1]]))
    >>> scores.precision.round(3).tolist(), scores.recall.tolist()
    ([1.0, 0.5], [1.0, 1.0])
    """
    table = PresenceTable(ratios, truth)
    gates = np.asarray(gates, dtype=np.float64)
    if gates.ndim != 2 or gates.shape[1] != table.actors:
        raise ValueError(f"gates (particles, {table.actors}) were expected, found {gates.shape = }")
    scores_by_outcome = _scores_by_outcome(table.actors)
    outcome_counts = _OutcomeCounter(table)
    block = max(1, BLOCK_SIZE // max(table.videos, scores_by_outcome.shape[1]))
    averages = np.zeros((len(gates), 3))
    for start in range(0, len(gates), block):
        counts = outcome_counts(gates[start : start + block])
        # Not `@`: the rounding of a matrix product depends on its number of rows, but equal gates must score equally.
        sums = np.einsum("po,so->ps", counts.astype(np.float64), scores_by_outcome)
        averages[start : start + block] = sums / max(table.videos, 1)
    return GateScores(*averages.T.copy())


def _scores_by_outcome(actors: int) -> NDArray[np.float64]:
    """Compute precision, recall and F1 of each outcome predicted + n·hits + n²·actual (n = actors + 1), (3, n³)."""
    actual, hits, predicted = np.indices((actors + 1,) * 3).reshape(3, -1)
    return score_samples(hits, predicted, actual)


class _OutcomeCounter:
    """Counts the videos of each outcome for several sets of gates; created once per table, called once per block."""

    def __init__(self, table: PresenceTable) -> None:
        self._base = table.actors + 1
        # A predicted actor adds 1 to `predicted` and, if it is present, 1 to `hits`: a single addition does both. The
        # smallest type that holds the sum (8 bits up to 15 actors) lets numpy process 32 videos per instruction.
        self._dtype = np.min_scalar_type(self._base**2 - 1)
        self._weights = np.ascontiguousarray((1 + self._base * table.truth.T).astype(self._dtype))
        self._ratios = np.ascontiguousarray(table.ratios.T)
        self._offsets = self._base**2 * table.truth.sum(axis=1, dtype=np.int32)

    def __call__(self, gates: NDArray[np.float64]) -> NDArray[np.int64]:
        """Return the counts for gates (particles, actors), shape (particles, outcomes)."""
        predicted_and_hits = np.zeros((len(gates), self._ratios.shape[1]), dtype=self._dtype)
        for ratios, weights, column in zip(self._ratios, self._weights, gates.T, strict=True):
            predicted_and_hits += (ratios >= column[:, None]) * weights
        outcomes = self._base**3
        first_bins = outcomes * np.arange(len(gates), dtype=np.int32)[:, None]
        bins = predicted_and_hits + self._offsets + first_bins
        return np.bincount(bins.ravel(), minlength=outcomes * len(gates)).reshape(len(gates), outcomes)
