"""Score the whole pipeline on a labelled split, with trivial baselines for comparison."""

import argparse
import json
import sys
from pathlib import Path

from pipeline.commands import console
from pipeline.commands.argument_types import seconds
from pipeline.commands.arguments import (
    add_data_arguments,
    add_plots_argument,
    add_run_arguments,
    add_strict_argument,
    add_tagger_arguments,
    config_from,
)
from pipeline.commands.engine_arguments import (
    LOCAL,
    add_engine_arguments,
    detection_ahead,
    report_restarts,
    uses_workers,
)
from pipeline.commands.system_argument import add_system_argument

EPILOG = "exit code: 0 all samples scored, 1 some clip was missing or could not be read to its end, 2 wrong usage"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    add_data_arguments(parser, "test", "score")
    add_strict_argument(parser)
    parser.add_argument(
        "--baseline-split", metavar="SPLIT", help="where the most common labels are counted (default: train)"
    )
    parser.add_argument(
        "--near",
        type=seconds,
        metavar="SECONDS",
        help="gate labelled frames by the frames at most so far away (default: by the whole clip, as published)",
    )
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="write scores.json and scores.txt there")
    add_plots_argument(parser)
    add_engine_arguments(parser, "detect")
    add_system_argument(parser)
    add_tagger_arguments(parser)
    add_run_arguments(parser)


def run(arguments: argparse.Namespace) -> int:
    """Score, print the tables, write the files."""
    from common.errors import UserError
    from common.files import write_atomically
    from pipeline.any_tagger import check_options
    from pipeline.evaluation.split_scoring import ScoredSplits, score_split
    from pipeline.rival_tagger import RivalTagger
    from pipeline.tagger import ActorActionTagger

    config = config_from(arguments)
    check_options(config, {"--published": arguments.published, "--near": arguments.near})
    if config.system and uses_workers(arguments):
        option = "--workers" if arguments.engine == LOCAL else f"--engine {arguments.engine}"
        raise UserError(f"{option} has others run the detector, which --system {config.system} lacks: leave it out")
    console.make_folder(arguments.out)
    if arguments.plots:
        console.make_folder(arguments.plots)
    tagger = RivalTagger.from_config(config) if config.system else ActorActionTagger.from_config(config)
    print(tagger.describe_weights(), file=sys.stderr)
    splits = ScoredSplits(arguments.data, arguments.split, arguments.baseline_split, arguments.near, arguments.strict)
    with detection_ahead(arguments) as ahead:
        report = score_split(tagger, splits, console.progress_bar, ahead)
    report_restarts(ahead.restarts)
    print(report.table())
    for warning in [*report.warnings(), *report.failures]:
        console.print_warning(f"warning: {warning}")
    write_atomically(arguments.out / "scores.json", json.dumps(report.to_dict(), indent=2) + "\n")
    write_atomically(arguments.out / "scores.txt", report.table() + "\n")
    if arguments.plots:
        from pipeline.plots.figures import PlotFolder
        from pipeline.plots.scores import plot_scores

        plots = PlotFolder(arguments.plots)
        plot_scores(plots, report)
        console.report_plots(plots)
    code = console.report_skipped(report.skipped)
    return console.SOME_FAILED if report.failures else code
