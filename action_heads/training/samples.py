"""Sampled frames of one actor: which frame of which sample, the actor's box in it, and the targets."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from a2d.formats.base import Sample
from a2d.taxonomy import Actor
from action_heads.preprocessing import crop_and_resize
from common.progress import Progress, no_progress
from video.clips import read_frames_at

NO_MOTION = np.zeros(0, np.float32)


@dataclass(frozen=True)
class SampledFrame:
    """A frame of a sample in which an actor is shown.

    Attributes:
        sample: The sample, with its labels.
        clip_sha256: Of the clip's contents.
        frame_index: Index of the frame, from 0.
        box: The actor's box in the frame, corners in pixels, shape (4,), float32; NaN if there is none.
        motion: Features of the actor's motion through the clip, shape (M,), float32; empty if the head uses none.
        intact_frames: See `video.clips.read_frames_at`.
    """

    sample: Sample
    clip_sha256: str
    frame_index: int
    box: NDArray[np.float32]
    motion: NDArray[np.float32] = field(default_factory=lambda: NO_MOTION)
    intact_frames: int | None = None


def samples_showing(actor: Actor, samples: Iterable[Sample]) -> list[Sample]:
    """Return the samples that have at least one label of an actor."""
    label_names = set(actor.label_names)
    return [sample for sample in samples if label_names.intersection(sample.labels)]


def target_matrix(actor: Actor, samples: Sequence[Sample]) -> NDArray[np.bool_]:
    """Return the targets of an actor's head for each sample, shape (samples, outputs)."""
    rows = [[name in sample.labels for name in actor.label_names] for sample in samples]
    return np.array(rows, dtype=bool).reshape(len(samples), len(actor.labels))


def auxiliary_targets(
    actor: Actor, auxiliary_actor: Actor, samples: Sequence[Sample]
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Translate the labels of an auxiliary actor into targets for another actor's head, action by action.

    Args:
        actor: The actor whose head is trained.
        auxiliary_actor: The actor that the samples show.
        samples: One sample per row.

    Returns:
        The targets for each sample, shape (samples, outputs), and a mask of the known ones, same shape: the labels
        whose action both actors have, unless several kinds of the trained actor have it.
    """
    actions = [label.action for label in actor.labels]
    labels = auxiliary_actor.labels
    performed = [{label.action for label in labels if label.name in sample.labels} for sample in samples]
    possible = {label.action for label in labels}
    targets = [[action in performed_actions for action in actions] for performed_actions in performed]
    known = [action in possible and actions.count(action) == 1 for action in actions]
    shape = (len(samples), len(actions))
    return np.array(targets, dtype=bool).reshape(shape), np.broadcast_to(np.array(known), shape)


def still_targets(actor: Actor, samples: Sequence[Sample]) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Return the targets of an actor's head for each of its stills, and which are known, both (samples, outputs).

    Of an actor with several kinds (adult and baby), only the labels of the kinds that a still names are known.
    """
    kinds = [{label.kind for label in actor.labels if label.name in sample.labels} for sample in samples]
    known = [[label.kind in of_sample for label in actor.labels] for of_sample in kinds]
    return target_matrix(actor, samples), np.array(known, dtype=bool).reshape(len(samples), len(actor.labels))


@dataclass(frozen=True)
class LabelledFrames:
    """Decoded frames of one actor with their targets.

    Attributes:
        images: Shape (N, S, S, 3), uint8, BGR, resized to squares.
        targets: Shape (N, outputs).
    """

    images: NDArray[np.uint8]
    targets: NDArray[np.bool_]

    def __post_init__(self) -> None:
        """Check that the arrays have the same length."""
        if len(self.images) != len(self.targets):
            raise ValueError(f"{self.images.shape = } and {self.targets.shape = } differ in length")

    def __len__(self) -> int:
        return len(self.images)


def read_labelled_frames(
    actor: Actor, frames: Sequence[SampledFrame], view: str, size: int, progress: Progress = no_progress
) -> LabelledFrames:
    """Decode sampled frames for training or scoring a head.

    Args:
        actor: Determines the targets.
        frames: The sampled frames.
        view: `frame` or `crop`.
        size: Side in pixels to which the views are resized.
        progress: Shows the progress over the clips.

    Returns:
        The images and targets, in the order of the sampled frames.

    Raises:
        ClipError: If a clip cannot be read.
    """
    images = np.zeros((len(frames), size, size, 3), np.uint8)
    for row, image in decode_sampled_frames(frames, progress):
        images[row] = crop_and_resize(image, frames[row].box, view, size)
    return LabelledFrames(images, target_matrix(actor, [frame.sample for frame in frames]))


def decode_sampled_frames(
    frames: Sequence[SampledFrame], progress: Progress = no_progress
) -> Iterator[tuple[int, NDArray[np.uint8]]]:
    """Decode sampled frames, clip by clip.

    Yields:
        The index of a sampled frame in the sequence, and its whole image (H, W, 3), uint8, BGR.

    Raises:
        ClipError: If a clip cannot be read.
    """
    rows: dict[Path, list[int]] = defaultdict(list)
    for row, frame in enumerate(frames):
        rows[frame.sample.clip].append(row)
    for clip in progress(list(rows), "decoding", "clip"):
        intact_frames = frames[rows[clip][0]].intact_frames
        indices = [frames[row].frame_index for row in rows[clip]]
        yield from zip(rows[clip], read_frames_at(clip, indices, intact_frames=intact_frames).images, strict=True)
