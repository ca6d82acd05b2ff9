"""The files of a folder run: `results.jsonl`, flushed clip by clip, and `results.csv` for spreadsheets."""

import csv
import io
import json
import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from a2d.errors import UserError
from a2d.files import write_atomically
from pipeline.results import ClipResult, Weights


@dataclass
class ResultsFolder:
    """A folder of results that survives being killed: a second run keeps what the first finished.

    Attributes:
        folder: Made if it is missing.
        weights: What the run uses. Rows of other weights are never mixed in.
        force: Start over where the folder holds results of other weights.

    Raises:
        UserError: If the folder holds results of other weights, or something that is no result.
    """

    folder: Path
    weights: Weights
    force: bool = False
    finished: dict[str, ClipResult] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        """Read what an earlier run finished and drop its failures and its half-written last row."""
        self.folder.mkdir(parents=True, exist_ok=True)
        rows = _read_rows(self.jsonl) if self.jsonl.exists() else []
        others = [row for row in rows if row.weights != self.weights]
        if others and not self.force:
            raise UserError(
                f"{self.jsonl}: holds results of other weights ({_difference(others[0].weights, self.weights)}); "
                "name another --out, or start over with --force"
            )
        self.finished = {row.video: row for row in rows if row.status == "ok" and row.weights == self.weights}
        write_atomically(self.jsonl, "".join(map(_line, self.finished.values())))

    @property
    def jsonl(self) -> Path:
        """One JSON row a clip."""
        return self.folder / "results.jsonl"

    @property
    def csv(self) -> Path:
        """One line a clip, for spreadsheets."""
        return self.folder / "results.csv"

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


def _difference(found: Weights, wanted: Weights) -> str:
    pairs = [("detector", found.detector, wanted.detector), ("thresholds", found.thresholds, wanted.thresholds)]
    pairs += [(f"{name} head", found.heads.get(name, "none"), digest) for name, digest in wanted.heads.items()]
    for what, theirs, ours in pairs:
        if theirs != ours:
            return f"{what} {theirs[:8]} there, {ours[:8]} now"
    return "other heads"
