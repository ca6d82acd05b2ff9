"""The files of a folder run: `results.jsonl`, flushed clip by clip, and `results.csv` for spreadsheets."""

import csv
import io
import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from a2d.errors import UserError
from a2d.files import write_atomically
from pipeline.results import ClipResult, Weights


@dataclass
class ResultsFolder:
    """A folder of results that survives being killed: a second run keeps what the first finished.

    Attributes:
        folder: Made if it is missing.
        weights: What the run uses.
        settings: What else decides its results, by name.
        force: Start over where the folder holds results of other weights or settings; they are never mixed.

    Raises:
        UserError: If the folder holds results of other weights or settings, or something that is no result.
    """

    folder: Path
    weights: Weights
    settings: Mapping[str, Any]
    force: bool = False
    finished: dict[str, ClipResult] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        """Read what an earlier run finished and drop its failures and its half-written last row."""
        run = json.loads(json.dumps({"weights": asdict(self.weights), "settings": dict(self.settings)}))
        rows = _read_rows(self.jsonl) if self.jsonl.exists() else []
        if rows and (difference := self._difference(run)):
            if not self.force:
                raise UserError(
                    f"{self.folder}: holds results of another run ({difference}); name another --out, or start over "
                    "with --force"
                )
            rows = []
        self.finished = {row.video: row for row in rows if row.status == "ok"}
        write_atomically(self.jsonl, "".join(map(_line, self.finished.values())))
        write_atomically(self.run_json, json.dumps(run, indent=2) + "\n")

    @property
    def run_json(self) -> Path:
        """What the results were made with."""
        return self.folder / "run.json"

    @property
    def jsonl(self) -> Path:
        """One JSON row a clip."""
        return self.folder / "results.jsonl"

    @property
    def csv(self) -> Path:
        """One line a clip, for spreadsheets."""
        return self.folder / "results.csv"

    def _difference(self, run: Mapping[str, Any]) -> str:
        """Name the first thing in which the run that filled the folder differs from this one, or nothing."""
        try:
            there = _flatten(json.loads(self.run_json.read_text(encoding="utf-8")))
        except (OSError, ValueError):
            return f"{self.run_json.name} cannot be read"
        now = _flatten(run)
        for name in {**there, **now}:
            if there.get(name) != now.get(name):
                return f"{name} was {there.get(name)}, is {now.get(name)}"
        return ""

    def add(self, result: ClipResult) -> None:
        """Write one more row to the disk, whole, before the next clip is begun."""
        with self.jsonl.open("a", encoding="utf-8") as file:
            file.write(_line(result))
            file.flush()
            os.fsync(file.fileno())

    def write_csv(self, results: Iterable[ClipResult]) -> None:
        """Write the spreadsheet of a finished run."""
        write_atomically(self.csv, format_csv(results))


def format_csv(results: Iterable[ClipResult]) -> str:
    """Lay results out as CSV: one line a clip, the labels between spaces, one presence column per actor."""
    rows = list(results)
    actors = list(dict.fromkeys(name for row in rows for name in row.actors))
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    columns = ["video", "status", "labels", "frames", "fps", "duration_seconds", "error"]
    writer.writerow(columns + [f"presence_{name}" for name in actors])
    for row in rows:
        said = " ".join(label.label for label in row.labels)
        presences = [row.actors[name].presence if name in row.actors else "" for name in actors]
        writer.writerow([row.video, row.status, said, row.frames, row.fps, row.duration_seconds, row.error, *presences])
    return buffer.getvalue()


def _line(result: ClipResult) -> str:
    return json.dumps(result.to_dict(), ensure_ascii=False) + "\n"


def _read_rows(path: Path) -> list[ClipResult]:
    """Read the rows of a results file; a last line without its line break was being written when the run died."""
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines(keepends=True)
    rows = []
    for number, line in enumerate(lines, start=1):
        if not line.endswith("\n"):
            break
        try:
            rows.append(ClipResult.from_dict(json.loads(line)))
        except ValueError as reason:
            raise UserError(f"{path}:{number}: not a row of results ({reason}); name another --out") from None
    return rows


def _flatten(content: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """Lay nested mappings out as dotted names and short values, as an error message can show them."""
    flat: dict[str, str] = {}
    for name, value in content.items():
        if isinstance(value, Mapping):
            flat |= _flatten(value, f"{prefix}{name}.")
        else:
            flat[prefix + name] = str(value)[:12]
    return flat
