"""Labelled clips in a CSV file: one row per clip with the columns `file`, `labels` and `split`.

Files are relative to the CSV's folder, and a clip's labels are separated by spaces. Clips with the same value in the
optional column `source` stay together in cross-validation.
"""

from dataclasses import dataclass
from pathlib import Path

from a2d.formats.base import DatasetIndex, Row, Sample, check_exists, in_vector_order, read_table
from a2d.taxonomy import Taxonomy
from common.errors import DatasetError, TaxonomyError

CSV_COLUMNS = ("file", "labels", "split")


@dataclass(frozen=True)
class _ClipRow(Row):
    """A whole clip and the unparsed cell with its labels."""

    group: str
    label_cell: str

    def samples(self, taxonomy: Taxonomy) -> list[Sample]:
        check_exists(self.clip, self.where)
        if not self.label_cell:
            raise DatasetError(f"{self.where}: the cell 'labels' is empty; at least one label was expected")
        try:
            labels = in_vector_order(taxonomy.label(name) for name in self.label_cell.split())
        except TaxonomyError as reason:
            raise DatasetError(f"{self.where}: {reason}") from None
        return [Sample(self.clip, None, labels, self.split, self.group)]


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
        with path.open(encoding="utf-8-sig") as file:
            header = file.readline().split(",")
    except (OSError, UnicodeDecodeError):
        return False
    return set(CSV_COLUMNS) <= {name.strip(' "\n') for name in header}


def read_csv(path: Path) -> DatasetIndex:
    """Read a list of labelled clips.

    Args:
        path: A CSV file with the columns `CSV_COLUMNS` and any others.

    Returns:
        One row per clip, and the splits in file order.

    Raises:
        DatasetError: If the file is unreadable, a column is missing, a row is malformed, or a clip is listed twice.
    """
    (_, header), *lines = read_table(path) or [(0, [])]
    for column in CSV_COLUMNS:
        if column not in header:
            raise DatasetError(f"{path}: the column {column!r} is missing; the header has: {', '.join(header)}")
    rows = [_parse_clip_row(path, number, header, cells) for number, cells in lines]
    if not rows:
        raise DatasetError(f"{path}: there is no row below the header")
    seen: dict[Path, str] = {}
    for row in rows:  # a clip listed in two splits would be used for both training and testing
        if row.clip in seen:
            raise DatasetError(f"{row.where}: {row.clip} is listed twice, before at {seen[row.clip]}")
        seen[row.clip] = row.where
    return DatasetIndex(path, tuple(dict.fromkeys(row.split for row in rows)), rows)


def _parse_clip_row(path: Path, number: int, header: list[str], cells: list[str]) -> _ClipRow:
    where = f"{path}:{number}"
    if len(cells) != len(header):
        raise DatasetError(f"{where}: {len(header)} cells were expected, as in the header, found {len(cells)}")
    row = dict(zip(header, cells, strict=True))
    for column in ("file", "split"):
        if not row[column]:
            raise DatasetError(f"{where}: the cell {column!r} is empty")
    clip = path.parent / row["file"]
    return _ClipRow(where, row["split"], clip, row.get("source") or clip.name, row["labels"])
