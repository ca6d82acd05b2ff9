"""The one data path: labelled frames, and moments of labelled clips, decoded once and kept in memory within a bound."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from a2d.dataset import none_usable
from a2d.formats.base import Sample
from a2d.skipped_samples import SkippedSamples
from a2d.taxonomy import Taxonomy
from common.errors import ClipError, DatasetError
from common.progress import Progress, no_progress
from common.sampling import evenly_spaced_indices
from rivals.frames import ClipInfo, examine_clip, read_pictures
from rivals.recipes import FrameInput

if TYPE_CHECKING:
    from pathlib import Path

    from rivals.system import Draw

MOMENTS = 3  # of a clip whose labels refer to all of it, evenly spread; with one, it is the middle
MAX_BYTES = 2 << 30


@dataclass(frozen=True)
class Example:
    """A sample that can be shown to a network.

    Attributes:
        sample: A labelled frame, or a labelled clip.
        info: Its clip.
        moments: Frames, from 0, that may stand for it: its own, or some that are spread over the clip.
    """

    sample: Sample
    info: ClipInfo
    moments: tuple[int, ...]


def read_examples(
    samples: Sequence[Sample], skipped: SkippedSamples, moments: int = MOMENTS, progress: Progress = no_progress
) -> list[Example]:
    """Find the moments of samples; those whose clip cannot be read, or lacks the frame, are skipped.

    Args:
        samples: As `a2d.dataset.read_samples` reads them.
        skipped: Collects those that cannot be used.
        moments: Of a clip whose labels refer to all of it.
        progress: Shows the progress over the clips.

    Raises:
        DatasetError: If no sample can be used, or `skipped` is strict and one cannot.
    """
    by_clip: dict[Path, list[Sample]] = defaultdict(list)
    for sample in samples:
        by_clip[sample.clip].append(sample)
    examples, before = [], len(skipped)
    for clip in progress(list(by_clip), "examining clips", "clip"):
        try:
            info = examine_clip(clip)
        except ClipError as reason:
            skipped.add(by_clip[clip][0].where, reason)
            continue
        for sample in by_clip[clip]:
            index = sample.frame_index
            if index is not None and index >= info.frames:
                skipped.add(sample.where, f"{clip}: there is no frame {index}: it has {info.frames} frames")
                continue
            spread = evenly_spaced_indices(info.frames, moments) if index is None else [index]
            examples.append(Example(sample, info, tuple(spread)))
    if not examples:
        raise DatasetError(none_usable(skipped.reasons[before:], samples[0].split))
    return examples


class PictureStore:
    """The pictures of examples for one kind of input, and their targets.

    Args:
        examples: At least one.
        taxonomy: Actors and labels.
        inputs: What a network is given.
        draw: See `rivals.system.System`.

    Attributes:
        examples: As given.
        targets: Shape (examples, labels), float32, 0 or 1.
    """

    def __init__(
        self, examples: Sequence[Example], taxonomy: Taxonomy, inputs: FrameInput, draw: "Draw | None" = None
    ) -> None:
        self.examples = examples
        self.targets = np.stack([taxonomy.encode(example.sample.labels) for example in examples]).astype(np.float32)
        self._inputs, self._draw = inputs, draw
        self._kept: dict[tuple[int, int], NDArray[np.uint8]] = {}

    def __len__(self) -> int:
        """Return the number of examples."""
        return len(self.examples)

    def fill(self, progress: Progress = no_progress, max_bytes: int = MAX_BYTES) -> None:
        """Decode the pictures, clip by clip, and keep as many as the bound allows; others are decoded when needed.

        Raises:
            ClipError: If a clip that could be read before no longer can.
        """
        rows: dict[Path, list[int]] = defaultdict(list)
        for row, example in enumerate(self.examples):
            rows[example.info.clip].append(row)
        kept = 0
        for clip in progress(list(rows), "reading frames", "clip"):
            keys = [(row, moment) for row in rows[clip] for moment in self.examples[row].moments]
            pictures = self._read(self.examples[rows[clip][0]].info, [moment for _, moment in keys])
            kept += pictures.nbytes
            if kept > max_bytes:
                return
            self._kept.update(zip(keys, pictures, strict=True))

    def pictures(self, row: int, moment: int) -> NDArray[np.uint8]:
        """Return the pictures of an example at one of its moments, shape (N, S, S, 3), uint8, BGR."""
        found = self._kept.get((row, moment))
        return self._read(self.examples[row].info, [moment])[0] if found is None else found

    def moments(self) -> Iterator[tuple[int, int]]:
        """Yield the row and the moment of everything that can be shown."""
        for row, example in enumerate(self.examples):
            for moment in example.moments:
                yield row, moment

    def _read(self, info: ClipInfo, moments: Sequence[int]) -> NDArray[np.uint8]:
        return read_pictures(info, moments, self._inputs, self._draw)


class TrainingData:
    """The examples of a training, and their pictures.

    The pictures are kept until others are asked for: trainings, and phases, that are given the same decode them once.

    Args:
        examples: At least one.
        taxonomy: Actors and labels.
    """

    def __init__(self, examples: Sequence[Example], taxonomy: Taxonomy) -> None:
        self.examples = examples
        self._taxonomy = taxonomy
        self._kept: tuple[FrameInput, Draw | None, PictureStore] | None = None

    def pictures(
        self, inputs: FrameInput, draw: "Draw | None" = None, progress: Progress = no_progress
    ) -> PictureStore:
        """Return the pictures of all examples for one kind of input, see `PictureStore`.

        Raises:
            ClipError: If a clip that could be read before no longer can.
        """
        if self._kept and self._kept[:2] == (inputs, draw):
            return self._kept[2]
        self._kept = None  # frees the memory first
        store = PictureStore(self.examples, self._taxonomy, inputs, draw)
        store.fill(progress)
        self._kept = inputs, draw, store
        return store


def summarize(examples: Sequence[Example]) -> dict[str, Any]:
    """Return what a file records of its training data."""
    labels = Counter(label for example in examples for label in example.sample.labels)
    return {
        "samples": len(examples),
        "clips": len({example.info.clip for example in examples}),
        "sources": len({example.sample.group for example in examples}),
        "samples_by_label": dict(sorted(labels.items())),
    }
