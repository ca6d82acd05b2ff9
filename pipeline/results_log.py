"""The append-only file of a folder of results: one row per line, on disk at once; many in succession, together."""

import os
import stat
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from time import monotonic
from typing import BinaryIO

from common.errors import UserError

CHUNK_BYTES = 4 << 20
READ_AHEAD_BYTES = 256 << 10
WRITE_BYTES = 1 << 20
SYNC_SECONDS = 0.1  # in which all lines are brought to disk together: many workers send a thousand and more in a second
MAX_ROW_BYTES = 256 << 20  # a clip of several days


class ResultsLog:
    """A file of lines that can be appended to and read at a position.

    Args:
        path: The file; created if it is missing.

    Attributes:
        path: The file.
        size: Number of bytes up to the end of the last complete line.

    Raises:
        UserError: If it is not a regular file.
        OSError: If it cannot be opened for writing.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file = self._open()
        self.size = os.fstat(self._file.fileno()).st_size
        self._ahead, self._ahead_offset = b"", 0
        self._synced, self._is_synced = -SYNC_SECONDS, True

    def _open(self) -> BinaryIO:
        # Without O_NONBLOCK, opening a pipe waits for its other end.
        flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
        file = os.fdopen(os.open(self.path, flags, 0o666), "r+b", buffering=0)
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            file.close()
            raise UserError(f"{self.path}: not a regular file; name another --out")
        return file

    @property
    def stamp(self) -> tuple[int, int]:
        """Size and time of modification, which change whenever the contents do."""
        status = os.fstat(self._file.fileno())
        return status.st_size, status.st_mtime_ns

    def lines(self) -> Iterator[tuple[int, bytes]]:
        """Yield the position and the contents of every line, without its end; the last one may be incomplete.

        Raises:
            UserError: If a line is far too long for a row.
        """
        position, rest = 0, b""
        self._file.seek(0)
        while chunk := self._file.read(CHUNK_BYTES):
            *complete, rest = (rest + chunk).split(b"\n")
            for line in complete:
                yield position, line
                position += len(line) + 1
            if len(rest) > MAX_ROW_BYTES:
                raise UserError(f"{self.path}: a line has more than {MAX_ROW_BYTES >> 20} MiB; name another --out")
        if rest:
            yield position, rest

    def read(self, offset: int, length: int) -> bytes:
        """Read a part of the file; shorter than asked for at its end."""
        self._file.seek(offset)
        return self._file.read(length)

    def line_at(self, offset: int) -> bytes:
        """Return the line at a position, without its end; empty at the end of the file, or if it is very long.

        The file is read in larger parts, so that this is fast for one line after the other.
        """
        start = offset - self._ahead_offset
        end = self._ahead.find(b"\n", start) if start >= 0 else -1
        if end < 0:
            self._ahead, self._ahead_offset, start = self.read(offset, READ_AHEAD_BYTES), offset, 0
            end = self._ahead.find(b"\n")
        return self._ahead[start:end] if end > 0 else b""

    def append(self, line: bytes) -> int:
        """Write a line, or nothing; to disk, unless one was brought there a moment ago: then with the next, or the end.

        Returns:
            The position of the line.

        Raises:
            UserError: If the file was changed, replaced or deleted by others since it was opened.
            OSError: If it cannot be written, or the disk is full.
        """
        self.check_unchanged()
        offset = self.size
        try:
            write_all(self._file, offset, line + b"\n")
            self._is_synced = False
            if monotonic() - self._synced >= SYNC_SECONDS:
                self._sync()
            self.size = offset + len(line) + 1
        except BaseException:
            with suppress(OSError):
                self._file.truncate(self.size)
            raise
        return offset

    def check_unchanged(self) -> None:
        """Raise a `UserError` if somebody else has written to the file, or it is no longer the one of this name."""
        ours = os.fstat(self._file.fileno())
        try:
            theirs = self.path.stat()
        except OSError:
            raise UserError(f"{self.path}: was deleted during the run; no further results are written") from None
        if not os.path.samestat(ours, theirs) or ours.st_size != self.size:
            raise UserError(
                f"{self.path}: was changed by another program during the run; no further results are written"
            )

    def finish_last_line(self, end: int) -> None:
        """Write the line break that the last row lacks, and drop what follows it.

        Args:
            end: The end of the last row.
        """
        write_all(self._file, end, b"\n")
        self._file.truncate(end + 1 if end else 0)
        os.fsync(self._file.fileno())
        self.size = os.fstat(self._file.fileno()).st_size

    def rewrite(self, parts: Iterable[tuple[int, int]]) -> None:
        """Replace the file by some of its lines, in another order; a reader finds all of the old or of the new file.

        Args:
            parts: Position and length, with the line's end, of each line.

        Raises:
            ValueError: If a part is not one or more lines; then nothing is changed.
        """
        replace_file(self.path, self._chunks(parts))
        self.close()
        self._file = self._open()
        self.size, self._ahead = os.fstat(self._file.fileno()).st_size, b""

    def _chunks(self, parts: Iterable[tuple[int, int]]) -> Iterator[bytes]:
        for start, end in _joined(parts):
            if self.read(end - 1, 1) != b"\n" or (start and self.read(start - 1, 1) != b"\n"):
                raise ValueError(f"bytes {start} to {end} are no lines")
            for offset in range(start, end, CHUNK_BYTES):
                yield self.read(offset, min(CHUNK_BYTES, end - offset))

    def close(self) -> None:
        """Bring all lines to disk, and close the file."""
        try:
            if not self._file.closed and not self._is_synced:
                self._sync()
        finally:
            self._file.close()

    def _sync(self) -> None:
        os.fsync(self._file.fileno())
        self._synced, self._is_synced = monotonic(), True


def write_all(file: BinaryIO, offset: int, content: bytes) -> None:
    """Write to a position of an unbuffered file; the system may take less than asked for, for example at a limit."""
    file.seek(offset)
    remaining = memoryview(content)
    while remaining:
        remaining = remaining[file.write(remaining) :]


def temporary_for(path: Path) -> Path:
    """Return the file in which the new contents of a file are prepared; only one process at a time may do so."""
    return path.with_name(f".{path.name}.tmp")


def replace_file(path: Path, parts: Iterable[bytes]) -> None:
    """Write a file so that a reader finds all of the old or of the new contents, even after a power failure.

    Args:
        path: Where to write.
        parts: The contents.
    """
    temporary = temporary_for(path)
    temporary.unlink(missing_ok=True)
    try:
        with temporary.open("xb", buffering=WRITE_BYTES) as file:
            file.writelines(parts)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    with suppress(OSError):  # some systems cannot open folders
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def _joined(parts: Iterable[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """Join adjacent parts, given as position and length; yield the start and the end of each."""
    start = end = 0
    for offset, length in parts:
        if offset != end:
            if end > start:
                yield start, end
            start = offset
        end = offset + length
    if end > start:
        yield start, end
