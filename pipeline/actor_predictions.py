"""What one actor's head predicts for a clip: frame by frame, window by window, and as a whole."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from action_heads.label_decision import to_probabilities

MAX_REPEATED_DIFFERENCE = 0.1  # of logits; frames that differ by less show the same picture, as when a clip pauses


@dataclass(frozen=True)
class ActorPredictions:
    """What one actor's head predicts for a clip, by sampled frame.

    Attributes:
        frame_index: Sampled frames, from 0, ascending, shape (K,), int64.
        time_seconds: Time of each, shape (K,).
        logits: Shape (K, outputs).
        window_index: The window of the clip that each belongs to, ascending from 0, shape (K,), int64; None if there is
            only one, see `pipeline.clip_windows`.
    """

    frame_index: NDArray[np.int64]
    time_seconds: NDArray[np.float64]
    logits: NDArray[np.float32]
    window_index: NDArray[np.int64] | None = None

    @property
    def probabilities(self) -> NDArray[np.float32]:
        """Probabilities for each sampled frame, shape (K, outputs), in [0, 1]."""
        return to_probabilities(self.logits)

    @property
    def window_probabilities(self) -> NDArray[np.float32]:
        """Probabilities for each window that has a sampled frame, from the mean of the logits, shape (W, outputs).

        Consecutive frames that show the same picture count once, so that a pause in a clip does not outweigh the rest.
        """
        windows = np.zeros(len(self.logits), np.int64) if self.window_index is None else self.window_index
        means = []
        for window in np.unique(windows):
            logits = self.logits[windows == window]
            weights = _weights_of_distinct(logits)
            means.append(logits.mean(axis=0) if (weights == 1).all() else np.average(logits, axis=0, weights=weights))
        return to_probabilities(np.stack(means))

    @property
    def clip_probabilities(self) -> NDArray[np.float32]:
        """Probabilities for the clip, each in the window that shows the action best, shape (outputs,), in [0, 1]."""
        probabilities: NDArray[np.float32] = self.window_probabilities.max(axis=0)
        return probabilities

    def at_frames(self, frame_index: Sequence[int]) -> "ActorPredictions | None":
        """Select the predictions for some frames, in ascending order; None if one of them is missing."""
        rows = np.searchsorted(self.frame_index, frame_index)
        if (rows == len(self.frame_index)).any() or (self.frame_index[rows] != frame_index).any():
            return None
        return replace(
            self,
            frame_index=self.frame_index[rows],
            time_seconds=self.time_seconds[rows],
            logits=self.logits[rows],
            window_index=None if self.window_index is None else self.window_index[rows],
        )


def _weights_of_distinct(logits: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return a weight for each frame, shape (K,): 1 shared among consecutive frames with almost the same logits."""
    run = np.zeros(len(logits), np.int64)
    first = 0
    for row in range(1, len(logits)):
        if np.abs(logits[row] - logits[first]).max() > MAX_REPEATED_DIFFERENCE:
            first = row
        run[row] = first
    return 1 / np.bincount(run)[run]
