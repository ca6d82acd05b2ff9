"""Windows of a long clip: each is judged by itself, so that an answer does not depend on the length of the clip.

The data sets consist of clips of a few seconds, and so do those that the gates and the heads were fitted to. A longer
clip is divided into windows of a comparable length. An actor is present in a clip if it is present in one of its
windows, and only the windows that show it count for its actions. A clip of up to `MAX_WINDOW_SECONDS` is a single
window, as published (A2D challenge report, section 3.1).
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from actor_detector.detections import ClipDetections

MAX_WINDOW_SECONDS = 30.0  # the longest clips that heads and gates were fitted to have 24
MAX_FRAME_SECONDS = 1.0  # for longer, a frame that stays on the screen fills no window: it is a pause


@dataclass(frozen=True)
class ClipWindows:
    """The windows of one clip.

    Attributes:
        detections: Of the whole clip.
        first_row: The first processed frame of each window, as a row of the detections, ascending from 0, shape (W,).
    """

    detections: ClipDetections
    first_row: NDArray[np.int64]

    @classmethod
    def of_clip(cls, detections: ClipDetections, max_seconds: float = MAX_WINDOW_SECONDS) -> "ClipWindows":
        """Divide a clip into as few windows of equal length as the maximum length allows; pauses do not count.

        >>> times = np.arange(90.0)
        >>> none = np.zeros(0, np.int64)
        >>> clip = ClipDetections(
        ...     np.arange(90), times, none, np.zeros((0, 4), np.float32), np.zeros(0, np.float32), none, 90.0
        ... )
        >>> ClipWindows.of_clip(clip, max_seconds=40).first_row.tolist()
        [0, 30, 60]
        """
        ends = np.append(detections.time_seconds[1:], detections.duration_seconds)
        shown = np.clip(ends - detections.time_seconds, 0, MAX_FRAME_SECONDS)
        total = float(shown.sum())
        count = max(1, math.ceil(total / max_seconds - 1e-6))
        begin = np.cumsum(shown) - shown
        index = np.minimum((begin * (count / max(total, 1e-9)) + 1e-6).astype(np.int64), count - 1)
        _, first_row = np.unique(index, return_index=True)
        return cls(detections, first_row.astype(np.int64))

    def __len__(self) -> int:
        return len(self.first_row)

    def window(self, index: int) -> ClipDetections:
        """Return the detections in one window, from 0."""
        return self.detections.take_frames(int(self.first_row[index]), self._end_row(index))

    def presence_ratios(self, actors: int) -> NDArray[np.float64]:
        """Compute the presence ratio of each actor in each window, shape (W, actors), in [0, 1]."""
        return self.detections.presence_ratios_by_part(self.first_row, actors)

    def seconds(self, index: int) -> tuple[float, float]:
        """Return the start and the end of a window, from 0, in seconds since the clip's first frame."""
        times, end_row = self.detections.time_seconds, self._end_row(index)
        end = times[end_row] if end_row < len(times) else self.detections.duration_seconds
        return float(times[self.first_row[index]]), float(end)

    def present_seconds(self, gates: NDArray[np.float64]) -> list[tuple[tuple[float, float], ...]]:
        """Find the windows in which each actor is present, if there are several.

        Args:
            gates: Shape (actors,), in [0, 1].

        Returns:
            By actor, the start and the end of each such window in seconds; empty if the clip is a single window.
        """
        if len(self) == 1:
            return [()] * len(gates)
        present = self.presence_ratios(len(gates)) >= gates
        return [
            tuple((round(start, 3), round(end, 3)) for start, end in map(self.seconds, np.flatnonzero(column).tolist()))
            for column in present.T
        ]

    def index_of(self, frame_index: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the window of each frame, given the frames' indices in the clip, both from 0, shape (K,)."""
        first_frame = self.detections.frame_index[self.first_row]
        return np.maximum(np.searchsorted(first_frame, frame_index, side="right") - 1, 0).astype(np.int64)

    def _end_row(self, index: int) -> int:
        return int(self.first_row[index + 1]) if index + 1 < len(self) else len(self.detections.frame_index)


def clip_presence_ratios(detections: ClipDetections, actors: int) -> NDArray[np.float64]:
    """Compute each actor's presence ratio, in the window that shows it most: what a gate is compared with.

    Args:
        detections: Of one clip.
        actors: Number of actors in the taxonomy.

    Returns:
        Shape (actors,), in [0, 1]; for a clip of up to `MAX_WINDOW_SECONDS`, the share of all frames.
    """
    ratios: NDArray[np.float64] = ClipWindows.of_clip(detections).presence_ratios(actors).max(axis=0)
    return ratios
