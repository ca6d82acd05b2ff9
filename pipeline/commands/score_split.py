"""Score the whole pipeline on a labelled split, with trivial answers beside it."""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from pipeline.commands import console as cli


def build_parser() -> argparse.ArgumentParser:
    """Describe the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        epilog="exit code: 0 all samples scored, 1 some clip could not be read to its end, 2 wrong usage",
    )
    parser.add_argument("--data", type=Path, required=True, help="A2D, its course layout, or a CSV file,labels,split")
    parser.add_argument("--split", default="test", help="score this split (default: test)")
    parser.add_argument(
        "--baseline-split", metavar="SPLIT", help="where the commonest labels are counted (default: train)"
    )
    parser.add_argument(
        "--near",
        type=cli.seconds,
        metavar="SECONDS",
        help="gate labelled frames by the frames so near to them (default: by their whole clip, as published)",
    )
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="write scores.json and scores.txt there")
    cli.add_tagger_arguments(parser)
    cli.add_run_arguments(parser)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Score, print the tables, write the files."""
    arguments = build_parser().parse_args(argv)
    from common.files import write_atomically
    from pipeline.evaluation.split_scoring import score_split
    from pipeline.tagger import ActorActionTagger

    cli.make_folder(arguments.out)
    tagger = ActorActionTagger.from_config(cli.config_from(arguments))
    print(tagger.describe_weights(), file=sys.stderr)
    report = score_split(
        tagger,
        arguments.data,
        arguments.split,
        arguments.baseline_split,
        lambda clips: cli.progress_bar(clips, "scoring", "clip"),
        arguments.near,
    )
    print(report.table())
    for failure in report.failures:
        print(f"warning: {failure}", file=sys.stderr)
    write_atomically(arguments.out / "scores.json", json.dumps(report.to_dict(), indent=2) + "\n")
    write_atomically(arguments.out / "scores.txt", report.table() + "\n")
    return cli.SOME_FAILED if report.failures else cli.DONE


if __name__ == "__main__":
    sys.exit(cli.run(main))
