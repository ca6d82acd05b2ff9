"""Which frames of a clip an actor's head is given: the same choice in training as in tagging."""

import numpy as np
from numpy.typing import NDArray

from actor_detector.detections import ClipDetections


def interval_indices(time_seconds: NDArray[np.float64], every_seconds: float) -> NDArray[np.int64]:
    """Return the index of the interval of `every_seconds` that each time falls into, from 0, shape (N,)."""
    return np.floor(time_seconds / every_seconds).astype(np.int64)


def sample_frames(detections: ClipDetections, actor_index: int, every_seconds: float) -> tuple[int, ...]:
    """Sample the first frame that shows an actor in every interval of `every_seconds`.

    This can be decided while the clip is being decoded, so no frame needs to be stored.

    Args:
        detections: Of one clip.
        actor_index: Index of the actor in the taxonomy, from 0.
        every_seconds: Length of an interval.

    Returns:
        Frame indices, from 0, ascending. If no frame shows the actor, one frame of every interval of the clip.
    """
    visible = np.isin(detections.frame_index, detections.frames_with(actor_index))
    candidates = np.flatnonzero(visible) if visible.any() else np.arange(len(detections.frame_index))
    _, first = np.unique(interval_indices(detections.time_seconds[candidates], every_seconds), return_index=True)
    return tuple(detections.frame_index[candidates[first]].tolist())
