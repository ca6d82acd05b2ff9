# PYTHON_ARGCOMPLETE_OK
"""The command line: `actor-action COMMAND …`, which is the same as `python -m pipeline COMMAND …`."""

import argparse
import os
import sys
from collections.abc import Sequence
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import NoReturn, Protocol, cast

from common.errors import UserError
from common.system import use_threads
from pipeline import __version__
from pipeline.commands.config_file import add_config_argument, expand_config
from pipeline.commands.console import run_guarded
from pipeline.commands.terminal import paint_for

COMMANDS = {
    "tag": "tag videos: who does what in each, and why",
    "report": "write a report of a results folder to look at in a browser",
    "export": "write the results of a folder for other tools: FiftyOne, Label Studio, CVAT, COCO, ELAN, …",
    "label": "label clips by keys, in a page that is served to this machine alone",
    "tune-thresholds": "tune the gates: the share of a video's frames from which an actor counts as present",
    "retrain-head": "train one actor's action head, or all; no other head changes",
    "retrain-confirmation": "train the layers that confirm the detector's boxes",
    "train-rival": "train another system of the A2D challenge, by name, to be scored and to tag with --system",
    "score-split": "score the whole pipeline on a labelled split, with trivial baselines for comparison",
    "add-actor": "add an actor: train its head and find its gate; nothing else changes",
    "retrain-detector": "train an actor detector from unlabelled images and the pseudo-labels of trained detectors",
    "distil-trunk": "train a ResNet-34 trunk to reproduce the features of EfficientNet-Lite0 on unlabelled images",
    "export-trunk": "write a trunk file from a backbone's ImageNet weights",
    "download-weights": "download all third-party weights that can be named, for a machine without network",
    "doctor": "examine the installation: versions, devices, weights, folders, a short benchmark",
    "manifest": "record a file in the manifest of what the project ships",
}
"""What each command does, in one line; its module is the one of the same name in `pipeline.commands`."""


class Command(Protocol):
    """A module in `pipeline.commands`; its docstring's first line describes it."""

    __doc__: str | None

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Declare the arguments."""

    def run(self, arguments: argparse.Namespace) -> int:
        """Run the command and return its exit code."""


class Parser(argparse.ArgumentParser):
    """A parser whose errors look like those of the commands."""

    def error(self, message: str) -> NoReturn:
        """Print usage and an error, and end the process."""
        super().error(paint_for(sys.stderr)(message, "bad"))


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command that the first argument names.

    Args:
        argv: The arguments; None selects the process's own.

    Returns:
        The exit code.
    """
    argv = sys.argv[1:] if argv is None else argv
    if "_ARGCOMPLETE" in os.environ:
        import argcomplete

        argcomplete.autocomplete(build_parser(complete=True))
    if argv and argv[0] in COMMANDS:
        return run_command(argv[0], argv[1:], f"{_program()} {argv[0]}")
    build_parser().parse_args(argv)  # ends the process: help, the version, or an error
    return 0


def run_command(name: str, argv: Sequence[str] | None = None, prog: str | None = None) -> int:
    """Run one command, as the scripts at the project's root do.

    Args:
        name: One of `COMMANDS`.
        argv: Its arguments; None selects the process's own.
        prog: The program's name in usage messages; None selects that of the script.

    Returns:
        The exit code.
    """
    parser = Parser(prog=prog)
    try:
        add_command(parser, name)
    except UserError as reason:  # of an environment variable that says the default
        parser.error(str(reason))
    if "_ARGCOMPLETE" in os.environ:
        import argcomplete

        argcomplete.autocomplete(parser)
    return run_guarded(partial(_run, name, _parse(parser, sys.argv[1:] if argv is None else argv)))


def _parse(parser: argparse.ArgumentParser, argv: Sequence[str]) -> argparse.Namespace:
    try:
        return parser.parse_args(expand_config(parser, argv))
    except UserError as reason:
        parser.error(str(reason))


def _run(name: str, arguments: argparse.Namespace) -> int:
    use_threads(getattr(arguments, "threads", None))  # before any library is loaded that has threads
    return _load(name).run(arguments)


def build_parser(complete: bool = False) -> argparse.ArgumentParser:
    """Build the parser of the whole command line.

    Args:
        complete: Whether to load every command's arguments, which shell completion needs.
    """
    parser = Parser(prog=_program(), description="Tag videos: who does what in each, and why.")
    parser.add_argument("--version", action="version", version=f"actor-action {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for name, description in COMMANDS.items():
        subparser = commands.add_parser(name, help=description)
        if complete:
            add_command(subparser, name)
    return parser


def add_command(parser: argparse.ArgumentParser, name: str) -> None:
    """Add the description and the arguments of a command to a parser."""
    command = _load(name)
    parser.description = (command.__doc__ or "").partition("\n")[0]
    parser.epilog = getattr(command, "EPILOG", None)
    parser.add_argument("--version", action="version", version=f"actor-action {__version__}")
    add_config_argument(parser)
    command.add_arguments(parser)


def _load(name: str) -> Command:
    return cast(Command, import_module(f"pipeline.commands.{name.replace('-', '_')}"))


def _program() -> str:
    return "python -m pipeline" if Path(sys.argv[0]).name == "__main__.py" else "actor-action"


if __name__ == "__main__":
    sys.exit(main())
