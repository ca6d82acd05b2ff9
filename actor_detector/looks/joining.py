"""Joining detections: of consecutive stretches of a clip, and of earlier and later looks at it."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from actor_detector.detections import ClipDetections, FrameBoxes


def join_parts(parts: Sequence[ClipDetections], duration_seconds: float, truncated: str) -> ClipDetections:
    """Join the detections in consecutive stretches of a clip.

    Args:
        parts: In order, at least one, all with the camera's motion and `represented`.
        duration_seconds: Of the whole clip.
        truncated: Why it could not be decoded to its end, or an empty string.
    """
    boxes = FrameBoxes.concatenate([_frame_boxes(part) for part in parts])
    return ClipDetections(
        frame_index=np.concatenate([part.frame_index for part in parts]),
        time_seconds=np.concatenate([part.time_seconds for part in parts]),
        frame_row=boxes.frame_row,
        boxes=boxes.boxes,
        confidence=boxes.confidence,
        actor_index=boxes.actor_index,
        duration_seconds=duration_seconds,
        truncated=truncated,
        camera=np.concatenate([part.camera for part in parts if part.camera is not None]),
        represented=np.concatenate([part.frames_represented() for part in parts]),
    )


def merge_looks(earlier: ClipDetections | None, later: ClipDetections) -> ClipDetections:
    """Return the boxes in all frames of a clip that were looked at, earlier or later."""
    later = replace(later, camera=None, represented=None, decoded=None, stride=1)
    if earlier is None:
        return later
    rows = np.flatnonzero(~np.isin(earlier.frame_index, later.frame_index))
    frame_index = np.concatenate([later.frame_index, earlier.frame_index[rows]])
    order = np.argsort(frame_index)
    both = FrameBoxes.concatenate([_frame_boxes(later), _frame_boxes(earlier).take(rows)]).take(order)
    return replace(
        later,
        frame_index=frame_index[order],
        time_seconds=np.concatenate([later.time_seconds, earlier.time_seconds[rows]])[order],
        frame_row=both.frame_row,
        boxes=both.boxes,
        confidence=both.confidence,
        actor_index=both.actor_index,
    )


def boxes_by_frame(detections: ClipDetections) -> dict[int, FrameBoxes]:
    """Return the boxes in each processed frame, by the frame's index in the clip."""
    boxes = _frame_boxes(detections)
    rows: list[NDArray[np.int64]] = [np.array([row], np.int64) for row in range(boxes.frames)]
    return {int(index): boxes.take(row) for index, row in zip(detections.frame_index, rows, strict=True)}


def _frame_boxes(part: ClipDetections) -> FrameBoxes:
    return FrameBoxes(len(part.frame_index), part.frame_row, part.boxes, part.confidence, part.actor_index)
