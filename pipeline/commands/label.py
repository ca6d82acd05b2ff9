"""Label clips by keys, in a page that is served to this machine alone."""

import argparse
import sys
from pathlib import Path

from common.errors import UserError
from pipeline.commands import console
from pipeline.commands.arguments import add_taxonomy_argument

MAX_PORT = 65535


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument(
        "list",
        type=Path,
        metavar="CSV",
        help="clips with the columns file, labels and split, such as `tag --queue` writes; it is changed as you go",
    )
    parser.add_argument(
        "--split", default="train", help="the split that a clip gets once it is labelled (default: %(default)s)"
    )
    parser.add_argument(
        "--port", type=_port, default=0, help="of the loopback interface (default: 0, which selects a free one)"
    )
    add_taxonomy_argument(parser)


def _port(text: str) -> int:
    number = int(text)
    if not 0 <= number <= MAX_PORT:
        raise argparse.ArgumentTypeError(f"{text} was given, 0 to {MAX_PORT} is allowed")
    return number


def run(arguments: argparse.Namespace) -> int:
    """Serve the page until Ctrl-C."""
    from a2d.taxonomy import load_taxonomy
    from pipeline.label_list import LabelList
    from pipeline.pages.label_server import LabelServer

    labels = LabelList.read(arguments.list, load_taxonomy(arguments.taxonomy))
    try:
        server = LabelServer(labels, arguments.split, arguments.port)
    except OSError as reason:
        raise UserError(f"port {arguments.port}: {reason.strerror}; give another --port") from None
    with server:
        try:
            console.print_result(server.url)
            print("open this address in a browser on this machine; Ctrl-C ends, and all is saved", file=sys.stderr)
            server.serve_forever()
        except KeyboardInterrupt:
            done = sum(labels.is_done(index) for index in range(len(labels.rows)))
            print(f"{done} of {len(labels.rows)} clips are labelled in {arguments.list}", file=sys.stderr)
    return console.DONE
