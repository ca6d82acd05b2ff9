"""Plot of the measurements of speed and memory."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.bench_stage1 import DECODER, NETWORK_PREFIX, OURS

if TYPE_CHECKING:
    from matplotlib.axes import Axes

OURS_COLOUR, SURE_COLOUR, OTHERS_COLOUR, LIMIT_COLOUR = "#1f6f8b", "#b0413e", "#b0b0b0", "#e0c070"

FRONTIER_LINES = {
    "--until-sure": (SURE_COLOUR, "o-"),
    "--stride": (OURS_COLOUR, "o-"),
    "--reuse-below": (OURS_COLOUR, "s"),
    "--precision": (OURS_COLOUR, "^"),
    "--imgsz": (OURS_COLOUR, "v"),
    "every frame": (OURS_COLOUR, "D"),
    "Ultralytics vid_stride": (OTHERS_COLOUR, "o-"),
}
"""Colour and style of the ways whose names begin so."""

Rows = Mapping[str, Mapping[str, Any]]


def plot_reports(reports: Mapping[str, Mapping[str, Any]], out: Path) -> None:
    """Plot three panels: speed of stage 1, effects of the speed options, and peak memory by length of the clip.

    Args:
        reports: The benchmarks' reports, by name.
        out: The PNG file.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(13, 4.2), layout="constrained")
    stage1, speed_options, memory = figure.subplots(1, 3, width_ratios=[1.2, 1.3, 0.5])
    _plot_stage1(stage1, reports["stage1"]["rows"])
    _plot_speed_options(speed_options, reports["speed_options"]["rows"])
    _plot_memory(memory, reports["memory"]["rows"])
    for panel in (stage1, speed_options, memory):
        panel.spines[["top", "right"]].set_visible(False)
        panel.tick_params(labelsize=8)
    figure.savefig(out, dpi=110)


def plot_frontier(reports: Mapping[str, Mapping[str, Any]], out: Path) -> None:
    """Plot how many of the gates' decisions differ from those of every frame, against speed.

    Where a mean over several draws was measured, it is shown; one run has some luck.

    Args:
        reports: Of `benchmarks.bench_speed_options`, by title of the panel.
        out: The PNG file.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.5 * len(reports), 4.2), layout="constrained")
    panels = figure.subplots(1, len(reports), squeeze=False, sharey=True)[0]
    for panel, (title, report) in zip(panels, reports.items(), strict=True):
        for prefix, (colour, style) in FRONTIER_LINES.items():
            rows = {name: row for name, row in report["rows"].items() if name.startswith(prefix)}
            points = sorted(
                (row["frames_per_second"], 100 * row.get("share_expected", row["share_changed"]), name)
                for name, row in rows.items()
            )
            if not points:
                continue
            panel.plot([x for x, _, _ in points], [y for _, y, _ in points], style, color=colour, label=prefix)
            for number, (speed, change, name) in enumerate(points):
                away = (5, -11 if number % 2 else 5)  # neighbours' labels would overlap
                panel.annotate(name.split()[-1], (speed, change), xytext=away, textcoords="offset points", fontsize=8)
        panel.set_title(title, fontsize=10)
        panel.set_xlabel("frames per second of stage 1, decoding included", fontsize=9)
        panel.spines[["top", "right"]].set_visible(False)
        panel.legend(frameon=False, fontsize=8)
    panels[0].set_ylim(bottom=-0.1)
    panels[0].set_ylabel("% of the decisions that differ", fontsize=9)
    figure.savefig(out, dpi=110)


def plot_scaling(report: Mapping[str, Any], out: Path) -> None:
    """Plot time against work, both in logarithms; a dashed line shows where twice the work takes twice the time.

    Args:
        report: Of `benchmarks.bench_scaling`.
        out: The PNG file.
    """
    from matplotlib.figure import Figure

    lines: dict[str, list[tuple[float, float]]] = {}
    for name, row in report["rows"].items():
        line, amount = name.split(": ")
        lines.setdefault(line, []).append((float(amount.replace(",", "")), row["seconds"]))
    figure = Figure(figsize=(11, 3), layout="constrained")
    panels = figure.subplots(1, len(lines), squeeze=False)[0]
    for panel, (line, points) in zip(panels, lines.items(), strict=True):
        (first, start), (last, end) = points[0], points[-1]
        panel.loglog(*zip(*points, strict=True), "o-", color=OURS_COLOUR)
        panel.loglog([first, last], [end * first / last, end], "--", color=OTHERS_COLOUR)
        panel.set_ylim(0.5 * min(start, end * first / last), 2 * max(start, end))
        panel.set_title(line, fontsize=10)
        panel.set_ylabel("seconds", fontsize=8)
        panel.spines[["top", "right"]].set_visible(False)
        panel.tick_params(labelsize=8)
    figure.savefig(out, dpi=110)


def _plot_stage1(panel: "Axes", rows: Rows) -> None:
    names = list(rows)[::-1]
    rates = [rows[name]["frames_per_second"] for name in names]
    bars = panel.barh(names, rates, color=[_colour(name) for name in names])
    panel.bar_label(bars, [f"{rate:,.0f}" for rate in rates], padding=3, fontsize=8)
    panel.set_xlim(right=1.15 * max(rates))
    panel.set_title("Stage 1: frames per second (yellow: upper limits)", fontsize=10)


def _plot_speed_options(panel: "Axes", rows: Rows) -> None:
    fastest = max(row["speedup"] for row in rows.values())
    for number, (name, row) in enumerate(rows.items()):
        speedup, change = row["speedup"], 100 * row["mean_change"]
        panel.scatter(speedup, change, color=OURS_COLOUR)
        # These positions keep the labels inside the panel and apart from each other.
        is_label_left = speedup > 0.8 * fastest
        is_label_above = not is_label_left and (number % 2 or change > 3)
        panel.annotate(
            name,
            (speedup, change),
            xytext=(-6 if is_label_left else 6, 5 if is_label_above else -12),
            textcoords="offset points",
            ha="right" if is_label_left else "left",
            fontsize=8,
        )
    panel.set_ylim(bottom=-0.4)
    panel.set_xlabel("speed-up over every frame in f32", fontsize=9)
    panel.set_ylabel("percentage points", fontsize=9)
    panel.set_title("Speed options: mean change of the presence ratios", fontsize=10)


def _plot_memory(panel: "Axes", rows: Rows) -> None:
    peaks = {length: row["peak_mb"] for length, row in rows.items()}
    bars = panel.bar(list(peaks), list(peaks.values()), color=OURS_COLOUR)
    panel.bar_label(bars, padding=3, fontsize=8)
    panel.set_ylim(0, 1.2 * max(peaks.values()))
    panel.set_title("Peak memory, MB", fontsize=10)


def _colour(name: str) -> str:
    if name == DECODER or name.startswith(NETWORK_PREFIX):
        return LIMIT_COLOUR
    return OURS_COLOUR if name in OURS else OTHERS_COLOUR
