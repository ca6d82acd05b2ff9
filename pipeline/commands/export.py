"""Write the results of a folder in the format of another tool."""

import argparse
import sys
from pathlib import Path

from pipeline.commands import console
from pipeline.commands.arguments import add_taxonomy_argument
from pipeline.exports.formats import FORMATS, default_path, write_export


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    described = "; ".join(f"{name}: {form.description}" for name, form in FORMATS.items())
    parser.add_argument("folder", type=Path, metavar="RESULTS_DIR", help="what `tag --out` has written")
    parser.add_argument("--to", required=True, choices=list(FORMATS), help=f"the format ({described})")
    parser.add_argument(
        "--out", type=Path, metavar="PATH", help="a file, or a new folder (default: export-FORMAT in that folder)"
    )
    add_taxonomy_argument(parser)


def run(arguments: argparse.Namespace) -> int:
    """Write the export, and print where it is."""
    from a2d.taxonomy import load_taxonomy
    from pipeline.results_reader import open_results

    out = arguments.out or default_path(arguments.folder, arguments.to)
    with open_results(arguments.folder) as results:
        rows = console.progress_bar(results, "exporting", "clip", len(results))
        export = write_export(rows, arguments.to, out, load_taxonomy(arguments.taxonomy))
    if export.failed:
        print(f"left out: {_clips(export.failed)} that could not be read when tagged", file=sys.stderr)
    if export.without_size:
        print(
            f"without boxes: {_clips(export.without_size)} of which the size of the frames is not known, because they "
            "cannot be read where they were tagged, or have changed",
            file=sys.stderr,
        )
    console.print_result(f"wrote {out} ({_clips(export.written)})")
    return console.DONE


def _clips(count: int) -> str:
    return f"{count} clip{'s'[: count != 1]}"
