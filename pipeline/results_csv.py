"""The spreadsheet of results: one line per clip, labels separated by spaces, one presence column per actor."""

import csv
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

COLUMNS = ("video", "status", "labels", "frames", "fps", "duration_seconds", "error")


class _Label(Protocol):
    @property
    def label(self) -> str: ...


class _Evidence(Protocol):
    @property
    def presence(self) -> float: ...


class Row(Protocol):
    """The part of a result that the spreadsheet contains, see `pipeline.results.ClipResult`."""

    @property
    def video(self) -> str: ...  # noqa: D102
    @property
    def status(self) -> str: ...  # noqa: D102
    @property
    def error(self) -> str | None: ...  # noqa: D102
    @property
    def frames(self) -> int: ...  # noqa: D102
    @property
    def fps(self) -> float: ...  # noqa: D102
    @property
    def duration_seconds(self) -> float: ...  # noqa: D102
    @property
    def labels(self) -> Sequence[_Label]: ...  # noqa: D102
    @property
    def actors(self) -> Mapping[str, _Evidence]: ...  # noqa: D102


FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")
"""With these, spreadsheets take a text for a formula, which may run programs."""


def harmless_path(path: str) -> str:
    """Return a path of the same file that no spreadsheet takes for a formula.

    >>> harmless_path("=1+1.mp4"), harmless_path("a=1.mp4")
    ('./=1+1.mp4', 'a=1.mp4')
    """
    return f"./{path}" if path.startswith(FORMULA_STARTS) else path


class _Return:
    """A file for `csv.writer` that returns what is written to it."""

    def write(self, text: str) -> str:
        return text


@dataclass
class CsvFormatter:
    """Formats results one by one, so that a line can be made when its result is new, and the header when all are known.

    Attributes:
        actors: Actors in the order of their columns; results that have others add them.
    """

    actors: list[str] = field(default_factory=list)
    # With this line end, which is cut off, the writer quotes both of the characters that could be taken for one.
    _write_row = staticmethod(csv.writer(_Return(), lineterminator="\r\n").writerow)

    def header(self) -> bytes:
        """Format the first line."""
        return self._format([*COLUMNS, *(f"presence_{name}" for name in self.actors)]) + b"\n"

    def cells(self, row: Row) -> tuple[bytes, int]:
        """Format a result; return its cells, and for how many actors it has cells."""
        found = row.actors
        presences: list[float | str]
        if not found or list(found) == self.actors:
            presences = [evidence.presence for evidence in found.values()]
        else:
            self.actors += [name for name in found if name not in self.actors]
            presences = [found[name].presence if name in found else "" for name in self.actors]
        labels = " ".join([label.label for label in row.labels])
        video, error = harmless_path(row.video), row.error
        if error and error.startswith(FORMULA_STARTS):
            error = f"'{error}"
        clip = (video, row.status, labels, row.frames, row.fps, row.duration_seconds, error)
        return self._format([*clip, *presences]), len(presences)

    def line(self, cells: bytes, actors: int) -> bytes:
        """Complete the cells of a result to a line, with empty ones for actors that were not known yet."""
        return cells + b"," * (len(self.actors) - actors) + b"\n"

    def _format(self, cells: Sequence[object]) -> bytes:
        # File names that are not valid Unicode contain lone surrogates, which strict UTF-8 refuses.
        return str(self._write_row(cells))[:-2].encode(errors="backslashreplace")


def format_csv(results: Iterable[Row]) -> str:
    """Format results as CSV: one line per clip, labels separated by spaces, one presence column per actor."""
    formatter = CsvFormatter()
    cells = [formatter.cells(row) for row in results]
    return (formatter.header() + b"".join(formatter.line(*row) for row in cells)).decode()
