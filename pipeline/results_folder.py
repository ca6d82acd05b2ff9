"""The files of a folder run: `results.jsonl`, a row per clip, `results.csv` for spreadsheets, and `run.json`.

Rows are appended to `results.jsonl`, each at once, see `pipeline.results_log`. `results.index.sqlite` knows where
they are, so that time and memory per clip do not depend on their number. When a clip is tagged again, its new row
follows the old one, which leaves the file at the end of the run, or at once while the file is small. `results.lock`
keeps other runs out.
"""

import json
import os
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, nullcontext, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from threading import RLock
from typing import Any, Self

from common.errors import UserError
from common.remote_files import is_address
from pipeline.results import ClipResult, Weights, absolute_path
from pipeline.results_csv import format_csv
from pipeline.results_lock import FolderLock
from pipeline.results_log import replace_file, temporary_for
from pipeline.results_store import ResultsStore

__all__ = ["ResultsFolder", "format_csv"]

FILES = ("results.jsonl", "results.csv", "results.index.sqlite", "run.json")
SMALL_BYTES = 1 << 20
"""A file of this size is rewritten as fast as a row is appended."""
MAX_PARENTS = 10_000
SHOWN_CHARACTERS = 12


@dataclass
class ResultsFolder:
    """A folder of results with one row per clip; a second run continues where a killed one stopped.

    Clips are told apart by their absolute paths. Use it as a context manager, or close it: closing leaves one row per
    clip in the file, writes the spreadsheet, and lets other runs in. Several threads may use it.

    Attributes:
        folder: Created if it is missing.
        weights: The files that the run uses.
        settings: The other settings that determine its results, by name.

    Raises:
        UserError: If another process writes to the folder, the folder contains results of other weights or settings,
            which are never mixed, or a line that is not a result, or it cannot be written to.
    """

    folder: Path
    weights: Weights
    settings: Mapping[str, Any]

    def __post_init__(self) -> None:
        """Find out what earlier runs wrote, and drop an incomplete last row."""
        self._mutex = RLock()
        self._is_open = False
        self._csv_is_current = False
        self._parents: dict[str, str] = {}
        with ExitStack() as undo, self._explain_failures():
            self.folder.mkdir(parents=True, exist_ok=True)
            self._lock = FolderLock(self.folder / "results.lock")
            undo.callback(self._lock.release)
            for name in FILES:  # which a run that was killed had not finished
                temporary_for(self.folder / name).unlink(missing_ok=True)
            self._store = ResultsStore(self.jsonl)
            undo.callback(self._store.close)
            self._check_run()
            self._store.finish_last_row()
            self._lock.on_loss = self._stop
            self._is_open = True
            undo.pop_all()

    @property
    def jsonl(self) -> Path:
        """The file with one JSON row per clip."""
        return self.folder / "results.jsonl"

    def find(self, video: str) -> ClipResult | None:
        """Return the row of a clip that an earlier run could read, or None; one that failed is to be tried again.

        Raises:
            UserError: If the row cannot be read.
        """
        with self._mutex, self._explain_failures():
            self._check_open()
            result = self._store.find(self._absolute_path(video))
            return result if result and result.status != "error" else None

    def add(self, result: ClipResult) -> None:
        """Write a clip's row to disk, before the next clip is started; it replaces an old row of the clip.

        Raises:
            UserError: If it cannot be written, for example since the disk is full, or was changed by others; then
                nothing further is written, and what was written is complete.
        """
        with self._mutex, self._explain_failures():
            self._check_open()
            self._csv_is_current = False
            self._store.add(result)
            if self._store.size <= SMALL_BYTES:
                self._store.compact()

    def write_csv(self) -> None:
        """Write the spreadsheet of all rows, after those that later ones replace have left the other file.

        Raises:
            UserError: If it cannot be written.
        """
        with self._mutex, self._explain_failures():
            if self._is_open and not self._csv_is_current:  # what has failed was reported when it did
                self._store.write_csv(self.folder / "results.csv")
                self._csv_is_current = True

    def close(self) -> None:
        """Write the spreadsheet, and let other runs in.

        Raises:
            UserError: If the files cannot be written.
        """
        try:
            self.write_csv()
        finally:
            self._stop()
            self._lock.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        with suppress(UserError) if error else nullcontext():  # of two errors, the first one tells more
            self.close()

    def _stop(self) -> None:
        """Write nothing further."""
        with self._mutex:
            self._is_open = False
            self._store.close()

    def _check_open(self) -> None:
        if not self._lock.held:
            raise UserError(f"{self.folder}: is closed, or another run of this process writes results there now")
        if not self._is_open:
            raise UserError(f"{self.folder}: no further results are written, since one could not be")

    @contextmanager
    def _explain_failures(self) -> Iterator[None]:
        """Stop, and raise a `UserError`, when the files cannot be read or written."""
        try:
            yield
        except OSError as reason:
            self._is_open = False
            raise UserError(
                f"{reason.filename or self.folder}: results cannot be written ({reason.strerror or reason}); those "
                "that were are complete; repeat the command when this is mended, or name another --out"
            ) from None
        except sqlite3.Error as reason:
            self._is_open = False
            raise UserError(
                f"{self.folder}: the index of the results cannot be written ({reason}); the rows so far are complete; "
                "free some space and repeat the command"
            ) from None
        except UserError:
            self._is_open = False
            raise

    def _check_run(self) -> None:
        """Check that earlier results are of the same run, and write `run.json`."""
        path = self.folder / "run.json"
        run = json.loads(json.dumps({"weights": asdict(self.weights), "settings": dict(self.settings)}))
        if self._store.size and (difference := _difference(path, run)):
            raise UserError(f"{self.folder}: contains results of another run ({difference}); name another --out")
        content = (json.dumps(run, indent=2) + "\n").encode()
        with suppress(OSError):
            if path.read_bytes() == content:
                return
        replace_file(path, [content])

    def _absolute_path(self, video: str) -> str:
        """Return `absolute_path` of a clip; a folder is looked up once, and then little else is done."""
        if is_address(video):
            return absolute_path(video)
        parent, separator, name = video.rpartition("/")
        if separator and name not in ("", ".", "..") and (known := self._parents.get(parent)) and os.sep == "/":
            return f"{known}/{name}"
        parent, name = os.path.split(video)
        if name in ("", ".", ".."):
            return absolute_path(video)
        if not os.path.isabs(parent):  # noqa: PTH117 - for a million clips
            parent = os.path.join(_current_folder(), parent)  # noqa: PTH118
        if parent not in self._parents:
            if len(self._parents) == MAX_PARENTS:
                self._parents.clear()
            self._parents[parent] = os.path.realpath(parent)
        return os.path.join(self._parents[parent], name)  # noqa: PTH118


def _difference(path: Path, run: Mapping[str, Any]) -> str:
    """Name the first difference between a run's file and a run; empty if there is none."""
    try:
        before = _flatten(json.loads(path.read_bytes()))
    except (OSError, ValueError, RecursionError):
        return "its run.json cannot be read"
    now = _flatten(run)
    for name in {**before, **now}:
        if before.get(name) != now.get(name):
            was, is_now = (str(values.get(name))[:SHOWN_CHARACTERS] for values in (before, now))
            return f"{name} was {was}, is {is_now}"
    return ""


def _flatten(content: object, prefix: str = "") -> dict[str, object]:
    """Flatten nested mappings into dotted names and values."""
    if not isinstance(content, Mapping):
        return {prefix.rstrip("."): content}
    flat: dict[str, object] = {}
    for name, value in content.items():
        flat |= _flatten(value, f"{prefix}{name}.")
    return flat


def _current_folder() -> str:
    return os.getcwd()  # noqa: PTH109 - for a million clips
