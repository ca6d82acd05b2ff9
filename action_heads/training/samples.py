"""Looks at one actor: which frame of which sample, where the actor is in it, and what it does there."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from a2d.formats.base import Sample
from a2d.taxonomy import Actor
from action_heads.crops import crop_actor
from action_heads.preprocessing import resize_frame
from video.clips import read_frames_at

ClipProgress = Callable[[Sequence[Path]], Iterable[Path]]
NO_MOTION = np.zeros(0, np.float32)


@dataclass(frozen=True)
class SampledFrame:
    """One look at an actor of a sample.

    Attributes:
        sample: Whose labels hold.
        clip_sha256: Of the clip's contents.
        frame_index: The frame looked at, from 0.
        box: The actor's box in it, corners in pixels, shape (4,), float32; NaN where there is none.
        motion: How the actor moves through the clip, shape (M,), float32; empty where no head is told.
    """

    sample: Sample
    clip_sha256: str
    frame_index: int
    box: NDArray[np.float32]
    motion: NDArray[np.float32] = field(default_factory=lambda: NO_MOTION)


def samples_showing(actor: Actor, samples: Iterable[Sample]) -> list[Sample]:
    """Keep the samples in which an actor does something."""
    own = set(actor.label_names)
    return [sample for sample in samples if own.intersection(sample.labels)]


def target_matrix(actor: Actor, samples: Sequence[Sample]) -> NDArray[np.bool_]:
    """Say which of an actor's labels hold for each sample, shape (samples, outputs)."""
    rows = [[name in sample.labels for name in actor.label_names] for sample in samples]
    return np.array(rows, dtype=bool).reshape(len(samples), len(actor.labels))


def auxiliary_targets(
    borrower: Actor, lender: Actor, samples: Sequence[Sample]
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Say what looks at one actor tell of another's labels: an action is the same, whoever does it.

    Args:
        borrower: Whose labels.
        lender: At whom the looks are.
        samples: What each look is of.

    Returns:
        Which of the borrower's labels would hold for each sample, shape (samples, outputs); and for which of them that
        is known, same shape: those whose action both have, unless several of the borrower's kinds have it.
    """
    actions = [label.action for label in borrower.labels]
    done = [{label.action for label in lender.labels if label.name in sample.labels} for sample in samples]
    can = {label.action for label in lender.labels}
    targets = [[action in actions_done for action in actions] for actions_done in done]
    known = [action in can and actions.count(action) == 1 for action in actions]
    shape = (len(samples), len(actions))
    return np.array(targets, dtype=bool).reshape(shape), np.broadcast_to(np.array(known), shape)


@dataclass(frozen=True)
class LabelledFrames:
    """Frames that show one actor, and what it does in each.

    Attributes:
        images: Shape (N, S, S, 3), uint8, BGR, stretched to a square.
        targets: Shape (N, outputs), True where the actor's label holds.
    """

    images: NDArray[np.uint8]
    targets: NDArray[np.bool_]

    def __post_init__(self) -> None:
        """Check that the arrays are parallel."""
        if len(self.images) != len(self.targets):
            raise ValueError(f"{self.images.shape = } and {self.targets.shape = } do not fit")

    def __len__(self) -> int:
        return len(self.images)


def read_labelled_frames(
    actor: Actor,
    looks: Sequence[SampledFrame],
    kind: str,
    size: int,
    progress: ClipProgress = lambda clips: clips,
) -> LabelledFrames:
    """Decode what a head is trained or scored on.

    Args:
        actor: Whose labels count.
        looks: Which frames, and where the actor is in them.
        kind: One of `action_heads.crops.INPUT_KINDS`.
        size: Side in pixels to which it is stretched.
        progress: Wraps the clips that are decoded, for a progress bar.

    Returns:
        The frames, in the looks' order.

    Raises:
        ClipError: If a clip cannot be read.
    """
    images = np.zeros((len(looks), size, size, 3), np.uint8)
    for row, image in decode_sampled_frames(looks, progress):
        images[row] = resize_frame(crop_actor(image, looks[row].box, kind), size)
    return LabelledFrames(images, target_matrix(actor, [look.sample for look in looks]))


def decode_sampled_frames(
    looks: Sequence[SampledFrame], progress: ClipProgress = lambda clips: clips
) -> Iterator[tuple[int, NDArray[np.uint8]]]:
    """Read the frames that are looked at, clip by clip.

    Yields:
        The place of a look, and its whole frame (H, W, 3), uint8, BGR.

    Raises:
        ClipError: If a clip cannot be read.
    """
    rows: dict[Path, list[int]] = defaultdict(list)
    for row, look in enumerate(looks):
        rows[look.sample.clip].append(row)
    for clip in progress(list(rows)):
        images = read_frames_at(clip, [looks[row].frame_index for row in rows[clip]]).images
        yield from zip(rows[clip], images, strict=True)
