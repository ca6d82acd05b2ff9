"""Download all third-party weights that can be named, for a machine without network: copy the folder there."""

import argparse
import os
from pathlib import Path

from common.units import format_size
from pipeline.commands import console

EPILOG = "exit code: 0 all files exist and are verified, 1 some downloads failed (the other files exist)"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument(
        "--to", type=Path, metavar="DIR", help="the weights folder (default: ACTOR_ACTION_WEIGHTS or the user's cache)"
    )


def run(arguments: argparse.Namespace) -> int:
    """Download what is missing, verify what exists, and print a table."""
    from tabulate import tabulate

    from common.downloads import KNOWN_WEIGHTS, check_download, download
    from common.errors import DownloadError
    from common.paths import weights_folder

    if arguments.to:
        os.environ["ACTOR_ACTION_WEIGHTS"] = str(arguments.to)
    rows, complete = [], True
    for name, weights in KNOWN_WEIGHTS.items():
        status = "exists" if weights.path.is_file() else "downloaded"
        try:
            check_download(weights) if weights.path.is_file() else download(weights)
        except DownloadError as reason:
            console.print_error(f"error: {reason}")
            status, complete = "failed", False
        rows.append([name, weights.file_name, format_size(weights.size), weights.sha256, status])
    print(tabulate(rows, headers=["name", "file", "size", "sha256", ""], disable_numparse=True))
    print(f"\nthe weights folder is {weights_folder()}")
    return console.DONE if complete else console.SOME_FAILED
