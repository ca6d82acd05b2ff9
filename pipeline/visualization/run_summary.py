"""The end of a folder run as text: how many clips, what they show, what went wrong, how fast it was, and what next."""

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from common.styles import Paint, no_paint
from common.units import format_seconds
from pipeline.results import ClipResult

SHOWN_LABELS, SHOWN_REASONS = 8, 4


@dataclass
class RunSummary:
    """What became of the clips of a run.

    Attributes:
        statuses: Number of clips by status.
        labels: Number of clips by label.
        reasons: Number of clips by what was wrong with them.
        video_seconds: Length of all clips together.
        missing_copies: Number of clips whose annotated copy could not be written.
    """

    statuses: Counter[str] = field(default_factory=Counter)
    labels: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    video_seconds: float = 0.0
    missing_copies: int = 0

    def add(self, result: ClipResult, copy_error: str = "") -> None:
        """Count a clip, and why its annotated copy is missing, if it is."""
        self.statuses[result.status] += 1
        self.missing_copies += bool(copy_error)
        if result.error:
            self.reasons[result.error.removeprefix(f"{result.video}: ")] += 1
        if result.status != "error":
            self.labels.update(label.label for label in result.labels)
            self.video_seconds += result.duration_seconds

    @property
    def clips(self) -> int:
        """Number of clips."""
        return self.statuses.total()

    def problems(self) -> str:
        """Return a line that says what is not as it should be; empty if all is well."""
        failed, truncated = self.statuses["error"], self.statuses["truncated"]
        if not (failed or truncated or self.missing_copies):
            return ""
        line = f"of {self.clips} clips, {failed} could not be read and {truncated} are truncated"
        if self.missing_copies:
            line += (
                f"; {self.missing_copies} annotated {'copy is' if self.missing_copies == 1 else 'copies are'} missing"
            )
        return line

    def overview(self, seconds: float, out: Path | None, paint: Paint = no_paint) -> list[str]:
        """Return some lines about the run.

        Args:
            seconds: How long it took.
            out: Folder of its results; None if they were only printed.
            paint: How the lines look.
        """
        took, length = format_seconds(seconds), format_seconds(self.video_seconds)
        speed = f" ({self.video_seconds / seconds:.1f} times as fast as they play)" if seconds > 0 else ""
        lines = [paint(f"{self.clips} clips, {length} of video, in {took}{speed}", "heading")]
        if self.labels:
            lines.append(paint(f"labels: {_list(self.labels, SHOWN_LABELS)}"))
        if self.reasons:
            lines.append(paint(f"not as they should be: {_list(self.reasons, SHOWN_REASONS)}", "warning"))
        if out:
            lines.append(paint(f"results: {out / 'results.csv'}, {out / 'results.jsonl'}"))
            lines.append(paint(f"next: actor-action report {out}"))
        return lines


def _list(counts: Counter[str], shown: int) -> str:
    """List the most frequent of some texts, each after its number."""
    parts = [
        f"{count} × {text}" for text, count in sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:shown]
    ]
    rest = len(counts) - len(parts)
    return ", ".join([*parts, f"{rest} more"] if rest else parts)
