"""Tune the gates: from which share of a video's frames an actor counts as present."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from pipeline.commands import console as cli
from pipeline.training.gate_tuning import tune_on_data
from thresholds.tuning import SearchSettings


def build_parser() -> argparse.ArgumentParser:
    """Describe the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="A2D, its course layout, or a CSV file,labels,split")
    parser.add_argument("--split", default="train", help="tune on this split (default: train)")
    parser.add_argument("--held-out", metavar="SPLIT", help="report on this one too (default: val or test)")
    parser.add_argument("--out", type=Path, required=True, metavar="FILE", help="the gates' YAML file")
    defaults = SearchSettings()
    search = parser.add_argument_group("search; the defaults are the published settings")
    search.add_argument("--objective", choices=["prf", "precision", "f1"], default="prf", help="default: prf, −P·R·F1")
    search.add_argument(
        "--optimizer", choices=["spso2011", "gbest"], default=defaults.optimizer, help="default: %(default)s"
    )
    search.add_argument("--particles", type=cli.positive, default=defaults.particles, help="default: %(default)s")
    search.add_argument(
        "--iterations", type=cli.positive, default=defaults.iterations, help="of each run (default: %(default)s)"
    )
    search.add_argument(
        "--runs", type=cli.positive, default=defaults.runs, help="of which the best counts (default: %(default)s)"
    )
    search.add_argument(
        "--bounds",
        type=cli.fraction,
        nargs=2,
        default=defaults.bounds,
        metavar=("LOW", "HIGH"),
        help="of every gate (default: 0.1 0.4)",
    )
    cli.add_detector_arguments(parser)
    cli.add_run_arguments(parser)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Tune, print the comparison, write the file."""
    arguments = build_parser().parse_args(argv)
    cli.make_folder(arguments.out.parent)
    settings = SearchSettings(
        arguments.optimizer,
        arguments.particles,
        arguments.iterations,
        arguments.runs,
        (arguments.bounds[0], arguments.bounds[1]),
        arguments.seed,
    )
    report = tune_on_data(
        cli.config_from(arguments),
        arguments.data,
        arguments.split,
        arguments.held_out,
        arguments.objective,
        settings,
        lambda clips: cli.progress_bar(clips, "detecting", "clip"),
    )
    print(report.table())
    for warning in report.warnings():
        print(f"warning: {warning}", file=sys.stderr)
    gates = report.save(arguments.out)
    print(f"\nwrote {arguments.out} (sha256 {gates.sha256}) for {gates.detector}")
    return cli.DONE


if __name__ == "__main__":
    sys.exit(cli.run(main))
