"""Record a file in the manifest of what the project ships, or update its entry."""

import argparse
from pathlib import Path

from pipeline.commands import console
from pipeline.commands.argument_types import seed


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("file", type=Path, metavar="FILE", help="the file to record, below models/")
    parser.add_argument("--made-by", required=True, metavar="COMMAND", help="the command that made it")
    parser.add_argument("--data", required=True, metavar="TEXT", help="what it was made from, in short")
    parser.add_argument("--seed", type=seed, required=True, help="of that command")
    parser.add_argument("--source", default="", metavar="TEXT", help="licence, and what it derives from")
    parser.add_argument("--manifest", type=Path, metavar="FILE", help="default: models/manifest.yaml")


def run(arguments: argparse.Namespace) -> int:
    """Record the file."""
    from pipeline.manifest import MANIFEST_FILE, load_manifest

    manifest = load_manifest(arguments.manifest or MANIFEST_FILE).record(
        arguments.file,
        made_by=arguments.made_by,
        data=arguments.data,
        seed=arguments.seed,
        source=arguments.source,
    )
    manifest.save()
    name = manifest.listed(arguments.file)
    console.print_result(f"recorded {name} in {manifest.file}: sha256 {manifest.entries[str(name)].sha256}")
    return console.DONE
