"""What the data set formats share: samples, rows of a list, and the reading of text, tables and annotations."""

import csv
import io
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from a2d.taxonomy import Label, Taxonomy
from common.errors import DatasetError, TaxonomyError


@dataclass(frozen=True)
class Sample:
    """One labelled item: a frame of a clip, or a whole clip.

    Attributes:
        clip: The video file, or a folder of PNG frames named `%05d.png` from 1.
        frame_index: The frame that the labels refer to, from 0; None if they refer to the whole clip.
        labels: Label names in vector order, without duplicates; empty for an annotated frame without any label.
        split: For example `train`.
        group: What must stay together in cross-validation: the CSV's `source`, otherwise the clip's own name.
    """

    clip: Path
    frame_index: int | None
    labels: tuple[str, ...]
    split: str
    group: str


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
    def samples(self, taxonomy: Taxonomy) -> list[Sample]:
        """Open the files and return the row's samples, at least one."""


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
    import h5py  # only A2D's own annotations need it

    try:
        with h5py.File(mat, "r") as file:
            ids = np.unique(file["reS_id"][()])  # transposed by MATLAB's column order, which does not affect a set
    except FileNotFoundError:
        raise DatasetError(f"{where}: no annotation {mat}") from None
    except KeyError:
        raise DatasetError(f"{where}: {mat}: not an A2D annotation (no readable 'reS_id')") from None
    except (OSError, RuntimeError, TypeError) as reason:
        text = " ".join(str(reason).split())
        raise DatasetError(f"{where}: {mat}: not a readable MATLAB 7.3 (HDF5) file ({text})") from None
    try:
        return in_vector_order(taxonomy.label_from_id(int(label_id)) for label_id in ids if label_id != 0)
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


def check_exists(path: Path, where: str) -> None:
    """Check that a file exists.

    Raises:
        DatasetError: If it does not.
    """
    if not path.exists():
        raise DatasetError(f"{where}: no such file: {path}")


def read_text(path: Path) -> str:
    """Read a text file; the byte order mark that spreadsheets write is dropped.

    Raises:
        DatasetError: If it is not readable as UTF-8.
    """
    try:
        return path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as reason:
        raise DatasetError(f"{path}: not a readable text file ({reason})") from None


def read_table(path: Path) -> list[tuple[int, list[str]]]:
    """Read the non-blank lines of a CSV file: line number, from 1, and cells without surrounding spaces.

    Raises:
        DatasetError: If it is not a readable CSV.
    """
    reader = csv.reader(io.StringIO(read_text(path)), skipinitialspace=True, strict=True)
    try:
        return [(reader.line_num, [cell.strip() for cell in cells]) for cells in reader if cells]
    except csv.Error as reason:
        raise DatasetError(f"{path}:{reader.line_num}: not a readable CSV ({reason})") from None
