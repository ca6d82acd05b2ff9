"""Rows of results by clip: an append-only log, and an index that is made anew whenever it does not match the log."""

import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path

from common.errors import UserError
from pipeline.results import ClipResult
from pipeline.results_csv import CsvFormatter
from pipeline.results_index import IndexedRow, IndexState, Position, ResultsIndex
from pipeline.results_log import ResultsLog, replace_file
from pipeline.results_rows import RowSummary, StoredResult, decode_head, decode_summary, encode_row, key_of, looks_torn

MAX_GAP_BYTES = 1 << 20  # of blank lines between rows
NEVER = (0, 0)
"""The stamp of no file that contains rows."""


class ResultsStore:
    """Opens a log and its index; time and memory of each method but the last two do not depend on the number of rows.

    Args:
        path: The log; created if it is missing. The index is the file of the same name that ends in `.index.sqlite`.

    Raises:
        UserError: If the log contains a line that is not a row.
        OSError: If a file cannot be read or written.
        sqlite3.Error: If the index cannot be written.
    """

    def __init__(self, path: Path) -> None:
        self._index_path = path.with_suffix(".index.sqlite")
        self._log = ResultsLog(path)
        self._next: StoredResult | None = None  # the row after the one that was found last
        self._next_offset = 0
        try:
            self._index = self._open_index()
        except BaseException:
            self._log.close()
            raise

    @property
    def size(self) -> int:
        """Number of bytes in the log."""
        return self._log.size

    def finish_last_row(self) -> None:
        """Complete the log's last line, if its line break is missing, or drop it, if more is."""
        if self._index.state.stamp == NEVER:
            self._log.finish_last_line(self._index.end())
            self._index.mark(self._log.stamp)

    def find(self, path: str) -> StoredResult | None:
        """Return the current row of the clip with an absolute path; None if it has no row.

        Raises:
            UserError: If the log has changed in such a way that it contains lines that are not rows.
        """
        result = self._read_next()
        if result is None or result.path != path:
            position = self._locate(path)
            result = self._read(position) if position else None
            if position and (result is None or result.path != path):  # the index is damaged
                self._index = self._build_index()
                position = self._locate(path)
                result = self._read(position) if position else None
        if result:
            self._next_offset += len(result.line) + 1
            self._next = None
        return result

    def add(self, result: ClipResult) -> None:
        """Append a row, which replaces an earlier one of its clip, see `ResultsLog.append`.

        Raises:
            UserError: If the log was changed by others since it was opened.
        """
        line = encode_row(result)
        earlier = self._locate(result.path)
        if earlier and self._log.read(earlier.offset, earlier.length) == line:
            return  # a failure, in the same way as before
        offset = self._log.append(line)
        row = _index_row(offset, line, decode_summary(line), result.path, self._index.formatter)
        try:
            self._index.add(row, self._log.stamp, supersedes=earlier is not None)
        except sqlite3.DatabaseError:
            self._index = self._build_index()

    def compact(self) -> None:
        """Remove the rows from the log that later ones replace; these take their places."""
        self._log.check_unchanged()
        if self._index.state.stamp != self._log.stamp:  # after an interruption at a bad moment
            self._index = self._build_index()
        if not self._index.state.superseded:
            return
        try:
            self._rewrite()
        except (ValueError, sqlite3.DatabaseError):
            self._index = self._build_index()
            self._rewrite()

    def _rewrite(self) -> None:
        """Rewrite the log; of what the index says, nothing is believed that could cost a row.

        Raises:
            ValueError: If it does not describe the log.
        """
        for start, end in self._index.gaps(self._log.size):
            if not 0 <= end - start <= MAX_GAP_BYTES or self._log.read(start, end - start).strip():
                raise ValueError(f"bytes {start} to {end} of the log are not what the index says")
        earlier, self._next, self._next_offset = self._index, None, 0
        self._log.rewrite((row.offset, row.length + 1) for row in earlier.current_rows())
        state = IndexState(self._log.stamp, folder=earlier.state.folder)
        self._index = ResultsIndex.build(self._index_path, _moved(earlier), state, earlier.formatter)

    def write_csv(self, path: Path) -> None:
        """Write the spreadsheet of all rows, after those that later ones replace have left the log."""
        try:
            self._write_csv(path)
        except sqlite3.DatabaseError:
            self._index = self._build_index()
            self._write_csv(path)

    def close(self) -> None:
        """Close the files."""
        try:
            self._log.close()
        finally:
            self._index.close()

    def _open_index(self) -> ResultsIndex:
        index = ResultsIndex.open(self._index_path)
        if index and index.state.stamp == self._log.stamp and index.state.folder in ("", os.getcwd()):  # noqa: PTH109
            return index
        if index:
            index.close()
        return self._build_index()

    def _build_index(self) -> ResultsIndex:
        """Make the index anew. If the last row has no end, the index is not that of the log until it has one."""
        if hasattr(self, "_index"):
            self._index.close()
        self._next, self._next_offset = None, 0
        formatter, state = CsvFormatter(), IndexState(self._log.stamp)
        return ResultsIndex.build(self._index_path, self._scan(formatter, state), state, formatter)

    def _scan(self, formatter: CsvFormatter, state: IndexState) -> Iterator[IndexedRow]:
        """Read all rows."""
        for number, (offset, line) in enumerate(self._log.lines(), start=1):
            is_last = offset + len(line) == self._log.size  # and has no line break
            if is_last:
                state.stamp = NEVER
            if not line.strip():
                continue
            try:
                summary = decode_summary(line)
            except ValueError as reason:
                if is_last and looks_torn(line):
                    return
                raise UserError(
                    f"{self._log.path}:{number}: not a row of results ({reason}); name another --out"
                ) from None
            path, is_absolute = summary.find_path()
            if not is_absolute:
                state.folder = os.getcwd()  # noqa: PTH109 - as above
            yield _index_row(offset, line, summary, path, formatter)

    def _locate(self, path: str) -> Position | None:
        try:
            return self._index.find(key_of(path))
        except sqlite3.DatabaseError:
            self._index = self._build_index()
            return self._index.find(key_of(path))

    def _read(self, position: Position) -> StoredResult | None:
        """Read a row; None if there is none at a position."""
        self._next_offset = position.offset
        return _parse(self._log.read(position.offset, position.length))

    def _read_next(self) -> StoredResult | None:
        """Read the row after the one that was found last; None if there is none, or a later one may replace it.

        Clips mostly come in the order of the run before, and then they are found without the index.
        """
        if self._index.state.superseded:
            self._next = None
        elif self._next is None and (line := self._log.line_at(self._next_offset)):
            self._next = _parse(line)
        return self._next

    def _write_csv(self, path: Path) -> None:
        self.compact()
        replace_file(path, self._index.csv_lines())


def _parse(line: bytes) -> StoredResult | None:
    try:
        return StoredResult(line, decode_head(line))
    except ValueError:
        return None


def _index_row(offset: int, line: bytes, summary: RowSummary, path: str, formatter: CsvFormatter) -> IndexedRow:
    return IndexedRow(offset, len(line), key_of(path), *formatter.cells(summary))


def _moved(index: ResultsIndex) -> Iterator[IndexedRow]:
    """Yield the current rows of an index as if one followed the other, and close it."""
    offset = 0
    for row in index.current_rows():
        yield IndexedRow(offset, *row[1:])
        offset += row.length + 1
    index.close()
