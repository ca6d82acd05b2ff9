"""How every command starts and ends: exit codes, one line for what the user did wrong, results and progress bars."""

import io
import logging
import os
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TypeVar

from common.errors import UserError
from common.system import return_large_allocations

T = TypeVar("T")

DONE, SOME_FAILED, WRONG_USAGE = 0, 1, 2
INTERRUPTED, BROKEN_PIPE = 130, 141  # as shells report the signals SIGINT and SIGPIPE


def run_guarded(command: Callable[[], int]) -> int:
    """Run a command so that a user's mistake ends in one line and exit code 2, without a traceback.

    Args:
        command: Does the work and returns the exit code.

    Returns:
        The exit code.
    """
    return_large_allocations()
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s: %(message)s", stream=sys.stderr)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a terminal that lacks a character is no reason to stop
    try:
        return command()
    except BrokenPipeError:
        # Whoever read our output has had enough; Python would complain again when it flushes at the end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return BROKEN_PIPE
    except UserError as reason:
        return _report_error(str(reason))
    except OSError as reason:
        return _report_error(f"{reason.filename}: {reason.strerror}" if reason.filename else str(reason))
    except KeyboardInterrupt:
        print("interrupted; everything written so far is complete", file=sys.stderr)
        return INTERRUPTED


def make_folder(folder: Path) -> None:
    """Create the folder for results, so that one that cannot be written is known before the work is done.

    Raises:
        OSError: If it cannot be created.
    """
    folder.mkdir(parents=True, exist_ok=True)


def print_result(text: str) -> None:
    """Print a result immediately, on a line of its own even while a progress bar is shown."""
    from tqdm import tqdm

    tqdm.write(text, file=sys.stdout)
    sys.stdout.flush()


def progress_bar(items: Iterable[T], description: str, unit: str, total: int | None = None) -> Iterable[T]:
    """Show progress with rate and time left on stderr; silent where stderr is no terminal.

    Args:
        items: What is iterated over.
        description: What is being done.
        unit: What one item is called.
        total: How many items there are, if they have no length.
    """
    from tqdm import tqdm

    return tqdm(items, desc=description, unit=unit, total=total, disable=None, file=sys.stderr)


def _report_error(reason: str) -> int:
    print(f"error: {reason}", file=sys.stderr)
    return WRONG_USAGE
