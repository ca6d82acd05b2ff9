"""Probabilities that action heads predict for single images, for comparison in tests."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from action_heads.crops import NO_BOX
from action_heads.frame_views import FrameViews
from action_heads.label_decision import to_probabilities
from action_heads.prediction import ActionHeads


def predict_images(
    heads: ActionHeads,
    actor_name: str,
    images: Sequence[NDArray[np.uint8]] | NDArray[np.uint8],
    boxes: NDArray[np.float32] | None = None,
    motion: NDArray[np.float32] | None = None,
) -> NDArray[np.float32]:
    """Return the probabilities of an actor's labels in each image.

    Args:
        heads: The action heads.
        actor_name: Name of the actor.
        images: B whole frames, each of shape (H, W, 3), uint8, BGR.
        boxes: The actor's box in each, corners in pixels, shape (B, 4); NaN, or None for all, if there is none.
        motion: See `ActionHeads.add_motion`.

    Returns:
        Shape (B, outputs), in [0, 1].
    """
    if boxes is None:
        boxes = np.tile(NO_BOX, (len(images), 1))
    pending = [
        heads.submit_frame(FrameViews(image), {actor_name: box}) for image, box in zip(images, boxes, strict=True)
    ]
    logits = [wait()[actor_name] for wait in pending]
    outputs = len(heads.taxonomy.actor(actor_name).labels)
    stacked = np.reshape(logits, (len(logits), outputs)).astype(np.float32)
    if motion is not None:
        stacked = heads.add_motion(actor_name, stacked, motion)
    return to_probabilities(stacked)
