"""The argument that chooses another system of the challenge."""

import argparse

from pipeline.known_systems import SYSTEMS_FOLDER
from rivals.registry import NAMES


def add_system_argument(parser: argparse.ArgumentParser) -> None:
    """Add the system that tags instead of the two stages."""
    parser.add_argument(
        "--system",
        metavar="NAME|FILE",
        help="use another system of the challenge instead of the two stages, as train-rival trained it: "
        f"{', '.join(NAMES)} (looked for in {SYSTEMS_FOLDER}), or its file",
    )
