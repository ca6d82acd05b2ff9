"""Detections of boxes on known paths, for tests of motion features."""

import numpy as np

from actor_detector.detections import ClipDetections

CAT, DOG = 4, 5


def clip(centres, sizes=(40.0, 40.0), fps=10, actor=DOG, confidence=0.9, extra=(), camera=None) -> ClipDetections:
    """One box per frame, of a width and height, around given centres; and extra boxes (frame, box, confidence)."""
    centres = np.array(centres, float)
    half = np.array(sizes, float) / 2
    boxes = np.concatenate([centres - half, centres + half], axis=1)
    rows = np.arange(len(centres))
    extra_rows, extra_boxes, extra_confidence = ([entry[part] for entry in extra] for part in range(3))
    order = np.argsort(np.concatenate([rows, extra_rows]), kind="stable")
    return ClipDetections(
        frame_index=rows,
        time_seconds=rows / fps,
        frame_row=np.concatenate([rows, extra_rows])[order].astype(np.int64),
        boxes=np.concatenate([boxes, np.reshape(extra_boxes, (-1, 4))])[order].astype(np.float32),
        confidence=np.concatenate([np.full(len(rows), confidence), extra_confidence])[order].astype(np.float32),
        actor_index=np.full(len(rows) + len(extra), actor),
        duration_seconds=len(rows) / fps,
        camera=None if camera is None else np.array(camera, np.float32),
    )
