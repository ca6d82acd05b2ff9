"""Motion features: how an actor moves through a clip, computed from its boxes alone.

One individual of the actor is tracked, and the camera's motion is subtracted. Lengths are measured in body sizes (the
square root of the box's area) and speeds between frames a tenth of a second apart, so that neither depends on the
distance from the camera, the resolution or the frame rate.
"""

import numpy as np
from numpy.typing import NDArray

from actor_detector.detections import ClipDetections
from actor_detector.motion.tracker import track_actor

VISIBILITY_FEATURES = (
    "presence",  # share of the processed frames in which the actor is present
    "boxes per frame",  # mean number of boxes of the actor
    "boxes per frame, maximum",
    "confidence, mean",
    "confidence, maximum",
)
PATH_FEATURES = (
    "speed, mean",  # log(1 + body sizes per second)
    "speed, standard deviation",  # likewise
    "speed, median",  # likewise
    "horizontal speed, mean",  # body sizes per second, regardless of the direction
    "vertical speed, mean",
    "horizontal drift",  # body sizes per second; movements back and forth cancel out
    "vertical drift",
    "vertical share",  # of the total speed, in [0, 1]
    "aspect, mean",  # log(height / width)
    "aspect, standard deviation",
    "aspect, change between frames",
    "growth, mean",  # change of log(body size) per second, regardless of the sign
    "height of the path",  # range of the centres, in median box heights
)
MOTION_FEATURES = VISIBILITY_FEATURES + PATH_FEATURES
MAX_GAP_SECONDS = 0.3  # between two boxes; over a longer gap, the motion is unknown
MAX_SPEED = 8.0  # body sizes per second; faster boxes belong to two individuals
MIN_STEPS = 2
STEP_SECONDS = 0.1  # between two boxes whose positions are compared, whatever the frame rate


def motion_features(detections: ClipDetections, actor_index: int) -> NDArray[np.float32]:
    """Compute the motion features of an actor.

    Args:
        detections: Of one clip.
        actor_index: Index of the actor in the taxonomy, from 0.

    Returns:
        The features named in `MOTION_FEATURES`, shape (18,). If the actor is visible too briefly for a speed, the path
        features are 0.
    """
    track = track_actor(detections, actor_index)
    times = detections.time_seconds[track.frame_row]
    steps = step_rows(times)
    path = path_features(track.stabilized_boxes()[steps], times[steps])
    return np.concatenate([visibility_features(detections, actor_index), path]).astype(np.float32)


def step_rows(time_seconds: NDArray[np.float64]) -> NDArray[np.int64]:
    """Select one time in each `STEP_SECONDS`, the first: between near frames, a box's jitter outweighs its motion.

    Args:
        time_seconds: Ascending, shape (K,).

    Returns:
        Indices of the selected times, from 0, ascending.
    """
    _, first = np.unique(np.floor(time_seconds / STEP_SECONDS + 1e-6), return_index=True)
    return first.astype(np.int64)


def visibility_features(detections: ClipDetections, actor_index: int) -> NDArray[np.float64]:
    """Compute how much of an actor is visible, over all its individuals.

    Returns:
        The features named in `VISIBILITY_FEATURES`, shape (5,).
    """
    is_actor = detections.actor_index == actor_index
    confidence = detections.confidence[is_actor]
    if not len(confidence):
        return np.zeros(len(VISIBILITY_FEATURES))
    counts = np.bincount(detections.frame_row[is_actor], minlength=len(detections.frame_index))
    return np.array(
        [
            (counts > 0).mean(),
            counts.mean(),
            counts.max(),
            confidence.mean(),
            confidence.max(),
        ],
        np.float64,
    )


def path_features(boxes: NDArray[np.float32], time_seconds: NDArray[np.float64]) -> NDArray[np.float64]:
    """Compute how a box moves.

    Args:
        boxes: Corners x1 y1 x2 y2 in pixels, at most one per frame, shape (K, 4).
        time_seconds: The time of each, shape (K,).

    Returns:
        The features named in `PATH_FEATURES`, shape (13,); 0 if fewer than two steps have a known speed.
    """
    width, height = boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1]
    size = np.sqrt(np.maximum(width * height, 1.0))
    centre = (boxes[:, :2] + boxes[:, 2:]) / 2
    gap = np.maximum(np.diff(time_seconds), 1e-3)
    velocity = np.diff(centre, axis=0) / gap[:, None] / size[1:, None]
    is_known = (gap < MAX_GAP_SECONDS) & (np.hypot(*velocity.T) < MAX_SPEED)
    if is_known.sum() < MIN_STEPS:
        return np.zeros(len(PATH_FEATURES))
    velocity = velocity[is_known]
    horizontal, vertical = velocity.T
    speed = np.hypot(horizontal, vertical)
    aspect = np.log(np.maximum(height, 1.0) / np.maximum(width, 1.0))
    growth = (np.diff(np.log(size)) / gap)[is_known]
    return np.array(
        [
            *np.log1p([speed.mean(), speed.std(), np.median(speed)]),
            *np.abs(velocity).mean(axis=0),
            *np.abs(velocity.mean(axis=0)),
            np.abs(vertical).sum() / (speed.sum() + 1e-6),
            aspect.mean(),
            aspect.std(),
            np.abs(np.diff(aspect)).mean(),
            np.abs(growth).mean(),
            np.ptp(centre[:, 1]) / max(float(np.median(height)), 1.0),
        ]
    )
