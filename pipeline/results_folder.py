"""The files of a folder run: `results.jsonl`, flushed clip by clip, `results.csv` for spreadsheets, and `run.json`."""

import csv
import io
import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from common.errors import UserError
from common.files import write_atomically
from pipeline.results import ClipResult, Weights


@dataclass
class ResultsFolder:
    """A folder of results with one row per clip; a second run continues where a killed one stopped.

    Attributes:
        folder: Created if it is missing.
        weights: The files that the run uses.
        settings: The other settings that determine its results, by name.

    Raises:
        UserError: If the folder contains results of other weights or settings, which are never mixed, or a line that is
            not a result.
    """

    folder: Path
    weights: Weights
    settings: Mapping[str, Any]
    rows: dict[str, ClipResult] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        """Read what earlier runs wrote, and drop an incomplete last row."""
        self.folder.mkdir(parents=True, exist_ok=True)
        run = json.loads(json.dumps({"weights": asdict(self.weights), "settings": dict(self.settings)}))
        rows = _read_rows(self.jsonl) if self.jsonl.exists() else []
        if rows and (difference := self._difference(run)):
            raise UserError(f"{self.folder}: contains results of another run ({difference}); name another --out")
        self.rows = {_key(row.video): row for row in rows}
        self._rewrite()
        write_atomically(self.folder / "run.json", json.dumps(run, indent=2) + "\n")

    @property
    def jsonl(self) -> Path:
        """The file with one JSON row per clip."""
        return self.folder / "results.jsonl"

    def find(self, video: str) -> ClipResult | None:
        """Return the row of a clip that an earlier run could read, or None; one that failed is to be tried again."""
        row = self.rows.get(_key(video))
        return row if row and row.status != "error" else None

    def add(self, result: ClipResult) -> None:
        """Write a clip's row to disk, before the next clip is started; it replaces an old row of the clip."""
        key = _key(result.video)
        if key in self.rows:
            self.rows[key] = result
            self._rewrite()
            return
        self.rows[key] = result
        with self.jsonl.open("a", encoding="utf-8") as file:
            file.write(_line(result))
            file.flush()
            os.fsync(file.fileno())

    def write_csv(self) -> None:
        """Write the spreadsheet of all rows."""
        write_atomically(self.folder / "results.csv", format_csv(self.rows.values()))

    def _rewrite(self) -> None:
        write_atomically(self.jsonl, "".join(map(_line, self.rows.values())))

    def _difference(self, run: Mapping[str, Any]) -> str:
        """Name the first difference between the run that wrote the folder and this one; empty if there is none."""
        try:
            before = _flatten(json.loads((self.folder / "run.json").read_text(encoding="utf-8")))
        except (OSError, ValueError):
            return "its run.json cannot be read"
        now = _flatten(run)
        for name in {**before, **now}:
            if before.get(name) != now.get(name):
                return f"{name} was {before.get(name)}, is {now.get(name)}"
        return ""


def format_csv(results: Iterable[ClipResult]) -> str:
    """Format results as CSV: one line per clip, labels separated by spaces, one presence column per actor."""
    rows = list(results)
    actors = list(dict.fromkeys(name for row in rows for name in row.actors))
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    columns = ["video", "status", "labels", "frames", "fps", "duration_seconds", "error"]
    writer.writerow(columns + [f"presence_{name}" for name in actors])
    for row in rows:
        labels = " ".join(label.label for label in row.labels)
        presences = [row.actors[name].presence if name in row.actors else "" for name in actors]
        clip = [row.video, row.status, labels, row.frames, row.fps, row.duration_seconds, row.error]
        writer.writerow([*clip, *presences])
    return buffer.getvalue()


def _key(video: str) -> str:
    """Identify a clip by its absolute path, however the path is spelled."""
    return os.path.abspath(video)  # noqa: PTH100 - Path.resolve would follow links, and two links are two clips


def _line(result: ClipResult) -> str:
    # ASCII only: some characters of file names count as line breaks elsewhere, and some cannot be encoded at all.
    return json.dumps(result.to_dict()) + "\n"


def _read_rows(path: Path) -> list[ClipResult]:
    """Read the rows of a results file; what follows the last line break was being written when the run was killed."""
    rows = []
    for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").split("\n")[:-1], start=1):
        try:
            rows.append(ClipResult.from_dict(json.loads(line)))
        except ValueError as reason:
            raise UserError(f"{path}:{number}: not a row of results ({reason}); name another --out") from None
    return rows


def _flatten(content: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """Flatten nested mappings into dotted names and short values, for an error message."""
    flat: dict[str, str] = {}
    for name, value in content.items():
        if isinstance(value, Mapping):
            flat |= _flatten(value, f"{prefix}{name}.")
        else:
            flat[prefix + name] = str(value)[:12]
    return flat
