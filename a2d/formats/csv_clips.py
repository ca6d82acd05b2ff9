"""Labelled clips in a CSV file: one row per clip with the columns `file`, `labels` and `split`.

Files are relative to the CSV's folder, and a clip's labels are separated by spaces; a clip without labels is one in
which no actor is. Clips with the same value in the optional column `source` stay together in cross-validation. A list
of labelled stills has the same columns; `split` may be missing there.
"""

import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from a2d.formats.base import DatasetIndex, Row, Sample, in_vector_order
from a2d.formats.tables import Record, read_column_names, read_records
from a2d.skipped_samples import SkippedSamples
from a2d.taxonomy import Taxonomy
from common.errors import DatasetError, TaxonomyError

SPLIT_COLUMN = "split"
STILL_COLUMNS = ("file", "labels")
CSV_COLUMNS = (*STILL_COLUMNS, SPLIT_COLUMN)
GROUP_COLUMN = "source"  # optional


@dataclass(frozen=True)
class _ClipRow(Row):
    """A whole clip and the unparsed cell with its labels."""

    group: str
    label_cell: str

    def samples(self, taxonomy: Taxonomy, skipped: SkippedSamples) -> list[Sample]:
        names = filter(None, re.split(r"[\s,;]+", self.label_cell))
        try:
            labels = in_vector_order(taxonomy.label(name) for name in names)
        except TaxonomyError as reason:
            raise DatasetError(f"{self.where}: {reason}") from None
        if not self.has_clip(skipped):
            return []
        return [Sample(self.clip, None, labels, self.split, self.group, self.where)]


def find_csv(folder: Path) -> Path:
    """Find the CSV of a folder that lists labelled clips.

    Raises:
        DatasetError: If there is none, or more than one.
    """
    found = [path for path in sorted(folder.glob("*.csv")) if _lists_clips(path)]
    if not found:
        raise DatasetError(
            f"{folder}: no labelled data found; looked for videoset.csv (official A2D release, here or in Release), "
            f"list/train.txt, val.txt or test.txt (course layout), and a CSV with the columns {', '.join(CSV_COLUMNS)}"
        )
    if len(found) > 1:
        raise DatasetError(f"{folder}: several CSVs list clips, name one: {', '.join(path.name for path in found)}")
    return found[0]


def _lists_clips(path: Path) -> bool:
    """Return whether a file's first line is the header of a list of clips; other CSV files are not parsed."""
    try:
        return set(CSV_COLUMNS) <= set(read_column_names(path, CSV_COLUMNS))
    except OSError:
        return False


def read_csv(path: Path, default_split: str | None = None) -> DatasetIndex:
    """Read a list of labelled clips or stills.

    Args:
        path: A CSV file with the columns `CSV_COLUMNS`, in upper or lower case, and any others.
        default_split: The split of the rows that name none; if it is None, every row must name one.

    Returns:
        One row per clip, and the splits in file order.

    Raises:
        DatasetError: If the file is unreadable, a column is missing or ambiguous, a row is malformed, or a clip is
            listed twice.
    """
    required = CSV_COLUMNS if default_split is None else STILL_COLUMNS
    records = read_records(path, required, (*CSV_COLUMNS, GROUP_COLUMN))
    rows = [_parse_clip_row(path, record, default_split) for record in records]
    _check_listed_once(rows)
    return DatasetIndex(path, tuple(dict.fromkeys(row.split for row in rows)), rows)


def _parse_clip_row(path: Path, record: Record, default_split: str | None) -> _ClipRow:
    cells = record.cells
    split = cells.get(SPLIT_COLUMN) or default_split or ""
    for column, value in (("file", cells["file"]), (SPLIT_COLUMN, split)):
        if not value:
            raise DatasetError(f"{record.where}: the cell {column!r} is empty")
    clip = path.parent / cells["file"]
    return _ClipRow(record.where, split, clip, cells.get(GROUP_COLUMN) or clip.name, cells["labels"])


def _check_listed_once(rows: Iterable[_ClipRow]) -> None:
    """Check that no file is listed twice, under whatever path: a clip of two splits would be tested on its training."""
    identity_of = _Identities()
    seen: dict[object, _ClipRow] = {}
    for row in rows:
        first = seen.setdefault(identity_of(row.clip), row)
        if first is not row:
            spelling = "" if first.clip == row.clip else f", as {first.clip}"
            splits = "" if first.split == row.split else f"; its splits are {first.split!r} and {row.split!r}"
            raise DatasetError(f"{row.where}: {row.clip} is listed twice, before at {first.where}{spelling}{splits}")


class _Identities:
    """Tells what two paths of one file have in common: the file's number, or the resolved path if there is no file."""

    def __init__(self) -> None:
        self._resolved: dict[Path, str] = {}

    def __call__(self, clip: Path) -> object:
        try:
            status = clip.stat()
        except (OSError, ValueError):
            status = None
        if status and status.st_ino:
            return status.st_dev, status.st_ino
        if clip.parent not in self._resolved:
            self._resolved[clip.parent] = os.path.realpath(clip.parent)
        return self._resolved[clip.parent], clip.name
