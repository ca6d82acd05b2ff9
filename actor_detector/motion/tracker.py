"""Tracking of one individual through a clip: boxes of an actor that overlap in consecutive frames belong together.

The IOU tracker of Bochinski et al., "High-Speed Tracking-by-Detection Without Using Image Information" (AVSS 2017),
which suffices where detections are available in every frame. The maintained tracking packages would add a second
OpenCV, an older NumPy or PyTorch as dependencies.
"""

import numpy as np
from numpy.typing import NDArray

from actor_detector.detections import ClipDetections

MIN_IOU = 0.3  # intersection over union of a box and the track's last box
MAX_GAP_FRAMES = 10  # processed frames without a box after which a track ends


def track_actor(detections: ClipDetections, actor_index: int) -> ClipDetections:
    """Select the boxes of one individual of an actor: those of the track with the largest total confidence.

    Args:
        detections: Of one clip.
        actor_index: Index of the actor in the taxonomy, from 0.

    Returns:
        The same frames, with at most one box each.
    """
    candidates = np.flatnonzero(detections.actor_index == actor_index)
    candidates = candidates[np.argsort(detections.frame_row[candidates], kind="stable")]
    active: list[list[int]] = []
    ended: list[list[int]] = []
    for boxes in np.split(candidates, np.flatnonzero(np.diff(detections.frame_row[candidates])) + 1):
        if not len(boxes):
            continue
        row = detections.frame_row[boxes[0]]
        ended += [track for track in active if row - detections.frame_row[track[-1]] > MAX_GAP_FRAMES]
        active = [track for track in active if row - detections.frame_row[track[-1]] <= MAX_GAP_FRAMES]
        active = _extend_tracks(active, boxes, detections.boxes)
    best = max([*ended, *active], key=lambda track: float(detections.confidence[track].sum()), default=[])
    return detections.take_boxes(np.array(best, dtype=np.int64))


def _extend_tracks(
    tracks: list[list[int]], candidates: NDArray[np.int64], boxes: NDArray[np.float32]
) -> list[list[int]]:
    """Assign the boxes of one frame to tracks, the pair with the largest overlap first; the others start new tracks."""
    iou = pairwise_iou(boxes[[track[-1] for track in tracks]], boxes[candidates])
    for _ in range(min(iou.shape)):
        track, candidate = np.unravel_index(iou.argmax(), iou.shape)
        if iou[track, candidate] < MIN_IOU:
            break
        tracks[track].append(int(candidates[candidate]))
        iou[track], iou[:, candidate] = -1, -1
    assigned = {track[-1] for track in tracks}
    return tracks + [[box] for box in candidates.tolist() if box not in assigned]


def pairwise_iou(boxes: NDArray[np.float32], others: NDArray[np.float32]) -> NDArray[np.float32]:
    """Compute the intersection over union of each box (N, 4) with each other box (M, 4), shape (N, M), in [0, 1].

    >>> pairwise_iou(np.array([[0, 0, 2, 2]], np.float32), np.array([[0, 0, 2, 1], [5, 5, 6, 6]], np.float32)).tolist()
    [[0.5, 0.0]]
    """
    boxes, others = boxes.reshape(-1, 1, 4), others.reshape(1, -1, 4)
    top_left, bottom_right = np.maximum(boxes[..., :2], others[..., :2]), np.minimum(boxes[..., 2:], others[..., 2:])
    intersection = np.clip(bottom_right - top_left, 0, None).prod(axis=2)
    union = sum((corners[..., 2:] - corners[..., :2]).prod(axis=2) for corners in (boxes, others)) - intersection
    return np.asarray(intersection / np.maximum(union, 1e-9), dtype=np.float32)
