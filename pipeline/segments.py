"""From scores over time to segments: when an action happens."""

import numpy as np
from numpy.typing import NDArray

from pipeline.frame_sampling import interval_indices

SMOOTHING_WINDOW = 3  # sampled frames that are averaged: one low score does not end an action
MAX_UNSEEN_SECONDS = 3.0  # for which the actor may be out of sight in the middle of an action


def find_segments(
    time_seconds: NDArray[np.float64],
    scores: NDArray[np.floating],
    threshold: float,
    every_seconds: float,
    duration_seconds: float,
) -> tuple[tuple[float, float], ...]:
    """Find the segments of a label: where its score, smoothed over neighbouring sampled frames, reaches a threshold.

    Args:
        time_seconds: Of the sampled frames, ascending, shape (K,); at most one in each interval of `every_seconds`.
        scores: The label's probability in each, shape (K,).
        threshold: In [0, 1]; where it is not above the mean score, there is at least one segment.
        every_seconds: Length of the intervals. Those without a sampled frame do not show the actor; between two that do
            show the action, up to `MAX_UNSEEN_SECONDS` of them belong to the segment.
        duration_seconds: Of the clip; no segment ends later.

    Returns:
        Start and end of each segment, in seconds, in order.

    >>> find_segments(np.array([0, 0.5, 1, 5, 7]), np.array([0.9, 0.8, 0.9, 0.7, 0.6]), 0.5, 0.5, 7.3)
    ((0.0, 1.5), (5.0, 7.3))
    """
    intervals = interval_indices(time_seconds, every_seconds)
    near = np.abs(intervals[:, None] - intervals[None, :]) <= SMOOTHING_WINDOW // 2
    smooth = (near @ scores.astype(np.float64)) / near.sum(axis=1)
    if not (smooth >= threshold).any():
        smooth = scores.astype(np.float64)
    is_shown = smooth >= threshold - 1e-9
    segments: list[tuple[float, float]] = []
    for index in np.flatnonzero(is_shown).tolist():
        start = float(intervals[index] * every_seconds)
        end = min(start + every_seconds, duration_seconds)
        if index and is_shown[index - 1] and start - segments[-1][1] <= MAX_UNSEEN_SECONDS + 1e-9:
            segments[-1] = (segments[-1][0], end)
        else:
            segments.append((start, end))
    return tuple((round(start, 3), round(end, 3)) for start, end in segments)
