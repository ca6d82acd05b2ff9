"""The ring's table and plot, in docs/ring.md; text outside the markers is not changed."""

import re
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np

from common.files import write_atomically
from common.markdown import fill_markers, github_table
from common.paths import PROJECT
from experiments.formatting import interval, percent
from experiments.ring_rows import Row
from pipeline.plots.figures import BLUE, GREY, ORANGE, PlotFolder
from pipeline.system_scorers import TWO_STAGE
from rivals.registry import NAMES

if TYPE_CHECKING:
    from matplotlib.axes import Axes

PAGE = PROJECT / "docs" / "ring.md"
PLOT = PROJECT / "docs" / "plots" / "ring.svg"
COLUMNS = (
    "system",
    "published",
    "F1",
    "95 %",
    "P",
    "R",
    "first",
    "F1, train",
    "network",
    "parameters",
    "training",
    "frames/s",
)
SIZE = (8.6, 6.4)  # inches
TICKS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000)


def write_page(report: Mapping[str, Any], rows: Sequence[Row]) -> None:
    """Write the table and the conditions into the page, and the plot beside it.

    Args:
        report: The conditions, as `experiments.ring` records them.
        rows: At least one.
    """
    ordered = sorted(rows, key=lambda row: row.f1, reverse=True)
    missing = [f"`{name}`" for name in (*NAMES, TWO_STAGE) if name not in {row.name for row in rows}]
    note = f"\n\nNot measured yet: {', '.join(missing)}." if missing else ""
    parts = {"ring": f"\n{format_table(ordered)}\n", "conditions": f"\n{describe(report, rows)}{note}\n"}
    write_atomically(PAGE, fill_markers(PAGE.read_text(encoding="utf-8"), parts))
    with TemporaryDirectory() as folder:
        plots = PlotFolder(Path(folder))
        plot_rows(plots, ordered, describe(report, rows))
        shutil.copy(Path(folder) / "ring.svg", PLOT)


def format_table(rows: Sequence[Row]) -> str:
    """Format rows as a Markdown table; scores are in percent."""
    lines = [
        [
            f"`{row.name.split(',')[0]}`{row.name.removeprefix(row.name.split(',')[0])}",
            "" if row.published_f1 is None else percent(row.published_f1),
            percent(row.f1),
            interval(row.f1_interval),
            percent(row.precision),
            percent(row.recall),
            percent(row.first),
            "" if row.train_f1 is None else percent(row.train_f1),
            row.training,
            f"{row.parameters / 1e6:.1f} M",
            "" if row.training_seconds is None else f"{row.training_seconds / 60:.1f} min",
            f"{row.frames_per_second:,.0f}",
        ]
        for row in rows
    ]
    return github_table(lines, COLUMNS)


def describe(report: Mapping[str, Any], rows: Sequence[Row]) -> str:
    """Describe the conditions in one line."""
    shown = f"each clip shown {report['epochs']} times, " if report["epochs"] else ""
    machines = "; ".join(dict.fromkeys(row.machine for row in rows))
    return (
        f"{report['train']} clips to train on, {report['test']} to test on ({report['test_frames']:,} frames); "
        f"{shown}seed {report['seed']}; {machines}"
    )


def plot_rows(plots: PlotFolder, rows: Sequence[Row], subtitle: str) -> None:
    """Plot F1 with its interval against speed, as `ring`; the names stand at the side, in the order of the F1.

    Args:
        plots: Where the plot goes.
        rows: In descending order of their F1.
        subtitle: The conditions.
    """
    with plots.figure("ring", "F1 against speed, every system on the same clips", subtitle, SIZE) as figure:
        panel = figure.subplots()
        for row in rows:
            colour = _colour(row)
            low, high = (100 * bound for bound in row.f1_interval)
            panel.plot([row.frames_per_second] * 2, [low, high], color=colour, alpha=0.3, linewidth=1)
            (point,) = panel.plot(row.frames_per_second, 100 * row.f1, "o", color=colour, markersize=5)
            point.set_gid("point-" + re.sub(r"\W", "_", row.name))
        panel.set_xscale("log")
        speeds = [row.frames_per_second for row in rows]
        ticks = [tick for tick in TICKS if min(speeds) / 2 <= tick <= 2 * max(speeds)]
        panel.set_xticks(ticks, [f"{tick:,}" for tick in ticks])
        panel.minorticks_off()
        panel.set_xlim(min(speeds) / 1.3, max(speeds) * 1.3)
        panel.set_ylim(bottom=0)
        panel.set_xlabel("frames of the clips per second, decoding included")
        panel.set_ylabel("F1 on the test clips, %")
        _name_points(panel, rows)


def _name_points(panel: "Axes", rows: Sequence[Row]) -> None:
    """Write the names in a column at the right, each with a line to its point."""
    heights = np.linspace(0.98, 0.02, len(rows))
    for row, height in zip(rows, heights, strict=True):
        panel.annotate(
            f"{row.name}  {percent(row.f1)}",
            (row.frames_per_second, 100 * row.f1),
            xytext=(1.04, height),
            textcoords="axes fraction",
            va="center",
            fontsize=8,
            color=_colour(row),
            arrowprops={"arrowstyle": "-", "color": GREY, "linewidth": 0.4, "shrinkB": 3, "relpos": (0, 0.5)},
            annotation_clip=False,
        )


def _colour(row: Row) -> str:
    return ORANGE if row.name.startswith(TWO_STAGE) else BLUE
