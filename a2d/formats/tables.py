"""Reading the lists of a data set: text files, and tables as spreadsheets of any country write them."""

import csv
import io
import re
from collections.abc import Sequence
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
