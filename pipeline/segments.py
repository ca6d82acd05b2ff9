"""From scores over time to stretches of time: when an action is done."""

import numpy as np
from numpy.typing import NDArray

from pipeline.frame_sampling import time_bins

SMOOTHED = 3  # looks that are averaged: an action does not stop for one of them


def find_segments(
    time_seconds: NDArray[np.float64],
    scores: NDArray[np.floating],
    threshold: float,
    every_seconds: float,
    duration_seconds: float,
) -> tuple[tuple[float, float], ...]:
    """Find when a label holds: where its score, smoothed over neighbouring looks, reaches a threshold.

    Args:
        time_seconds: Of the looks, rising, shape (K,); at most one in each stretch of `every_seconds`.
        scores: The label's probability at each, shape (K,).
        threshold: In [0, 1]; where it is not above the mean score, there is at least one segment.
        every_seconds: How long a look stands for; an actor that is not seen for longer ends a segment.
        duration_seconds: Of the clip, where the last segment ends at the latest.

    Returns:
        Start and end of each segment, in seconds, in order.

    >>> find_segments(np.array([0, 0.5, 1, 3, 3.5]), np.array([0.9, 0.8, 0.9, 0.7, 0.6]), 0.5, 0.5, 3.8)
    ((0.0, 1.5), (3.0, 3.8))
    """
    bins = time_bins(time_seconds, every_seconds)
    near = np.abs(bins[:, None] - bins[None, :]) <= SMOOTHED // 2
    smooth = (near @ scores.astype(np.float64)) / near.sum(axis=1)
    if not (smooth >= threshold).any():
        smooth = scores.astype(np.float64)
    segments: list[tuple[float, float]] = []
    last = -1
    for place in np.flatnonzero(smooth >= threshold - 1e-9):
        start = float(bins[place] * every_seconds)
        end = min(start + every_seconds, duration_seconds)
        if segments and bins[place] == last + 1:
            segments[-1] = (segments[-1][0], end)
        else:
            segments.append((start, end))
        last = int(bins[place])
    return tuple((round(start, 3), round(end, 3)) for start, end in segments)
