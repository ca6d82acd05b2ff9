"""How an actor moves through a clip, in a few numbers, from its boxes alone: what no single image tells.

One of the actor's kind is followed, and the camera's own motion is taken out. Lengths are in body sizes (the square
root of the box's area), so that it does not matter how near the camera was.
"""

import numpy as np
from numpy.typing import NDArray

from actor_detector.detections import ClipDetections
from actor_detector.motion.tracker import track_actor

MOTION_FEATURES = (
    "presence",  # share of the clip's frames that show the actor
    "boxes a frame",  # how many of its kind, on average
    "most boxes in a frame",
    "confidence, mean",
    "confidence, highest",
    "seconds",  # of the whole clip
    "speed, mean",  # log(1 + body sizes a second)
    "speed, spread",  # likewise, of the standard deviation
    "speed, median",
    "speed across, mean",  # body sizes a second, whatever the direction
    "speed up or down, mean",
    "drift across",  # body sizes a second from start to end: back and forth cancel out
    "drift up or down",
    "vertical share",  # of all speed, in [0, 1]
    "shape, mean",  # log(height / width)
    "shape, spread",
    "shape, change from frame to frame",
    "growth, mean",  # change of log(size) a second, whatever its sign
    "size",  # log(body size / 320 pixels)
    "height of the path",  # span of the centres, in median box heights
)
MAX_GAP_SECONDS = 0.3  # seconds between two boxes from which nobody knows what happened
MAX_SPEED = 8.0  # body sizes a second; beyond it, the boxes are those of two actors
MIN_STEPS = 2


VISIBILITY_FEATURES = 6  # numbers that say how much is seen, of all of the actor's kind


def motion_features(
    detections: ClipDetections, actor_index: int, track: bool = True, camera: bool = True
) -> NDArray[np.float32]:
    """Describe how an actor moves.

    Args:
        detections: Of one clip.
        actor_index: Place of the actor in the taxonomy, from 0.
        track: Follow one of its kind; else the most confident box in each frame stands for it.
        camera: Take the camera's motion out, where it is known.

    Returns:
        The numbers that `MOTION_FEATURES` names, shape (20,). An actor that is hardly seen has zeros from the first speed on.
    """
    frames = max(len(detections.frame_index), 1)
    own = detections.actor_index == actor_index
    rows, confidence = detections.frame_row[own], detections.confidence[own]
    counts = np.bincount(rows, minlength=frames)
    described = np.zeros(len(MOTION_FEATURES), np.float32)
    if not len(rows):
        described[5] = detections.duration_seconds
        return described
    described[:VISIBILITY_FEATURES] = [
        (counts > 0).mean(),
        counts.mean(),
        counts.max(),
        confidence.mean(),
        confidence.max(),
        detections.duration_seconds,
    ]
    followed = track_actor(detections, actor_index) if track else _surest(detections, actor_index)
    boxes, rows = followed.boxes, followed.frame_row
    if camera and detections.camera is not None:
        boxes = boxes - np.tile(detections.camera, 2)[rows]
    described[VISIBILITY_FEATURES:] = _describe_path(boxes, detections.time_seconds[rows])
    return described


def _surest(detections: ClipDetections, actor_index: int) -> ClipDetections:
    """Keep an actor's most confident box in each frame."""
    own = np.flatnonzero(detections.actor_index == actor_index)
    best_first = own[np.lexsort((-detections.confidence[own], detections.frame_row[own]))]
    _, first = np.unique(detections.frame_row[best_first], return_index=True)
    return detections.take_boxes(best_first[first])


def _describe_path(boxes: NDArray[np.float32], time_seconds: NDArray[np.float64]) -> NDArray[np.float64]:
    """Describe the way of one box, corners (K, 4), over time (K,), as the last 14 numbers of `MOTION_FEATURES`."""
    width, height = boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1]
    size = np.sqrt(np.maximum(width * height, 1.0))
    centre = (boxes[:, :2] + boxes[:, 2:]) / 2
    gap = np.maximum(np.diff(time_seconds), 1e-3)
    velocity = np.diff(centre, axis=0) / gap[:, None] / size[1:, None]
    known = (gap < MAX_GAP_SECONDS) & (np.hypot(*velocity.T) < MAX_SPEED)
    if known.sum() < MIN_STEPS:
        return np.zeros(len(MOTION_FEATURES) - VISIBILITY_FEATURES)
    velocity = velocity[known]
    across, down = velocity.T
    speed = np.hypot(across, down)
    shape = np.log(np.maximum(height, 1.0) / np.maximum(width, 1.0))
    growth = (np.diff(np.log(size)) / gap)[known]
    return np.array(
        [
            *np.log1p([speed.mean(), speed.std(), np.median(speed)]),
            *np.abs(velocity).mean(axis=0),
            *np.abs(velocity.mean(axis=0)),
            np.abs(down).sum() / (speed.sum() + 1e-6),
            shape.mean(),
            shape.std(),
            np.abs(np.diff(shape)).mean(),
            np.abs(growth).mean(),
            np.log(size.mean() / 320),
            np.ptp(centre[:, 1]) / max(float(np.median(height)), 1.0),
        ]
    )
