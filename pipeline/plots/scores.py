"""Plots of the scores of a split: confusion matrix of each actor, reliability diagram, error budget."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from a2d.calibration import Reliability
from a2d.confidence_intervals import wilson_interval
from a2d.taxonomy import Actor
from pipeline.evaluation.error_budget import NOTHING
from pipeline.evaluation.split_report import SplitReport
from pipeline.plots.figures import (
    BLACK,
    BLUE,
    GREEN,
    GREY,
    LIGHT_GREY,
    ORANGE,
    PURPLE,
    SKY,
    YELLOW,
    PlotFolder,
    percent,
    printable,
    shorten_name,
    spread,
)

if TYPE_CHECKING:
    from pipeline.plots.figures import Axes

Matrix = Mapping[str, Mapping[str, float]]
MISSED, ABSENT = "(nothing)", "(not there)"
CORRECT = "correct"
BUDGET_COLOURS = (ORANGE, PURPLE, YELLOW, SKY, BLUE, LIGHT_GREY)
BUDGET_GAP = 0.085  # between the labels of neighbouring parts, as a share of the bar's height


def plot_scores(plots: PlotFolder, report: SplitReport) -> None:
    """Plot everything about a split that its report has numbers for.

    Args:
        plots: Where to write.
        report: The scores.

    Raises:
        OSError: If a file cannot be written.
    """
    plot_error_budget(plots, report)
    if report.reliability is None or not report.reliability.counts.any():
        plots.omitted.append("no reliability diagram: no actor passed its gate, so there are no probabilities")
    else:
        plot_reliability(plots, report, report.reliability)
    for actor in report.taxonomy.actors:
        if matrix := confusion_matrix(report, actor):
            plot_confusion(plots, report, actor, matrix)
        else:
            plots.omitted.append(f"no confusion matrix of {actor.name}: it is neither true nor predicted")


def plot_error_budget(plots: PlotFolder, report: SplitReport) -> None:
    """Plot the sample-averaged F1 and what is lost to each kind of error as one stacked bar."""
    parts = error_budget_parts(report)
    title = "Where the F1 went"
    subtitle = f"points of sample-averaged F1, in the order of correction from the bottom up; {_origin(report)}"
    with plots.figure("error_budget", title, subtitle, (7.4, 4.4)) as figure:
        panel = figure.subplots()
        bottoms = np.cumsum([0.0, *parts.values()])
        middles = (bottoms[:-1] + bottoms[1:]) / 2
        heights = spread(middles.tolist(), 100 * BUDGET_GAP)
        colours = [GREEN, *BUDGET_COLOURS]
        for index, (name, points) in enumerate(parts.items()):
            panel.bar(0, points, 1, bottoms[index], color=colours[index], edgecolor="white", gid=f"budget-{index}")
            panel.plot([0.5, 0.6, 0.66], [middles[index], heights[index], heights[index]], color=GREY, linewidth=0.8)
            weight = "bold" if name == CORRECT else "normal"
            panel.text(0.96, heights[index], f"{points:.1f}", ha="right", va="center", weight=weight)
            panel.text(1.04, heights[index], printable(name), va="center", weight=weight)
        panel.set_xlim(-0.5, 4.2)
        panel.set_ylim(min(0.0, heights[0] - 4), max(100.0, heights[-1] + 4))
        panel.set_yticks(range(0, 101, 20))
        panel.set_xticks([])
        panel.grid(visible=False)
        panel.spines["bottom"].set_visible(False)
        panel.spines["left"].set_bounds(0, 100)
        panel.set_ylabel("points of F1")


def error_budget_parts(report: SplitReport) -> dict[str, float]:
    """Return the parts of the error budget from the bottom up, in points; they add up to 100.

    What is lost to samples that cannot be right is left out where it is nothing.
    """
    lost = {kind: 100 * max(points, 0.0) for kind, points in report.budget.items()}
    *kinds, unlabelled = lost
    return {
        CORRECT: 100 * report.pipeline.sample_averaged.f1,
        **{kind: lost[kind] for kind in kinds},
        **({unlabelled: lost[unlabelled]} if lost[unlabelled] > 1e-9 else {}),
    }


def plot_reliability(plots: PlotFolder, report: SplitReport, reliability: Reliability) -> None:
    """Plot how often labels are true against the probability that the heads give them, with the number in each bin."""
    pairs = int(reliability.counts.sum())
    title = f"Calibration of the heads: expected error {percent(round(reliability.expected_calibration_error, 4))}"
    subtitle = (
        f"all {pairs:,} labels of the actors that passed their gate; {_origin(report)}; lines: 95 % intervals of "
        "independent labels"
    )
    with plots.figure("reliability", title, subtitle, (7, 6)) as figure:
        panel, counts = figure.subplots(2, 1, sharex=True, height_ratios=[3, 1])
        panel.plot([0, 1], [0, 1], color=GREY, linewidth=1, linestyle=(0, (4, 3)))
        panel.text(0.9, 0.95, "calibrated", ha="right", va="center", color=GREY)
        filled = reliability.counts > 0
        x, y = reliability.mean_probability[filled], reliability.true_fraction[filled]
        low, high = wilson_interval(reliability.true_counts[filled], reliability.counts[filled])
        panel.vlines(x, low, high, color=SKY, linewidth=2)
        panel.plot(x, y, color=BLUE, marker="o", linestyle="none", gid="reliability")
        panel.set_ylim(-0.03, 1.03)
        panel.set_ylabel("labels that are true")
        _plot_counts(counts, reliability)
        for axis in (panel.yaxis, counts.xaxis):
            axis.set_major_formatter(percent)


def _plot_counts(panel: "Axes", reliability: Reliability) -> None:
    edges = reliability.edges
    bars = panel.bar(edges[:-1], reliability.counts, np.diff(edges), align="edge", color=SKY, edgecolor="white")
    panel.bar_label(bars, [f"{count:,}" if count else "" for count in reliability.counts.tolist()], padding=2)
    panel.set_ylim(0, 1.25 * reliability.counts.max())
    panel.set_yticks([])
    panel.grid(visible=False)
    panel.set_xlim(0, 1)
    panel.set_xlabel("probability that the head gives a label, in ten bins")
    panel.set_ylabel("labels")


def confusion_matrix(report: SplitReport, actor: Actor) -> dict[str, dict[str, float]]:
    """Return the confusion matrix of an actor with what is missed and what is predicted where it is not there.

    Args:
        report: The scores.
        actor: The actor.

    Returns:
        By true label, then by predicted label, the number of samples. The rows are the labels that are true in a sample
        and `(not there)`; the columns are the labels that are true or predicted in a row, and `(nothing)`, which in the
        last row is right. Empty if the actor is neither true nor predicted.
    """
    rows: dict[str, Mapping[str, float]] = dict(report.confusions.get(actor.name, {}))
    absent = report.false_alarms[actor.name]
    if not rows and not any(absent[name] for name in actor.label_names):
        return {}
    rows[ABSENT] = absent
    columns = [name for name in actor.label_names if name in rows or any(line[name] for line in rows.values())]
    return {row: {name: line[name] for name in columns} | {MISSED: line[NOTHING]} for row, line in rows.items()}


def plot_confusion(plots: PlotFolder, report: SplitReport, actor: Actor, matrix: Matrix) -> None:
    """Plot the confusion matrix of an actor: the numbers are samples, the colours shares of a row."""
    rows, columns = list(matrix), list(next(iter(matrix.values())))
    values = np.array([list(line.values()) for line in matrix.values()])
    shares = values / np.maximum(values.sum(axis=1, keepdims=True), 1e-9)
    size = (max(5.6, 2.6 + 0.72 * len(columns)), 2.3 + 0.42 * len(rows))
    title = f"Confusion matrix: {shorten_name(actor.name)}"
    with plots.figure(f"confusion_{actor.name}", title, f"samples; {_origin(report)}", size) as figure:
        panel = figure.subplots()
        panel.pcolormesh(shares, cmap="Blues", vmin=0, vmax=1.15, edgecolors="white", linewidth=1.5)
        for (row, column), value in np.ndenumerate(values):
            is_right = rows[row] == columns[column] or (rows[row], columns[column]) == (ABSENT, MISSED)
            if is_right:
                panel.plot(*_outline(column, row), color=BLACK, linewidth=1.2)
            if value or is_right:
                colour = "white" if shares[row, column] > 0.6 else BLACK
                panel.text(column + 0.5, row + 0.5, f"{value:.3g}", ha="center", va="center", color=colour)
        names = [f"{name}  {total:.0f}" for name, total in zip(rows, values.sum(axis=1), strict=True)]
        panel.set_yticks(np.arange(len(rows)) + 0.5, list(map(printable, names)))
        panel.set_xticks(np.arange(len(columns)) + 0.5, list(map(printable, columns)), rotation=35, ha="right")
        for label in panel.get_xticklabels():
            label.set_rotation_mode("anchor")
        panel.tick_params(length=0, colors=BLACK)
        panel.invert_yaxis()
        panel.set_xlabel("predicted (colour: share of the row)")
        panel.set_ylabel("true, and in how many samples")
        panel.grid(visible=False)
        panel.spines[:].set_visible(False)


def _outline(column: int, row: int) -> tuple[list[float], list[float]]:
    """Return the corners of a cell as x and y, closed."""
    near, far = 0.04, 0.96
    return [column + x for x in (near, far, far, near, near)], [row + y for y in (near, near, far, far, near)]


def _origin(report: SplitReport) -> str:
    origin = report.origin
    return (
        f"{shorten_name(origin.data)}, split {shorten_name(origin.split)}: {report.pipeline.samples:,} samples, "
        f"{origin.level} level"
    )
