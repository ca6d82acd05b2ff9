"""How likely an actor is seen in a frame that was not looked at, judged by the nearest frames that were.

The detector's confidence changes slowly from frame to frame, so what it gave just before and just after says much about
a frame. A logistic regression, fitted to clips of which every frame is known, turns that into a probability that the
frame counts as showing the actor: a box that the confirmation layers would not confirm does not. BlazeIt
and SUPG (Kang et al., 2019 and 2020) use the scores of a cheap network in the same way; here they come at no cost.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

FEATURES = (
    *("interpolated confidence", "higher confidence", "lower confidence"),
    *("log distance", "log distance x interpolated", "highest in the clip", "mean in the clip"),
    *("no box nearby", "no box nearby x log distance", "no box nearby x highest in the clip"),
)
MIN_SECONDS, UNIT_SECONDS = 0.02, 0.2  # of the logarithm of a distance


@dataclass(frozen=True)
class PresenceChance:
    """The fitted probability that a frame counts as showing an actor.

    Attributes:
        weights: Of `FEATURES`, shape (10,).
        bias: Added to their weighted sum, of each actor, shape (A,); or one number for all.
    """

    weights: NDArray[np.float64]
    bias: NDArray[np.float64] | float

    def __post_init__(self) -> None:
        """Check that there is one weight per feature."""
        if self.weights.shape != (len(FEATURES),):
            raise ValueError(f"{self.weights.shape = }, ({len(FEATURES)},) was expected")

    def __call__(
        self, time_seconds: NDArray[np.float64], rows: NDArray[np.int64], confidence: NDArray[np.float32]
    ) -> NDArray[np.float64]:
        """Return the probability that each frame counts as showing each actor.

        Args:
            time_seconds: Of all frames, ascending, shape (F,).
            rows: Which of them were looked at, ascending, shape (K,), K at least 1.
            confidence: The highest confidence of a box of each actor in those, in units of the confidence from which a
                box counts; 0 without a box. Shape (A, K).

        Returns:
            Shape (A, F), in [0, 1]; of no meaning in the frames that were looked at.
        """
        logits = chance_features(time_seconds, rows, confidence) @ self.weights + np.reshape(self.bias, (-1, 1))
        probabilities: NDArray[np.float64] = 1 / (1 + np.exp(-logits))
        return probabilities


def nearest_looks(
    time_seconds: NDArray[np.float64], rows: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Find the nearest look before and after each frame, as positions in `rows`; at the ends, the only one twice.

    >>> before, after = nearest_looks(np.arange(6.0), np.array([1, 4]))
    >>> before.tolist(), after.tolist()
    ([0, 0, 0, 0, 1, 1], [0, 0, 1, 1, 1, 1])
    """
    frames = np.arange(len(time_seconds))
    before = np.searchsorted(rows, frames, side="right") - 1
    after = np.searchsorted(rows, frames)
    return np.maximum(before, 0), np.minimum(after, len(rows) - 1)


def chance_features(
    time_seconds: NDArray[np.float64], rows: NDArray[np.int64], confidence: NDArray[np.float32]
) -> NDArray[np.float64]:
    """Compute `FEATURES` of every actor and frame, see `PresenceChance.__call__`.

    Returns:
        Shape (A, F, 10).
    """
    before, after = nearest_looks(time_seconds, rows)
    since = np.abs(time_seconds - time_seconds[rows[before]])
    until = np.abs(time_seconds[rows[after]] - time_seconds)
    share = since / np.maximum(since + until, 1e-9)
    first, second = confidence[:, before].astype(np.float64), confidence[:, after].astype(np.float64)
    interpolated = first * (1 - share) + second * share
    higher, lower = np.maximum(first, second), np.minimum(first, second)
    nearest = np.where(before == after, np.maximum(since, until), np.minimum(since, until))
    distance = np.broadcast_to(np.log(np.maximum(nearest, MIN_SECONDS) / UNIT_SECONDS), interpolated.shape)
    highest = np.broadcast_to(confidence.max(axis=1, keepdims=True), interpolated.shape)
    mean = np.broadcast_to(confidence.mean(axis=1, keepdims=True), interpolated.shape)
    nothing = (higher == 0).astype(np.float64)
    columns = (
        *(interpolated, higher, lower, distance, distance * interpolated, highest, mean),
        *(nothing, nothing * distance, nothing * highest),
    )
    return np.stack(columns, axis=-1)
