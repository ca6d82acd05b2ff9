"""Anybody's clips in a CSV file: one row a clip with the columns `file`, `labels` (names between spaces) and `split`."""

from dataclasses import dataclass
from pathlib import Path

from a2d.formats.base import DatasetIndex, Row, Sample, check_exists, in_vector_order, read_table
from a2d.taxonomy import Taxonomy
from common.errors import DatasetError, TaxonomyError

CSV_COLUMNS = ("file", "labels", "split")


@dataclass(frozen=True)
class _ClipRow(Row):
    """A whole clip and its labels, as the CSV's cell has them."""

    group: str
    label_cell: str

    def samples(self, taxonomy: Taxonomy) -> list[Sample]:
        check_exists(self.clip, self.where)
        if not self.label_cell:
            raise DatasetError(f"{self.where}: the cell 'labels' is empty; one label at least was expected")
        try:
            labels = in_vector_order(taxonomy.label(name) for name in self.label_cell.split())
        except TaxonomyError as reason:
            raise DatasetError(f"{self.where}: {reason}") from None
        return [Sample(self.clip, None, labels, self.split, self.group)]


def find_csv(folder: Path) -> Path:
    """Find the one CSV of a folder that lists labelled clips."""
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
    """Say whether a file's first line is the header of a list of clips; another CSV may be anything at all."""
    try:
        with path.open(encoding="utf-8-sig") as file:
            header = file.readline().split(",")
    except (OSError, UnicodeDecodeError):
        return False
    return set(CSV_COLUMNS) <= {name.strip(' "\n') for name in header}


def read_csv(path: Path) -> DatasetIndex:
    (_, header), *lines = read_table(path) or [(0, [])]
    for column in CSV_COLUMNS:
        if column not in header:
            raise DatasetError(f"{path}: the column {column!r} is missing; the header has: {', '.join(header)}")
    rows = [_parse_clip_row(path, number, header, cells) for number, cells in lines]
    if not rows:
        raise DatasetError(f"{path}: there is no row below the header")
    seen: dict[Path, str] = {}
    for row in rows:  # Listed in two splits, a clip would be tested on what it trained.
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
