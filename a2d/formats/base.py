"""What the data set formats share: samples, rows of a list, and the reading of annotations."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from a2d.formats.label_maps import LabelMapError, read_label_ids
from a2d.skipped_samples import SkippedSamples
from a2d.taxonomy import Label, Taxonomy
from common.errors import DatasetError, TaxonomyError


@dataclass(frozen=True)
class Sample:
    """One labelled item: a frame of a clip, or a whole clip.

    Attributes:
        clip: The video file, or a folder of PNG frames named `%05d.png` from 1.
        frame_index: The frame that the labels refer to, from 0; None if they refer to the whole clip.
        labels: Label names in vector order, without duplicates; empty if no actor is in the frame or clip.
        split: For example `train`.
        group: What must stay together in cross-validation: the CSV's `source`, otherwise the clip's own name.
        where: The line of the data set's list, `<file>:<line>`, for messages; empty if unknown.
    """

    clip: Path
    frame_index: int | None
    labels: tuple[str, ...]
    split: str
    group: str
    where: str = field(default="", compare=False)


@dataclass(frozen=True)
class Row(ABC):
    """One line of a data set's list, before the files that it names are opened.

    Attributes:
        where: `<file>:<line>`, for messages.
        split: The split's name.
        clip: Where the clip should be.
    """

    where: str
    split: str
    clip: Path

    @abstractmethod
    def samples(self, taxonomy: Taxonomy, skipped: SkippedSamples) -> list[Sample]:
        """Open the files and return the row's samples, without those whose files are missing or broken.

        Raises:
            DatasetError: If the row itself is wrong.
        """

    def has_clip(self, skipped: SkippedSamples) -> bool:
        """Return whether the clip exists; if not, or if it is neither a file nor a folder, the row is skipped."""
        try:
            is_clip, exists = self.clip.is_file() or self.clip.is_dir(), self.clip.exists()
        except (OSError, ValueError) as reason:  # a name that is too long, a folder that may not be entered
            text = (reason.strerror if isinstance(reason, OSError) else None) or str(reason)
            skipped.add(self.where, f"{text.lower()}: {self.clip}")
            return False
        if not is_clip:
            skipped.add(self.where, f"{'neither a file nor a folder' if exists else 'no such file'}: {self.clip}")
        return is_clip


@dataclass(frozen=True)
class DatasetIndex:
    """The contents of a data set's lists.

    Attributes:
        path: The list, or the folder of lists, for messages.
        splits: Names of the splits.
        rows: The rows of all splits, in file order.
    """

    path: Path
    splits: tuple[str, ...]
    rows: Sequence[Row]


def read_mat_labels(mat: Path, taxonomy: Taxonomy, where: str) -> tuple[str, ...]:
    """Read the labels of one annotated frame.

    Args:
        mat: A MATLAB 7.3 file, which is HDF5. Its `reS_id` holds a label id for every pixel, 0 for background.
        taxonomy: What the ids mean.
        where: The line of the list that refers to the file, for messages.

    Returns:
        Label names in vector order.

    Raises:
        DatasetError: If the file is missing, unreadable, without `reS_id`, or contains an id of no label.
    """
    try:
        ids = read_label_ids(mat)  # transposed by MATLAB's column order, which does not affect a set
    except FileNotFoundError:
        raise DatasetError(f"{where}: no annotation {mat}") from None
    except OSError as reason:
        raise DatasetError(f"{where}: {mat}: {(reason.strerror or str(reason)).lower()}") from None
    except LabelMapError as reason:
        raise DatasetError(f"{where}: {mat}: {reason}") from None
    try:
        return in_vector_order(taxonomy.label_from_id(label_id) for label_id in ids if label_id != 0)
    except TaxonomyError as reason:
        raise DatasetError(f"{where}: {mat}: {reason}") from None


def in_vector_order(labels: Iterable[Label]) -> tuple[str, ...]:
    """Return the names of labels in vector order, without duplicates."""
    return tuple(label.name for label in sorted(set(labels), key=lambda label: label.index))


def parse_frame_index(number: str, where: str) -> int:
    """Convert A2D's frame number, from 1, into an index from 0.

    Raises:
        DatasetError: If it is not a whole number from 1.
    """
    if not (number.isascii() and number.isdigit() and int(number) > 0):
        raise DatasetError(f"{where}: a frame number from 1 was expected, found {number!r}")
    return int(number) - 1
