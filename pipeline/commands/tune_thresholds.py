"""Tune the gates: the share of a video's frames from which an actor counts as present."""

import argparse
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from common.units import format_size
from pipeline.commands import console
from pipeline.commands.argument_types import fraction, positive
from pipeline.commands.arguments import (
    add_data_arguments,
    add_detector_arguments,
    add_held_out_argument,
    add_plots_argument,
    add_run_arguments,
    add_strict_argument,
    config_from,
)
from pipeline.commands.engine_arguments import add_engine_arguments, detection_ahead, report_restarts
from thresholds.tuning import SearchSettings

if TYPE_CHECKING:
    from pipeline.training.tuning_report import TuningReport

EPILOG = "exit code: 0 all clips used, 1 some clip was skipped (the gates are written), 2 wrong usage"

BOUNDS = (0.01, 0.5)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    add_data_arguments(parser, "train", "tune on")
    add_held_out_argument(parser)
    add_strict_argument(parser)
    parser.add_argument("--out", type=Path, required=True, metavar="FILE", help="the gate file (YAML) to write")
    parser.add_argument(
        "--explore", type=Path, metavar="FILE", help="also write a page (HTML) on which to turn the gates by hand"
    )
    add_plots_argument(parser)
    parser.add_argument(
        "--start",
        type=Path,
        metavar="FILE",
        help="a gate file; an actor that no clip shows, or that every clip shows, keeps its gate there, because the "
        "clips do not determine one (default: the detector's own gates, or the published ones)",
    )
    group = parser.add_argument_group("search; the defaults are the published settings")
    group.add_argument("--objective", choices=["prf", "precision", "f1"], default="prf", help="default: prf, −P·R·F1")
    group.add_argument(
        "--optimizer",
        choices=["spso2011", "gbest", "exact"],
        default=SearchSettings.optimizer,
        help="default: %(default)s",
    )
    group.add_argument("--particles", type=positive, default=SearchSettings.particles, help="default: %(default)s")
    group.add_argument(
        "--iterations", type=positive, default=SearchSettings.iterations, help="of each run (default: %(default)s)"
    )
    group.add_argument(
        "--runs", type=positive, default=SearchSettings.runs, help="the best of which counts (default: %(default)s)"
    )
    low, high = SearchSettings.bounds
    group.add_argument(
        "--bounds",
        type=fraction,
        nargs=2,
        metavar=("LOW", "HIGH"),
        help=f"of every gate (default: {BOUNDS[0]:g} {BOUNDS[1]:g}; published: {low:g} {high:g})",
    )
    group = parser.add_argument_group("gates that hold on clips of other sources")
    group.add_argument(
        "--method",
        choices=["auto", "common", "shrunk", "bagged", "tuned"],
        help="tuned: best on all clips, as published; bagged: the average over resamples of the sources; common: one "
        "gate for all actors; shrunk: between the two; auto: the one that is best on sources that it was not given "
        "(default: auto)",
    )
    group.add_argument(
        "--image-sizes", type=positive, nargs="+", default=(), metavar="PIXELS", help="choose the image size from these"
    )
    group.add_argument(
        "--confidences", type=fraction, nargs="+", default=(), metavar="C", help="choose the confidence from these"
    )
    add_engine_arguments(parser, "detect")
    add_detector_arguments(parser)
    add_run_arguments(parser)


def run(arguments: argparse.Namespace) -> int:
    """Tune, print the comparison, write the file."""
    from pipeline.training.gate_tuning import TuningSplits, tune_on_data
    from pipeline.training.operating_points import GateSearch

    console.make_folder(arguments.out.parent)
    if arguments.explore:
        console.make_folder(arguments.explore.parent)
    if arguments.plots:
        console.make_folder(arguments.plots)
    bounds = arguments.bounds or (SearchSettings.bounds if arguments.published else BOUNDS)
    method = arguments.method or ("tuned" if arguments.published else "auto")
    settings = SearchSettings(
        optimizer=arguments.optimizer,
        particles=arguments.particles,
        iterations=arguments.iterations,
        runs=arguments.runs,
        bounds=(bounds[0], bounds[1]),
        seed=arguments.seed,
    )
    search = GateSearch(arguments.objective, settings, method, arguments.image_sizes, arguments.confidences)
    splits = TuningSplits(arguments.split, arguments.held_out, arguments.start, arguments.strict)
    with detection_ahead(arguments) as ahead:
        report = tune_on_data(config_from(arguments), arguments.data, splits, search, console.progress_bar, ahead)
    report_restarts(ahead.restarts)
    if len(report.points) > 1:
        print(f"{report.operating_points()}\n")
    print(report.table())
    for warning in report.warnings():
        console.print_warning(f"warning: {warning}")
    gates = report.save(arguments.out)
    print(f"\nwrote {arguments.out} (sha256 {gates.sha256}) for {gates.detector}")
    if arguments.explore:
        _write_explorer(arguments.explore, report)
    if arguments.plots:
        from pipeline.plots.figures import PlotFolder
        from pipeline.plots.gates import plot_tuning

        plots = PlotFolder(arguments.plots)
        plot_tuning(plots, report, search)
        console.report_plots(plots)
    return console.report_skipped(report.skipped)


def _write_explorer(path: Path, report: "TuningReport") -> None:
    from pipeline.pages.gate_explorer import ExplorerPoint, write_explorer
    from thresholds.gates import load_gates

    points = [
        ExplorerPoint(point.table, replace(report.gates, values=point.stable.values, detector=point.detector.identity))
        for point in report.points
    ]
    others = {row.name: row.gates for row in report.rows if row.gates.tolist() != report.gates.values.tolist()}
    published = load_gates()
    if set(published.actors) == set(report.gates.actors):
        others["published"] = published.in_order(report.gates.actors).values
    size = write_explorer(path, points, others)
    print(f"wrote {path} ({format_size(size)})")
