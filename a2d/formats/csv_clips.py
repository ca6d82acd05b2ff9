"""Labelled clips in a CSV file: one row per clip with the columns `file`, `labels` and `split`.

Files are relative to the CSV's folder, and a clip's labels are separated by spaces; a clip without labels is one in
which no actor is. Clips with the same value in the optional column `source` stay together in cross-validation. A list
of labelled stills has the same columns; `split` may be missing there.
"""

import re
from pathlib import Path

from a2d.formats.base import DatasetIndex
from a2d.formats.tables import Record, read_column_names, read_records
from a2d.formats.whole_clips import ClipRow, NamedLabel, clip_index
from common.errors import DatasetError

SPLIT_COLUMN = "split"
STILL_COLUMNS = ("file", "labels")
CSV_COLUMNS = (*STILL_COLUMNS, SPLIT_COLUMN)
GROUP_COLUMN = "source"  # optional


def find_csv(folder: Path) -> Path | None:
    """Find the CSV of a folder that lists labelled clips; None if there is none.

    Raises:
        DatasetError: If there is more than one.
    """
    found = [path for path in sorted(folder.glob("*.csv")) if _lists_clips(path)]
    if len(found) > 1:
        raise DatasetError(f"{folder}: several CSVs list clips, name one: {', '.join(path.name for path in found)}")
    return found[0] if found else None


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
    return clip_index(path, [_parse_clip_row(path, record, default_split) for record in records])


def _parse_clip_row(path: Path, record: Record, default_split: str | None) -> ClipRow:
    cells = record.cells
    split = cells.get(SPLIT_COLUMN) or default_split or ""
    for column, value in (("file", cells["file"]), (SPLIT_COLUMN, split)):
        if not value:
            raise DatasetError(f"{record.where}: the cell {column!r} is empty")
    clip = path.parent / cells["file"]
    names = filter(None, re.split(r"[\s,;]+", cells["labels"]))
    labels = [NamedLabel(name, record.where) for name in names]
    return ClipRow(record.where, split, clip, cells.get(GROUP_COLUMN) or clip.name, labels)
