"""The training material of one actor's head: labelled frames, decoded once, with the truth for each."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from a2d.clips import read_frames, read_frames_at
from a2d.dataset import Sample
from a2d.labels import Actor
from a2d.sampling import spaced_places
from action_heads.preprocessing import resize_frame


@dataclass(frozen=True)
class LabelledFrames:
    """Frames that show one actor, and what it does in each.

    Attributes:
        images: Shape (N, S, S, 3), uint8, BGR, stretched to a square.
        targets: Shape (N, outputs), True where the actor's label holds.
        groups: Source of each frame, for splits that keep a source together.
        samples: Number of data set samples that the frames come from.
    """

    images: NDArray[np.uint8]
    targets: NDArray[np.bool_]
    groups: tuple[str, ...]
    samples: int

    def __post_init__(self) -> None:
        """Check that the arrays are parallel."""
        if not len(self.images) == len(self.targets) == len(self.groups):
            raise ValueError(f"{self.images.shape = }, {self.targets.shape = } and {len(self.groups) = } do not fit")

    def __len__(self) -> int:
        return len(self.images)


def samples_of(actor: Actor, samples: Iterable[Sample]) -> list[Sample]:
    """Keep the samples in which an actor does something."""
    own = set(actor.label_names)
    return [sample for sample in samples if own.intersection(sample.labels)]


def read_labelled_frames(
    actor: Actor,
    samples: Sequence[Sample],
    size: int,
    frames_per_clip: int,
    progress: Callable[[Iterable[Path]], Iterable[Path]] = lambda clips: clips,
) -> LabelledFrames:
    """Decode the frames that a head is trained or scored on.

    A sample with a frame index gives that frame (A2D labels 3 to 5 frames a clip). A sample that speaks of the whole
    clip gives `frames_per_clip` frames, evenly spaced, each with the clip's labels.

    Args:
        actor: Whose labels count.
        samples: Any samples; those without the actor are left out.
        size: Side in pixels to which frames are stretched.
        frames_per_clip: Frames of a clip whose labels hold for all of it.
        progress: Wraps the clips that are decoded, for a progress bar.

    Returns:
        The frames.

    Raises:
        ClipError: If a clip cannot be read.
    """
    by_clip: dict[Path, list[Sample]] = defaultdict(list)
    for sample in samples_of(actor, samples):
        by_clip[sample.clip].append(sample)
    images: list[NDArray[np.uint8]] = []
    targets: list[NDArray[np.bool_]] = []
    groups: list[str] = []
    for clip in progress(list(by_clip)):
        whole = [sample for sample in by_clip[clip] if sample.frame_index is None]
        single = [sample for sample in by_clip[clip] if sample.frame_index is not None]
        indices = [sample.frame_index for sample in single if sample.frame_index is not None]
        spaced = spaced_places(count_frames(clip), frames_per_clip) if whole else []
        frames = read_frames_at(clip, indices + spaced).images
        owners = single + [sample for sample in whole for _ in spaced]
        shown = [*frames[: len(indices)], *(image for _ in whole for image in frames[len(indices) :])]
        for sample, image in zip(owners, shown, strict=True):
            images.append(resize_frame(image, size))
            targets.append(np.array([name in sample.labels for name in actor.label_names]))
            groups.append(sample.group)
    return LabelledFrames(
        np.stack(images) if images else np.zeros((0, size, size, 3), np.uint8),
        np.stack(targets) if targets else np.zeros((0, len(actor.labels)), bool),
        tuple(groups),
        sum(map(len, by_clip.values())),
    )


def count_frames(clip: Path) -> int:
    """Count a clip's frames by decoding it."""
    return sum(len(batch.frame_index) for batch in read_frames(clip))
