"""The index of a log of results: where the row of each clip is, and its cells of the spreadsheet, in SQLite.

It can be made from the log at any time, and is whenever it does not match it, so that nothing depends on it.
"""

import json
import os
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple, Self

from pipeline.results_csv import CsvFormatter
from pipeline.results_log import temporary_for

VERSION = 1
CACHE_KIB = 64 << 10
WAL_PAGES = 256
# Whoever uses the index sees to it that only one thread does so at a time.
_OPTIONS: Any = {"isolation_level": None, "check_same_thread": False, "timeout": 1}
SCHEMA = (
    # Rows that a later one of the same clip has replaced remain here until they leave the log.
    "CREATE TABLE rows (offset INTEGER PRIMARY KEY, length INTEGER, key BLOB, cells BLOB, actors INTEGER)",
    "CREATE INDEX rows_by_key ON rows (key, offset, length)",
    "CREATE TABLE state (content TEXT)",
)


class Position(NamedTuple):
    """Where a row is in the log.

    Attributes:
        offset: Its first byte.
        length: Number of bytes, without the line break.
    """

    offset: int
    length: int


class IndexedRow(NamedTuple):
    """What the index knows of a row.

    Attributes:
        offset: Its first byte in the log.
        length: Number of bytes, without the line break.
        key: Identifies its clip.
        cells: Of the spreadsheet.
        actors: For how many actors there are cells.
    """

    offset: int
    length: int
    key: bytes
    cells: bytes
    actors: int


@dataclass
class IndexState:
    """What the whole index belongs to.

    Attributes:
        stamp: The log's, see `ResultsLog.stamp`.
        superseded: Number of rows in the log that a later one of the same clip replaces.
        folder: The folder to which rows without an absolute path refer; empty if there are none.
    """

    stamp: tuple[int, int]
    superseded: int = 0
    folder: str = ""


class ResultsIndex:
    """An open index.

    Args:
        connection: To its file.
        state: What it belongs to.
        formatter: Knows the actors of its rows.
    """

    def __init__(self, connection: sqlite3.Connection, state: IndexState, formatter: CsvFormatter) -> None:
        self._connection = connection
        self.state = state
        self.formatter = formatter

    @classmethod
    def open(cls, path: Path) -> Self | None:
        """Open the index in a file; None if there is none, or it is damaged or another version's."""
        if not path.is_file():
            return None
        connection = sqlite3.connect(path, **_OPTIONS)
        try:
            _configure(connection)
            # Whoever else made the file may have given it triggers and views, which are not to be run.
            found = connection.execute("SELECT sql FROM sqlite_master").fetchall()
            (version,) = connection.execute("PRAGMA user_version").fetchone()
            if version == VERSION and [sql for (sql,) in found] == list(SCHEMA):
                connection.execute("PRAGMA locking_mode = EXCLUSIVE")  # without it, WAL needs shared memory
                connection.execute("PRAGMA journal_mode = WAL")
                connection.execute("PRAGMA synchronous = NORMAL")
                connection.execute(f"PRAGMA wal_autocheckpoint = {WAL_PAGES}")
                (content,) = connection.execute("SELECT content FROM state").fetchone()
                (size, mtime_ns), superseded, folder, actors = json.loads(content)
                return cls(connection, IndexState((size, mtime_ns), superseded, folder), CsvFormatter(actors))
        except (sqlite3.DatabaseError, TypeError, ValueError):
            pass
        connection.close()
        return None

    @classmethod
    def build(cls, path: Path, rows: Iterable[IndexedRow], state: IndexState, formatter: CsvFormatter) -> Self:
        """Write a new index, and open it.

        Args:
            path: Where; an old index is replaced.
            rows: Of all lines in the log.
            state: What the index will belong to; the number of superseded rows is counted, and the rest is read when
                `rows` is exhausted.
            formatter: Knows all actors by then.

        Raises:
            OSError: If it cannot be written, or the disk is full.
            sqlite3.DatabaseError: Likewise.
        """
        temporary = temporary_for(path)
        temporary.unlink(missing_ok=True)
        try:
            with closing(sqlite3.connect(temporary, **_OPTIONS)) as connection:
                _configure(connection)
                connection.execute("PRAGMA journal_mode = OFF")
                connection.execute("PRAGMA synchronous = OFF")
                connection.execute("BEGIN")
                connection.execute(SCHEMA[0])
                connection.executemany("INSERT INTO rows VALUES (?, ?, ?, ?, ?)", rows)
                connection.execute(SCHEMA[1])
                connection.execute(SCHEMA[2])
                (state.superseded,) = connection.execute(
                    "SELECT COALESCE(SUM(n - 1), 0) FROM (SELECT COUNT(*) AS n FROM rows GROUP BY key)"
                ).fetchone()
                connection.execute("INSERT INTO state VALUES (?)", (_content(state, formatter),))
                connection.execute(f"PRAGMA user_version = {VERSION}")
                connection.execute("COMMIT")
            with temporary.open("r+b") as file:
                os.fsync(file.fileno())
            for suffix in ("-wal", "-shm", "-journal"):
                path.with_name(path.name + suffix).unlink(missing_ok=True)
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
        if (index := cls.open(path)) is None:
            raise OSError(f"{path}: damaged as soon as it was written")
        return index

    def find(self, key: bytes) -> Position | None:
        """Return where the current row of a clip is; None if it has no row."""
        found = self._connection.execute(
            "SELECT offset, length FROM rows WHERE key = ? ORDER BY offset DESC LIMIT 1", (key,)
        ).fetchone()
        return Position(*found) if found else None

    def add(self, row: IndexedRow, stamp: tuple[int, int], supersedes: bool) -> None:
        """Add the row that was appended to the log.

        Args:
            row: The row.
            stamp: The log's, with the row.
            supersedes: Whether its clip had a row.
        """
        state = replace(self.state, stamp=stamp, superseded=self.state.superseded + supersedes)
        self._connection.execute("BEGIN")
        try:
            self._connection.execute("INSERT INTO rows VALUES (?, ?, ?, ?, ?)", row)
            self._connection.execute("UPDATE state SET content = ?", (_content(state, self.formatter),))
            self._connection.execute("COMMIT")
        except BaseException:
            with suppress(sqlite3.DatabaseError):  # what went wrong may have ended the transaction
                self._connection.execute("ROLLBACK")
            raise
        self.state = state

    def end(self) -> int:
        """Return the end of the last row, without its line break; 0 if there are no rows."""
        found = self._connection.execute("SELECT offset + length FROM rows ORDER BY offset DESC LIMIT 1").fetchone()
        return int(found[0]) if found else 0

    def mark(self, stamp: tuple[int, int]) -> None:
        """Record that the log's stamp has changed, although its rows have not."""
        state = replace(self.state, stamp=stamp)
        self._connection.execute("UPDATE state SET content = ?", (_content(state, self.formatter),))
        self.state = state

    def gaps(self, size: int) -> Iterator[tuple[int, int]]:
        """Yield the start and the end of every part of a log of some size that belongs to no row.

        An end before the start shows that the index is damaged, since two rows overlap.
        """
        yield from self._connection.execute(
            "SELECT earlier, offset FROM (SELECT offset, LAG(offset + length + 1, 1, 0) OVER (ORDER BY offset)"
            " AS earlier FROM rows) WHERE offset <> earlier"
        )
        end = self.end()
        yield end + 1 if end else 0, size

    def current_rows(self) -> Iterator[IndexedRow]:
        """Yield the current row of every clip, in the order in which the clips came first."""
        run = self._connection.execute
        run("DROP TABLE IF EXISTS temp.repeated")
        run(
            "CREATE TEMP TABLE repeated AS SELECT key, MIN(offset) AS first, MAX(offset) AS last FROM rows"
            " GROUP BY key HAVING COUNT(*) > 1"
        )
        run("CREATE INDEX temp.repeated_by_key ON repeated (key)")
        found = run("SELECT rows.*, first, last FROM rows LEFT JOIN repeated USING (key) ORDER BY offset")
        for *row, first, last in found:
            if first is None:
                yield IndexedRow(*row)
            elif first == row[0]:
                yield IndexedRow(*run("SELECT * FROM rows WHERE offset = ?", (last,)).fetchone())

    def csv_lines(self) -> Iterator[bytes]:
        """Yield the lines of the spreadsheet, for a log without superseded rows."""
        yield self.formatter.header()
        for cells, actors in self._connection.execute("SELECT cells, actors FROM rows ORDER BY offset"):
            yield self.formatter.line(cells, actors)

    def close(self) -> None:
        """Close the file."""
        with suppress(sqlite3.DatabaseError):  # for example a full disk; then it is made anew
            self._connection.close()


def _configure(connection: sqlite3.Connection) -> None:
    connection.execute("PRAGMA trusted_schema = OFF")
    connection.execute(f"PRAGMA cache_size = -{CACHE_KIB}")


def _content(state: IndexState, formatter: CsvFormatter) -> str:
    return json.dumps([state.stamp, state.superseded, state.folder, formatter.actors])
