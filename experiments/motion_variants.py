"""Variants of the motion features for the ablation: without the tracker, and without camera compensation."""

import numpy as np
from numpy.typing import NDArray

from actor_detector.detections import ClipDetections
from actor_detector.motion.features import path_features, step_rows, visibility_features
from actor_detector.motion.tracker import track_actor


def motion_variant(detections: ClipDetections, actor_index: int, *, track: bool, camera: bool) -> NDArray[np.float32]:
    """Compute the motion features of an actor, with parts of the method left out.

    Args:
        detections: Of one clip.
        actor_index: Index of the actor in the taxonomy, from 0.
        track: Whether to track one individual; otherwise, use the most confident box of each frame.
        camera: Whether to subtract the camera's motion, where it is known.

    Returns:
        The features named in `actor_detector.motion.features.MOTION_FEATURES`, shape (18,).
    """
    path = track_actor(detections, actor_index) if track else most_confident_boxes(detections, actor_index)
    boxes = path.stabilized_boxes() if camera else path.boxes
    times = detections.time_seconds[path.frame_row]
    steps = step_rows(times)
    features = [visibility_features(detections, actor_index), path_features(boxes[steps], times[steps])]
    return np.concatenate(features).astype(np.float32)


def most_confident_boxes(detections: ClipDetections, actor_index: int) -> ClipDetections:
    """Select an actor's most confident box in each frame."""
    rows = np.flatnonzero(detections.actor_index == actor_index)
    best_first = rows[np.lexsort((-detections.confidence[rows], detections.frame_row[rows]))]
    _, first = np.unique(detections.frame_row[best_first], return_index=True)
    return detections.take_boxes(best_first[first])
