"""Plots of a tuning of the gates: convergence of the swarm, scores over one gate for all actors."""

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from pipeline.plots.figures import (
    BLACK,
    BLUE,
    GREY,
    LIGHT_GREY,
    ORANGE,
    SCORE_COLOURS,
    PlotFolder,
    label_lines,
    mark_whole_numbers,
    percent,
    shorten_name,
)
from pipeline.training.operating_points import GateSearch, score
from pipeline.training.tuning_curves import SwarmConvergence, score_uniform_gates, swarm_convergence
from pipeline.training.tuning_report import TuningReport
from thresholds.fitness import PresenceTable
from thresholds.gates import load_gates

if TYPE_CHECKING:
    from pipeline.plots.figures import Axes

OBJECTIVE_LABELS = {"prf": "P·R·F1", "precision": "P", "f1": "F1"}
LOWEST_GATE = 1e-3  # shown; the axis is logarithmic, since the best gates are small


def plot_tuning(plots: PlotFolder, report: TuningReport, search: GateSearch) -> None:
    """Plot everything about a tuning.

    Args:
        plots: Where to write.
        report: The result.
        search: What was searched for, and how.

    Raises:
        OSError: If a file cannot be written.
    """
    convergence = swarm_convergence(report.points[0], search)
    if convergence is None:
        plots.omitted.append("no plot of the swarm's convergence: no swarm searched")
    else:
        plot_convergence(plots, report, search, convergence)
    plot_uniform_gate(plots, report)


def plot_convergence(
    plots: PlotFolder, report: TuningReport, search: GateSearch, convergence: SwarmConvergence
) -> None:
    """Plot the best value up to each iteration of all runs, the best run and the median, and the exact search."""
    settings, what = search.settings, OBJECTIVE_LABELS[search.objective]
    title = f"Convergence of {settings.optimizer} on {what}"
    low, high = settings.bounds
    subtitle = (
        f"grey: the other runs; {settings.particles} particles, gates from {percent(low)} to {percent(high)}, "
        f"seed {settings.seed}; {_origin(report, report.gates.split, report.points[0].table)}"
    )
    runs, iterations = convergence.runs.shape
    numbers = np.arange(1, iterations + 1)
    best, median = convergence.runs[convergence.best_run], convergence.median
    with plots.figure("convergence", title, subtitle, (8, 4.4)) as figure:
        panel = figure.subplots()
        for run in convergence.runs:
            panel.plot(numbers, run, color=LIGHT_GREY, linewidth=1)
        panel.plot(numbers, median, color=ORANGE, linewidth=1.8, linestyle=(0, (5, 2)), gid="median")
        panel.plot(numbers, best, color=BLUE, linewidth=2.2, marker="o", markersize=4, clip_on=False, gid="best")
        panel.axhline(convergence.exact, color=BLACK, linewidth=1.2, linestyle=(0, (1, 1.5)), gid="exact")
        values = np.append(convergence.runs, convergence.exact)
        margin = 0.06 * (values.max() - values.min()) or 0.01
        panel.set_ylim(values.min() - margin, values.max() + margin)
        panel.set_xlim(1, max(iterations, 2))
        mark_whole_numbers(panel.xaxis)
        panel.set_xlabel("iteration")
        panel.set_ylabel(f"{what} of the best gates so far")
        labels = [
            (convergence.exact, f"{convergence.exact:.4f} exact search", BLACK),
            (best[-1], f"{best[-1]:.4f} best of {runs} runs", BLUE),
            (median[-1], f"{median[-1]:.4f} median", ORANGE),
        ]
        label_lines(panel, labels)


def plot_uniform_gate(plots: PlotFolder, report: TuningReport) -> None:
    """Plot precision, recall and F1 over one gate for all actors, with the F1 of the tuned and the published gates.

    The challenge report's figure 2, with a logarithmic axis.
    """
    tables = [(report.gates.split, report.points[0].table)]
    if report.held_out and report.held_out_table:
        tables.append((report.held_out, report.held_out_table))
    title = "Actor detection with one gate for all actors"
    identity = report.gates.detector
    subtitle = (
        f"sample-averaged scores on {shorten_name(report.gates.data)}; {shorten_name(identity.name)} at image size "
        f"{identity.image_size}, confidence {identity.confidence:g}; dotted: F1 of the tuned and of the published gates"
    )
    with plots.figure("uniform_gate", title, subtitle, (5.4 * len(tables) + 0.6, 4.6)) as figure:
        panels = figure.subplots(1, len(tables), sharey=True, squeeze=False)[0]
        for panel, (split, table) in zip(panels, tables, strict=True):
            _plot_scores(panel, table, _marks(report))
            use = "tuned on" if table is report.points[0].table else "held out"
            panel.set_title(f"{shorten_name(split)}: {table.videos:,} clips, {use}")
        panels[0].legend(loc="lower left", frameon=False, labelcolor="linecolor")
        panels[0].set_ylabel("score")


def _plot_scores(panel: "Axes", table: PresenceTable, marks: dict[str, NDArray[np.float64]]) -> None:
    curve = score_uniform_gates(table)
    curves = {"P": curve.scores.precision, "R": curve.scores.recall, "F1": curve.scores.f1}
    for name, values in curves.items():
        panel.plot(
            *(curve.gates, values),
            color=SCORE_COLOURS[name],
            linewidth=2.2 if name == "F1" else 1.4,
            drawstyle="steps-pre",
            label=name,
            gid=f"curve-{name}",
        )
    labels = []
    for name, gates in marks.items():
        f1 = score(table, gates).f1
        labels.append((f1, f"{name}: F1 {100 * f1:.1f}", BLACK))
        if (gates == gates[0]).all():
            panel.plot(gates[:1], [f1], color=BLACK, marker="o", markerfacecolor="white", markersize=7)
        panel.axhline(f1, color=GREY, linewidth=0.9, linestyle=(0, (1, 1.5)))
    panel.set_xscale("log")
    panel.set_xlim(LOWEST_GATE, 1)
    panel.set_ylim(0, 1)
    panel.xaxis.set_major_formatter(percent)
    panel.yaxis.set_major_formatter(percent)
    panel.set_xlabel("gate: minimum share of the frames")
    label_lines(panel, labels)


def _marks(report: TuningReport) -> dict[str, NDArray[np.float64]]:
    """Return the sets of gates to mark by name, each of shape (actors,)."""
    marks = {"tuned": report.gates.values}
    published = load_gates()
    if set(published.actors) == set(report.gates.actors):
        marks["published"] = published.in_order(report.gates.actors).values
    return marks


def _origin(report: TuningReport, split: str, table: PresenceTable) -> str:
    return f"{shorten_name(report.gates.data)}, split {shorten_name(split)}: {table.videos:,} clips"
