"""How sure the presence of each actor is after some looks at a clip, and where to look next.

The presence ratio is estimated as if every frame showed what the nearest look showed. How far off it may be depends on
the frames in between: between two neighbouring looks lies a gap of L frames, each of which shows the actor with some
probability p (see `looks.chance`). Frames of one gap resemble each other, so the variance of their number is larger
than that of L independent draws, L p (1 - p), and smaller than that of L copies, L² p (1 - p); an exponent of 1.5 lies
halfway. How many such deviations are enough was measured, see `experiments.until_sure`.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from actor_detector.looks.chance import PresenceChance, nearest_looks

GAP_EXPONENT = 1.5
MIN_LOOKS = 4  # in a round, a full batch: one at a time saves few of them, but takes four times as many rounds
GROWTH = 8  # or one for so many looks before: a clip that stays in doubt takes many
PRESENT_DEVIATIONS = 5.0
"""For an actor to count as surely present. Most gates are low, so that a few frames make it certain, and those next to
one that shows the actor soon do; to be as sure of every absence would take far more looks."""
MIN_CHANCE, MAX_LOOKS = 0.2, 3  # of a frame to show a present actor, and in an interval, for one more look there
MIN_GAIN = 0.1  # of the most uncertain gap's uncertainty


@dataclass(frozen=True)
class Looks:
    """What was seen in some frames of a stretch of a clip.

    Attributes:
        time_seconds: Of every frame, ascending, shape (F,).
        rows: Which frames were looked at, ascending, shape (K,).
        confidence: The highest confidence of a box of each actor in those, in units of the confidence from which a box
            counts; 0 without a box. Shape (A, K).
        counts: Whether the frame counts as showing the actor, shape (A, K).
        represented: How many frames each look stands for, shape (K,), see `represented_frames`.
        ruled_out: Frames in which no box of the actor would count, shape (A, F).
    """

    time_seconds: NDArray[np.float64]
    rows: NDArray[np.int64]
    confidence: NDArray[np.float32]
    counts: NDArray[np.bool_]
    represented: NDArray[np.int64]
    ruled_out: NDArray[np.bool_]

    @property
    def frames(self) -> int:
        """How many frames all looks stand for."""
        return int(self.represented.sum())


@dataclass(frozen=True)
class Certainty:
    """How far the presence ratios of all frames may be from the estimated ones.

    Attributes:
        looks: What was seen.
        gap: Of each frame that was not looked at, the gap between two looks that it lies in; -1 for the others, (F,).
        variance: What each gap contributes, in frames squared, shape (A, K + 1).
        chance: The probability that each frame counts as showing each actor; 0 for those that were looked at, (A, F).
    """

    looks: Looks
    gap: NDArray[np.int64]
    variance: NDArray[np.float64]
    chance: NDArray[np.float64]

    @classmethod
    def of_looks(cls, looks: Looks, chance: PresenceChance) -> "Certainty":
        """Estimate it."""
        frames, count = len(looks.time_seconds), len(looks.rows)
        is_seen = np.zeros(frames, bool)
        is_seen[looks.rows] = True
        gap = np.where(is_seen, -1, np.cumsum(is_seen))
        unseen = ~is_seen
        probability = np.where(looks.ruled_out, 0.0, chance(looks.time_seconds, looks.rows, looks.confidence))
        length = np.bincount(gap[unseen], minlength=count + 1)
        summed = np.stack([np.bincount(gap[unseen], row[unseen], minlength=count + 1) for row in probability])
        mean = summed / np.maximum(length, 1)
        return cls(looks, gap, length**GAP_EXPONENT * mean * (1 - mean), np.where(is_seen, 0.0, probability))

    def intervals(self, deviations: float) -> NDArray[np.float64]:
        """Return within what each actor's presence ratio lies: so many standard deviations around the estimate.

        Args:
            deviations: Infinitely many leave only what is certain: frames that were not looked at may show an actor or
                not, unless they are ruled out.

        Returns:
            Lower and upper end, shape (A, 2), in [0, 1].
        """
        looks, frames = self.looks, self.looks.frames
        seen = looks.counts.sum(axis=1)
        possible = (~looks.ruled_out & (self.gap >= 0)).sum(axis=1)
        total = self.variance.sum(axis=1)
        spread = np.where(total > 0, deviations * np.sqrt(np.maximum(total, 1e-30)), 0.0)
        estimate = looks.counts @ looks.represented
        low = np.clip(estimate - spread, seen, seen + possible)
        high = np.clip(estimate + spread, seen, seen + possible)
        return np.stack([np.minimum(low, estimate), np.maximum(high, estimate)], axis=1) / frames

    def possible(self, gates: NDArray[np.float64], deviations: float) -> NDArray[np.bool_]:
        """Return which actors may be present as far as is sure, shape (A,); parameters as for `next_looks`."""
        frames = self.looks.frames
        possible: NDArray[np.bool_] = self.intervals(deviations)[:, 1] * frames >= _needed(gates, frames)
        return possible

    def next_looks(
        self, gates: NDArray[np.float64], deviations: float, random: np.random.Generator
    ) -> NDArray[np.int64]:
        """Choose the frames to look at next: one in the middle half of each gap that leaves much doubt about a gate.

        Args:
            gates: Minimum presence ratio of each actor, shape (A,).
            deviations: See `intervals`; an actor is in doubt if its interval reaches across its gate, downwards by
                `PRESENT_DEVIATIONS` at least.
            random: Draws the frames.

        Returns:
            Rows of frames, ascending; none if no actor is in doubt.
        """
        frames = self.looks.frames
        needed = _needed(gates, frames)
        low = self.intervals(max(deviations, PRESENT_DEVIATIONS))[:, 0] * frames
        in_doubt = (low < needed) & self.possible(gates, deviations)
        doubt = self.variance[in_doubt].sum(axis=0)
        if not doubt.any():
            return np.zeros(0, np.int64)
        worst = np.argsort(-doubt, kind="stable")[: max(MIN_LOOKS, len(self.looks.rows) // GROWTH)]
        worst = worst[doubt[worst] > MIN_GAIN * doubt.max()]
        places = 0.25 + 0.5 * random.random(len(worst))
        gaps = [np.flatnonzero(self.gap == gap) for gap in worst]
        return np.sort(np.array([rows[int(place * len(rows))] for rows, place in zip(gaps, places, strict=True)]))

    def looks_at_present(self, gates: NDArray[np.float64], interval: NDArray[np.int64]) -> NDArray[np.int64]:
        """Choose a frame in every interval in which no look shows a present actor, though one probably would.

        Args:
            gates: Minimum presence ratio of each actor, shape (A,).
            interval: The interval of each frame, shape (F,).

        Returns:
            Rows of frames, ascending.
        """
        looks = self.looks
        present = looks.counts @ looks.represented >= _needed(gates, looks.frames)
        number, count = np.unique(interval[looks.rows], return_counts=True)
        is_open = ~np.isin(interval, number[count >= MAX_LOOKS])
        wanted: set[int] = set()
        for actor in np.flatnonzero(present):
            shown = interval[looks.rows[looks.counts[actor]]]
            likely = np.flatnonzero(is_open & ~np.isin(interval, shown) & (self.chance[actor] >= MIN_CHANCE))
            best_first = likely[np.argsort(-self.chance[actor, likely], kind="stable")]
            wanted |= set(best_first[np.unique(interval[best_first], return_index=True)[1]].tolist())
        return np.array(sorted(wanted), np.int64)


def _needed(gates: NDArray[np.float64], frames: int) -> NDArray[np.float64]:
    """Return how many frames must show an actor; ratios are numbers of frames, so that the nearest ones decide."""
    needed: NDArray[np.float64] = np.ceil(gates * frames - 1e-9) - 0.5
    return needed


def represented_frames(time_seconds: NDArray[np.float64], rows: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return how many frames are nearest to each look, itself included, shape (K,).

    >>> represented_frames(np.arange(8.0), np.array([1, 4])).tolist()
    [3, 5]
    """
    before, after = nearest_looks(time_seconds, rows)
    since, until = time_seconds - time_seconds[rows[before]], time_seconds[rows[after]] - time_seconds
    nearest = np.where((np.abs(since) <= np.abs(until)) | (before == after), before, after)
    return np.bincount(nearest, minlength=len(rows)).astype(np.int64)


def first_looks(time_seconds: NDArray[np.float64], every_seconds: float) -> NDArray[np.int64]:
    """Return the rows of the first frame in every interval of so many seconds, ascending.

    >>> first_looks(np.array([0.0, 0.3, 0.6, 0.9, 1.7]), 0.5).tolist()
    [0, 2, 4]
    """
    return np.unique(np.floor(time_seconds / every_seconds), return_index=True)[1].astype(np.int64)
