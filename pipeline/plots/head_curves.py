"""Plots of the training of a head: loss, learning rate and scores by epoch, or the search for the regularization."""

from typing import TYPE_CHECKING

import numpy as np

from pipeline.plots.figures import (
    BLACK,
    BLUE,
    GREY,
    ORANGE,
    SCORE_COLOURS,
    PlotFolder,
    label_lines,
    mark_whole_numbers,
    percent,
    shorten_name,
)

if TYPE_CHECKING:
    from pipeline.plots.figures import Axes
    from pipeline.training.head_training import HeadTrainingReport


def plot_training(plots: PlotFolder, report: "HeadTrainingReport") -> None:
    """Plot how a head was trained.

    Args:
        plots: Where to write.
        report: With the scores of every epoch, if it was fine-tuned.

    Raises:
        OSError: If a file cannot be written.
    """
    if report.epochs:
        plot_epochs(plots, report)
    elif report.manifest.recipe["f1_by_strength"]:
        plot_regularization(plots, report)
    else:
        plots.omitted.append(
            "no plot of the training: the last layer alone was fitted, and all clips are of one source, so no "
            "cross-validation chose its regularization"
        )


def plot_epochs(plots: PlotFolder, report: "HeadTrainingReport") -> None:
    """Plot loss, learning rate and scores by epoch of a fine-tuning (A2D challenge report, figure 3)."""
    manifest, epochs = report.manifest, report.epochs
    splits = list(epochs[0].scores)
    title = f"Training of the {shorten_name(manifest.actor)} head"
    subtitle = (
        f"{shorten_name(manifest.backbone)}, recipe {manifest.recipe['name']}, tuning {manifest.tuned}, seed "
        f"{manifest.seed}, on {shorten_name(manifest.data['name'])}; sample-averaged scores of single frames; "
        f"dotted: F1 of always {shorten_name(manifest.data['commonest_label'])}"
    )
    numbers = [report.epoch for report in epochs]
    size = (4.2 + 3.6 * len(splits), 4.4)
    with plots.figure(f"training_{manifest.actor}", title, subtitle, size) as figure:
        grid = figure.add_gridspec(2, 1 + len(splits), height_ratios=[2, 1])
        loss = figure.add_subplot(grid[0, 0])
        rate = figure.add_subplot(grid[1, 0], sharex=loss)
        loss.plot(numbers, [report.loss for report in epochs], color=BLUE, marker="o", markersize=4, gid="loss")
        loss.set_title("training loss")
        loss.set_ylim(0, 1.1 * max(report.loss for report in epochs))
        loss.tick_params(labelbottom=False)
        rate.plot(numbers, [report.learning_rate for report in epochs], color=GREY, drawstyle="steps-mid", gid="rate")
        rate.set_title("learning rate")
        rate.set_ylim(0, 1.2 * max(report.learning_rate for report in epochs))
        rate.yaxis.set_major_formatter(lambda value, _: f"{value:g}")  # without an exponent in the title's place
        panels = [figure.add_subplot(grid[:, 1 + index]) for index in range(len(splits))]
        for panel, split in zip(panels, splits, strict=True):
            _plot_scores(panel, report, split)
        for panel in (rate, *panels):
            panel.set_xlabel("epoch")
            panel.set_xlim(0.5, len(epochs) + 0.5)
            mark_whole_numbers(panel.xaxis)


def _plot_scores(panel: "Axes", report: "HeadTrainingReport", split: str) -> None:
    scores = [epoch.scores[split] for epoch in report.epochs]
    curves = {
        "P": [score.precision for score in scores],
        "R": [score.recall for score in scores],
        "F1": [score.f1 for score in scores],
    }
    numbers = [epoch.epoch for epoch in report.epochs]
    for name, values in curves.items():
        width, colour = (2.2 if name == "F1" else 1.4), SCORE_COLOURS[name]
        panel.plot(numbers, values, color=colour, linewidth=width, marker="o", markersize=3, gid=f"{split}-{name}")
    use = "trained on" if split == report.manifest.data["split"] else "held out"
    panel.set_title(f"{shorten_name(split)}: {report.manifest.scores[split]['images']:,} frames, {use}")
    panel.set_ylim(0, 1)
    panel.yaxis.set_major_formatter(percent)
    always = report.manifest.scores[split]["constant_f1"]
    panel.axhline(always, color=GREY, linewidth=0.9, linestyle=(0, (1, 1.5)))
    labels = [(values[-1], f"{name} {100 * values[-1]:.1f}", SCORE_COLOURS[name]) for name, values in curves.items()]
    label_lines(panel, [*labels, (always, f"always {100 * always:.1f}", GREY)])


def plot_regularization(plots: PlotFolder, report: "HeadTrainingReport") -> None:
    """Plot the cross-validated F1 by regularization strength, of which the best was chosen."""
    manifest = report.manifest
    recipe = manifest.recipe
    strengths = np.array([float(strength) for strength in recipe["f1_by_strength"]])
    f1 = np.array(list(recipe["f1_by_strength"].values()))
    title = f"Regularization of the {shorten_name(manifest.actor)} head"
    data = manifest.data
    subtitle = (
        f"sample-averaged F1 of the {data['samples']:,} samples that show it, cross-validated by source; "
        f"{shorten_name(data['name'])}, split {shorten_name(data['split'])}"
    )
    with plots.figure(f"training_{manifest.actor}", title, subtitle, (6.4, 3.8)) as figure:
        panel = figure.subplots()
        panel.plot(strengths, f1, color=BLUE, marker="o", gid="regularization")
        for strength, value in zip(strengths, f1, strict=True):
            is_chosen = strength == recipe["strength"]
            text = f"{100 * value:.1f}" + (", chosen" if is_chosen else "")
            panel.annotate(
                *(text, (strength, value), (0, 9)),
                textcoords="offset points",
                ha="center",
                weight="bold" if is_chosen else "normal",
                color=ORANGE if is_chosen else BLACK,
            )
        panel.set_xscale("log")
        panel.set_xlim(strengths.min() / 1.6, strengths.max() * 1.6)
        panel.set_xticks(strengths, [f"{strength:g}" for strength in strengths], minor=False)
        panel.minorticks_off()
        panel.set_ylim(f1.min() - 0.02, f1.max() + 0.03)
        panel.yaxis.set_major_formatter(percent)
        panel.set_xlabel("C, the inverse strength of the regularization")
        panel.set_ylabel("F1 out of fold")
