"""The end of a folder run as text: how many clips, what they show, what went wrong, how fast it was, and what next."""

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from common.styles import Paint, no_paint
from common.units import format_seconds
from pipeline.results import ClipResult

SHOWN_LABELS, SHOWN_REASONS, SHOWN_MACHINES, SHOWN_SLOW = 8, 4, 16, 3
SLOW = 5.0  # times as long as a clip took on average


@dataclass
class MachineSummary:
    """What one machine did in a run.

    Attributes:
        clips: How many it finished.
        failed: How many of them could not be read.
        seconds: Of its workers' work on clips.
        slowest: The seconds and the name of the clips that took longest, the longest first.
    """

    clips: int = 0
    failed: int = 0
    seconds: float = 0.0
    slowest: list[tuple[float, str]] = field(default_factory=list)

    def add(self, result: ClipResult) -> None:
        """Count a clip."""
        took = float(result.timing.get("total_seconds", 0.0))
        self.clips += 1
        self.failed += result.status == "error"
        self.seconds += took
        self.slowest = sorted([*self.slowest, (took, result.video)], reverse=True)[:SHOWN_SLOW]

    def describe(self, seconds: float) -> str:
        """Describe it in a few words.

        Args:
            seconds: How long the run took.
        """
        rate = f", {60 * self.clips / seconds:.1f} a minute" if seconds > 0 else ""
        failed = f", {self.failed} of them could not be read" if self.failed else ""
        return f"{self.clips} {'clip' if self.clips == 1 else 'clips'}{rate}{failed}"


@dataclass
class RunSummary:
    """What became of the clips of a run.

    Attributes:
        statuses: Number of clips by status.
        labels: Number of clips by label.
        reasons: Number of clips by what was wrong with them.
        video_seconds: Length of all clips together.
        missing_copies: Number of clips whose annotated copy could not be written.
        machines: What each machine did, by its name, if there are several.
    """

    statuses: Counter[str] = field(default_factory=Counter)
    labels: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    video_seconds: float = 0.0
    missing_copies: int = 0
    machines: dict[str, MachineSummary] = field(default_factory=dict)

    def add(self, result: ClipResult, copy_error: str = "", machine: str = "") -> None:
        """Count a clip, why its annotated copy is missing, if it is, and the machine that tagged it, if it is known."""
        self.statuses[result.status] += 1
        self.missing_copies += bool(copy_error)
        if result.error:
            self.reasons[result.error.removeprefix(f"{result.video}: ")] += 1
        if machine:
            self.machines.setdefault(machine, MachineSummary()).add(result)
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
        lines += [paint(line) for line in self._machine_lines(seconds)]
        if self.labels:
            lines.append(paint(f"labels: {_list(self.labels, SHOWN_LABELS)}"))
        if self.reasons:
            lines.append(paint(f"not as they should be: {_list(self.reasons, SHOWN_REASONS)}", "warning"))
        if out:
            lines.append(paint(f"results: {out / 'results.csv'}, {out / 'results.jsonl'}"))
            lines.append(paint(f"next: actor-action report {out}"))
        return lines

    def _machine_lines(self, seconds: float) -> list[str]:
        """Return a line for each of the machines, those first that tagged most, and the clips that took longest."""
        ranked = sorted(self.machines.items(), key=lambda item: (-item[1].clips, item[0]))
        lines = [f"{name}: {machine.describe(seconds)}" for name, machine in ranked[:SHOWN_MACHINES]]
        if len(ranked) > SHOWN_MACHINES:
            lines.append(f"{len(ranked) - SHOWN_MACHINES} more machines")
        clips = sum(machine.clips for machine in self.machines.values())
        typical = sum(machine.seconds for machine in self.machines.values()) / max(1, clips)
        slowest = sorted((slow for machine in self.machines.values() for slow in machine.slowest), reverse=True)
        slow = [f"{clip} ({format_seconds(took)})" for took, clip in slowest[:SHOWN_SLOW] if took > SLOW * typical]
        return [*lines, *([f"took long: {', '.join(slow)}"] if slow else [])]


def _list(counts: Counter[str], shown: int) -> str:
    """List the most frequent of some texts, each after its number."""
    parts = [
        f"{count} × {text}" for text, count in sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:shown]
    ]
    rest = len(counts) - len(parts)
    return ", ".join([*parts, f"{rest} more"] if rest else parts)
