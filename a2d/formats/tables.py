"""Reading the lists of a data set: text files, and tables as spreadsheets of any country write them."""

import csv
import io
import re
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from common.errors import DatasetError
from common.text_files import read_start, read_text_file

DELIMITERS = ",;\t|"
_SEPARATOR_LINE = re.compile(rf"sep=([{re.escape(DELIMITERS)}])(?=\n)", re.IGNORECASE)
MAX_ROWS = 2_000_000
MAX_CELLS = 1000  # in one row


@dataclass(frozen=True)
class TableRow:
    """One row of a table.

    Attributes:
        number: The line on which it ends, from 1.
        cells: Without surrounding spaces.
    """

    number: int
    cells: list[str]


@dataclass(frozen=True)
class Record:
    """One row of a table with a header.

    Attributes:
        where: `<file>:<line>`, for messages.
        cells: By column name in lower case.
    """

    where: str
    cells: dict[str, str]


def read_text(path: Path) -> str:
    """Read a text file, see `common.text_files.read_text_file`.

    Raises:
        DatasetError: If it does not exist or is not readable as text.
    """
    try:
        return read_text_file(path, DatasetError)
    except FileNotFoundError:
        raise DatasetError(f"{path}: no such file") from None


def read_table(path: Path, columns: Sequence[str] = ()) -> list[TableRow]:
    """Read the rows of a table that are not empty.

    Cells are separated by commas, or, if the header then contains the columns, by semicolons, tabs or vertical bars, as
    spreadsheets write them where the comma is the decimal point. A first line `sep=;`, which they write too, is
    obeyed.

    Args:
        path: The file.
        columns: Names that the first row should contain; none if the table has no header.

    Returns:
        The rows with at least one cell that is not empty.

    Raises:
        DatasetError: If it is not a readable CSV, or too large. The message names the file and the line.
    """
    text, delimiter = _find_delimiter(read_text(path), columns)
    return _parse(path, text, delimiter)


def read_records(path: Path, required: Sequence[str], unique: Collection[str] = ()) -> list[Record]:
    """Read a table whose first row names its columns, in upper or lower case.

    Args:
        path: The file.
        required: Columns that it must have.
        unique: Columns that it may have once only, besides those.

    Returns:
        At least one record, in the order of the file.

    Raises:
        DatasetError: If it is not such a table, a row has another number of cells than the header, or there is none.
    """
    header, *rows = read_table(path, required) or [TableRow(0, [])]
    names = _check_header(path, header, required, {*required, *unique})
    records = [_to_record(path, names, row) for row in rows]
    if not records:
        raise DatasetError(f"{path}: there is no row below the header")
    return records


def _check_header(path: Path, header: TableRow, required: Sequence[str], unique: Collection[str]) -> list[str]:
    """Return the names of the columns in lower case, without empty ones at the end."""
    names = fold_names(header.cells)
    while names and not names[-1]:
        names.pop()
    for column in required:
        if column not in names:
            listed = ", ".join(cell for cell in header.cells if cell)
            raise DatasetError(f"{path}: the column {column!r} is missing; the header has: {listed[:200]}")
    for name, times in Counter(names).items():
        if times > 1 and name in unique:
            raise DatasetError(f"{path}:{header.number}: the header has the column {name!r} {times} times; rename one")
    return names


def _to_record(path: Path, names: Sequence[str], row: TableRow) -> Record:
    where = f"{path}:{row.number}"
    if len(row.cells) < len(names) or any(row.cells[len(names) :]):
        count = max(index for index, cell in enumerate(row.cells, start=1) if cell or index <= len(names))
        raise DatasetError(f"{where}: {len(names)} cells were expected, as in the header, found {count}")
    return Record(where, dict(zip(names, row.cells[: len(names)], strict=True)))


def read_column_names(path: Path, columns: Sequence[str]) -> list[str]:
    """Read the header of a file that may be a table: its column names in lower case, without the rest.

    Args:
        path: The file.
        columns: Names that the header should contain.

    Raises:
        OSError: If the file cannot be read.
    """
    text, delimiter = _find_delimiter(read_start(path), columns)
    return fold_names([cell.strip().strip('"') for cell in _first_line(text).split(delimiter)])


def _find_delimiter(text: str, columns: Sequence[str]) -> tuple[str, str]:
    """Find what separates the cells of a table: what it says itself, or that with which its header has most columns.

    Returns:
        The table, as many lines long, and the separator.
    """
    if match := _SEPARATOR_LINE.match(text):
        return text[match.end() :], match[1]

    def columns_found(delimiter: str) -> int:
        names = fold_names([cell.strip().strip('"') for cell in _first_line(text).split(delimiter)])
        return len(set(names) & set(columns))

    return text, max(DELIMITERS, key=columns_found)  # the first of several equal ones


def _first_line(text: str) -> str:
    return text.lstrip().partition("\n")[0]


def fold_names(cells: Sequence[str]) -> list[str]:
    """Return column names without surrounding spaces and in lower case, in which they are compared."""
    return [cell.strip().casefold() for cell in cells]


def _parse(path: Path, text: str, delimiter: str) -> list[TableRow]:
    reader = csv.reader(io.StringIO(text), delimiter=delimiter, skipinitialspace=True, strict=True)
    rows = []
    try:
        for cells in reader:
            if len(cells) > MAX_CELLS:
                raise DatasetError(f"{path}:{reader.line_num}: {len(cells):,} cells; at most {MAX_CELLS} are read")
            if any(stripped := [cell.strip() for cell in cells]):
                rows.append(TableRow(reader.line_num, stripped))
            if len(rows) > MAX_ROWS:
                raise DatasetError(f"{path}: more than {MAX_ROWS:,} rows")
    except csv.Error as reason:
        raise DatasetError(f"{path}:{reader.line_num}: not a readable CSV ({reason})") from None
    return rows
