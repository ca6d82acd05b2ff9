"""Write the report of a results folder: one HTML file with every verdict, its reasons, and pictures."""

import argparse
import json
from pathlib import Path

from common.errors import UserError
from inference.runtime import AUTO
from pipeline.commands import console
from pipeline.commands.arguments import add_taxonomy_argument
from pipeline.config import TaggerConfig

DEFAULT_NAME = "report.html"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("folder", type=Path, metavar="RESULTS_DIR", help="what `tag --out` has written")
    parser.add_argument("--out", type=Path, metavar="FILE", help=f"the report (default: {DEFAULT_NAME} in that folder)")
    add_taxonomy_argument(parser)


def run(arguments: argparse.Namespace) -> int:
    """Write the report, and print where it is."""
    from a2d.taxonomy import load_taxonomy
    from pipeline.pages.report import write_report
    from pipeline.results_reader import read_results

    results = read_results(arguments.folder)
    taxonomy = load_taxonomy(arguments.taxonomy)
    unknown = sorted({name for result in results for name in result.actors} - set(taxonomy.actor_names))
    if unknown:
        raise UserError(
            f"{arguments.folder}: the results have actors that the taxonomy has not: {', '.join(unknown)}; "
            "give the --taxonomy with which the clips were tagged"
        )
    written = write_report(
        arguments.out or arguments.folder / DEFAULT_NAME,
        results,
        taxonomy,
        _label_threshold(arguments.folder),
        console.progress_bar,
    )
    console.print_result(str(written))
    return console.DONE


def _label_threshold(folder: Path) -> float | None:
    """Return the label threshold of the run, or the default one if its settings are not there."""
    try:
        threshold = json.loads((folder / "run.json").read_text(encoding="utf-8"))["settings"]["label_threshold"]
        return None if threshold == AUTO else float(threshold)
    except (OSError, ValueError, KeyError, TypeError):
        return TaggerConfig.label_threshold
