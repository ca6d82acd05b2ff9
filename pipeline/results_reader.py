"""Reading the results of a folder run, during the run or after it, without writing anything there."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from common.errors import UserError
from pipeline.results import ClipResult
from pipeline.results_rows import StoredResult, decode_head, key_of, looks_torn


class StoredResults:
    """The results in an open `results.jsonl`: one per clip, its newest, in the order of the file.

    They are parsed while they are iterated over, any number of times. The memory for each row is that of its clip's
    key, 16 bytes. An incomplete last row, of a run that was killed or is still going on, is left out.

    Args:
        path: Of the file, for messages.
        file: The file, open for reading.

    Raises:
        UserError: If a line of it is not a row of results.
    """

    def __init__(self, path: Path, file: BinaryIO) -> None:
        self._path, self._file = path, file
        keys = bytearray()
        for row in self._rows():
            keys += key_of(row.path)
        self._is_current = _last_of_each(keys)

    def __len__(self) -> int:
        """Return the number of clips."""
        return int(self._is_current.sum())

    def __iter__(self) -> Iterator[ClipResult]:
        """Yield the results.

        Raises:
            UserError: If a row is damaged.
        """
        for row, is_current in zip(self._rows(), self._is_current, strict=False):  # rows may have been appended
            if is_current:
                row.load()
                yield row

    def _rows(self) -> Iterator[StoredResult]:
        """Yield all rows, not yet parsed, with those that later ones replace."""
        self._file.seek(0)
        for number, line in enumerate(self._file, 1):
            if not line.strip():
                continue
            try:
                yield StoredResult(line, decode_head(line))
            except ValueError as reason:
                if not line.endswith(b"\n") and looks_torn(line):
                    break
                raise UserError(f"{self._path}:{number}: not a row of results ({reason})") from None


@contextmanager
def open_results(folder: Path) -> Iterator[StoredResults]:
    """Open the results in a folder that `tag --out` has written, to read them one by one.

    Args:
        folder: Contains `results.jsonl`.

    Yields:
        The results, as they were when the file was opened, even if a run replaces it.

    Raises:
        UserError: If there is no such file, or a line of it is not a row of results.
    """
    path = folder / "results.jsonl"
    if not path.is_file():
        raise UserError(f"{folder}: no results.jsonl there; name a folder that `tag --out` has written")
    with path.open("rb") as file:
        yield StoredResults(path, file)


def read_results(folder: Path) -> list[ClipResult]:
    """Read all results in a folder that `tag --out` has written.

    Args:
        folder: As for `open_results`.

    Returns:
        One result per clip, as in `StoredResults`.

    Raises:
        UserError: As for `open_results`.
    """
    with open_results(folder) as results:
        return list(results)


def _last_of_each(keys: bytearray) -> NDArray[np.bool_]:
    """Mark the last of all equal keys, given one after the other; shape (rows,)."""
    backwards = np.frombuffer(keys, dtype="S16")[::-1]
    is_last = np.zeros(len(backwards), dtype=bool)
    is_last[np.unique(backwards, return_index=True)[1]] = True
    return is_last[::-1]
