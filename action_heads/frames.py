"""The training material of one actor's head: looks at labelled samples, decoded once, with the truth for each."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from a2d.clips import read_frames, read_frames_at
from a2d.labels import Actor
from action_heads.crops import show_actor
from action_heads.looks import Look, targets_of
from action_heads.preprocessing import resize_frame

ClipProgress = Callable[[Sequence[Path]], Iterable[Path]]


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
    looks: Sequence[Look],
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
    for row, image in decode_looks(looks, progress):
        images[row] = resize_frame(show_actor(image, looks[row].box, kind), size)
    return LabelledFrames(images, targets_of(actor, [look.sample for look in looks]))


def decode_looks(
    looks: Sequence[Look], progress: ClipProgress = lambda clips: clips
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


def count_frames(clip: Path) -> int:
    """Count a clip's frames by decoding it."""
    return sum(len(batch.frame_index) for batch in read_frames(clip))
