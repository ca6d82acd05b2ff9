"""One of an actor's kind, followed through a clip: boxes of neighbouring frames that overlap are one and the same.

The IOU tracker of Bochinski et al., "High-Speed Tracking-by-Detection Without Using Image Information" (AVSS 2017): it
is enough where every frame has its boxes. The kept trackers bring a second OpenCV, an older NumPy or PyTorch with them.
"""

import numpy as np
from numpy.typing import NDArray

from actor_detector.detections import ClipDetections

MIN_IOU = 0.3  # intersection over union of a box and the track's last one
MAX_GAP_FRAMES = 10  # frames that were looked at, without a box, after which a track ends


def track_actor(found: ClipDetections, actor_index: int) -> ClipDetections:
    """Keep the boxes of one of an actor's kind: of the track that was seen longest and surest.

    Args:
        found: Of one clip.
        actor_index: Place of the actor in the taxonomy, from 0.

    Returns:
        The same frames, with one box each at most.
    """
    own = np.flatnonzero(found.actor_index == actor_index)
    own = own[np.argsort(found.frame_row[own], kind="stable")]
    growing: list[list[int]] = []
    ended: list[list[int]] = []
    for boxes in np.split(own, np.flatnonzero(np.diff(found.frame_row[own])) + 1):
        if not len(boxes):
            continue
        row = found.frame_row[boxes[0]]
        ended += [track for track in growing if row - found.frame_row[track[-1]] > MAX_GAP_FRAMES]
        growing = [track for track in growing if row - found.frame_row[track[-1]] <= MAX_GAP_FRAMES]
        overlap = pairwise_iou(found.boxes[[track[-1] for track in growing]], found.boxes[boxes])
        for _ in range(min(overlap.shape)):
            track, box = np.unravel_index(overlap.argmax(), overlap.shape)
            if overlap[track, box] < MIN_IOU:
                break
            growing[track].append(int(boxes[box]))
            overlap[track], overlap[:, box] = -1, -1
        taken = {track[-1] for track in growing}
        growing += [[box] for box in boxes.tolist() if box not in taken]
    longest = max([*ended, *growing], key=lambda track: float(found.confidence[track].sum()), default=[])
    return found.take_boxes(np.array(longest, dtype=np.int64))


def pairwise_iou(some: NDArray[np.float32], others: NDArray[np.float32]) -> NDArray[np.float32]:
    """Give the intersection over union of boxes (N, 4) with others (M, 4), corners, shape (N, M), in [0, 1].

    >>> pairwise_iou(np.array([[0, 0, 2, 2]], np.float32), np.array([[1, 0, 3, 2], [5, 5, 6, 6]], np.float32)).round(3)
    array([[      0.333,           0]], dtype=float32)
    """
    some, others = some.reshape(-1, 1, 4), others.reshape(1, -1, 4)
    corner, opposite = np.maximum(some[..., :2], others[..., :2]), np.minimum(some[..., 2:], others[..., 2:])
    common = np.clip(opposite - corner, 0, None).prod(axis=2)
    union = sum((boxes[..., 2:] - boxes[..., :2]).prod(axis=2) for boxes in (some, others)) - common
    return np.asarray(common / np.maximum(union, 1e-9), dtype=np.float32)
