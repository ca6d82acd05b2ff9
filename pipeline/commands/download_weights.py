"""Download all weights of others that a name stands for, for a machine without network: copy the folder there."""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from pipeline.commands import console as cli


def build_parser() -> argparse.ArgumentParser:
    """Describe the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        epilog="exit code: 0 all files are there and checked, 1 some could not be had (the others are there)",
    )
    parser.add_argument(
        "--to", type=Path, metavar="DIR", help="the weights folder (default: ACTOR_ACTION_WEIGHTS or the user's cache)"
    )
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Fetch what is missing, check what is there, and print a table."""
    arguments = build_parser().parse_args(argv)
    from tabulate import tabulate

    from common.downloads import KNOWN_WEIGHTS, check_download, download
    from common.errors import DownloadError
    from common.paths import weights_folder

    if arguments.to:
        os.environ["ACTOR_ACTION_WEIGHTS"] = str(arguments.to)
    rows, complete = [], True
    for name, weights in KNOWN_WEIGHTS.items():
        status = "there" if weights.path.is_file() else "downloaded"
        try:
            check_download(weights) if weights.path.is_file() else download(weights)
        except DownloadError as reason:
            print(f"error: {reason}", file=sys.stderr)
            status, complete = "failed", False
        rows.append([name, weights.file_name, f"{weights.size / 1e6:.1f} MB", weights.sha256, status])
    print(tabulate(rows, headers=["name", "file", "size", "sha256", ""], disable_numparse=True))
    print(f"\nthe weights folder is {weights_folder()}")
    return cli.DONE if complete else cli.SOME_FAILED


if __name__ == "__main__":
    sys.exit(cli.run(main))
