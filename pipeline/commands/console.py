"""How every command starts and ends: exit codes, one line for what the user did wrong, results and progress bars."""

import io
import logging
import os
import signal
import sys
import tempfile
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from common.errors import UserError
from common.styles import Paint, Style
from common.system import return_large_allocations
from pipeline.commands.terminal import paint_for

T = TypeVar("T")

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

    from pipeline.plots.figures import PlotFolder

DONE, SOME_FAILED, WRONG_USAGE = 0, 1, 2
INTERRUPTED, BROKEN_PIPE, TERMINATED = 130, 141, 143  # as shells report the signals SIGINT, SIGPIPE and SIGTERM


class OutputError(Exception):
    """Results cannot be printed, for another reason than that nobody reads them."""


class Terminated(KeyboardInterrupt):
    """Another program asked this one to end."""


def run_guarded(command: Callable[[], int]) -> int:
    """Run a command so that a user's mistake ends in one line and exit code 2, without a traceback.

    Args:
        command: Does the work and returns the exit code.

    Returns:
        The exit code.
    """
    return_large_allocations()
    with _prepared_streams():
        handler = logging.StreamHandler(sys.stderr)
        handler.setFormatter(_PaintingFormatter("%(levelname)s: %(message)s"))
        logging.basicConfig(level=logging.WARNING, handlers=[handler])
        return _run_guarded(command)


def _run_guarded(command: Callable[[], int]) -> int:
    try:
        with _termination_raises():
            code = command()
            _flush_results()
            return code
    except BrokenPipeError:  # whoever read our output has had enough
        discard_results()
        return BROKEN_PIPE
    except OutputError as reason:
        discard_results()
        print_error(f"error: {reason}")
        return SOME_FAILED
    except UserError as reason:
        return _report_error(str(reason))
    except OSError as reason:
        return _report_error(f"{reason.filename}: {reason.strerror}" if reason.filename else str(reason))
    except Terminated:
        print_warning("terminated; everything written so far is complete")
        return TERMINATED
    except KeyboardInterrupt:
        print_warning("interrupted; everything written so far is complete")
        return INTERRUPTED


def make_folder(folder: Path) -> None:
    """Create the folder for results, so that one that cannot be written is known before the work is done.

    Raises:
        OSError: If it cannot be created, or no file can be created in it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as reason:  # which names the temporary file
        raise OSError(reason.errno, reason.strerror, str(folder)) from None


def result_paint() -> Paint:
    """Return how the parts of a result are painted that `print_result` prints."""
    return paint_for(sys.stdout)


def note_paint() -> Paint:
    """Return how the parts of a note are painted that `print_painted_note` prints."""
    return paint_for(sys.stderr)


def print_result(text: str) -> None:
    """Print a result immediately, on a line of its own even while a progress bar is shown.

    Args:
        text: Painted with `result_paint`, wherever it contains what may be any text.

    Raises:
        BrokenPipeError: If nobody reads it any longer.
        OutputError: If it cannot be printed for another reason, for example because a disk is full.
    """
    from tqdm import tqdm

    try:
        tqdm.write(text, file=sys.stdout)
        sys.stdout.flush()
    except BrokenPipeError:
        raise
    except OSError as reason:
        raise OutputError(f"the results cannot be printed: {reason.strerror}") from None


def print_note(text: str, style: Style = "plain") -> None:
    """Print a line about the run to stderr, on a line of its own even while a progress bar is shown."""
    print_painted_note(note_paint()(text, style))


def print_painted_note(text: str) -> None:
    """Print a text to stderr that was painted with `note_paint`, as `print_note` does."""
    from tqdm import tqdm

    tqdm.write(text, file=sys.stderr)


def report_plots(plots: "PlotFolder") -> None:
    """Print which plots were written, and on stderr why others were not."""
    for path in plots.written:
        if path.suffix == ".svg":
            print(f"wrote {path} and {path.with_suffix('.png').name}")
    for reason in plots.omitted:
        print(reason, file=sys.stderr)


def print_warning(text: str) -> None:
    """Print a line to stderr about what is not as it should be."""
    print(note_paint()(text, "warning"), file=sys.stderr)


def print_error(text: str) -> None:
    """Print a line to stderr about what makes a command fail."""
    print(note_paint()(text, "bad"), file=sys.stderr)


def report_skipped(reasons: Sequence[str]) -> int:
    """Print what was skipped on stderr, and return the exit code of a command whose result was written.

    Args:
        reasons: One line for each clip or image that could not be used.
    """
    for reason in reasons:
        print_warning(f"skipped: {reason}")
    if not reasons:
        return DONE
    print_warning(f"skipped {len(reasons)} in all; the result was written without them")
    return SOME_FAILED


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


class _PaintingFormatter(logging.Formatter):
    """Formats the messages of all modules like those of the commands."""

    def format(self, record: logging.LogRecord) -> str:
        return note_paint()(super().format(record), "bad" if record.levelno >= logging.ERROR else "warning")


def _report_error(reason: str) -> int:
    print_error(f"error: {reason}")
    return WRONG_USAGE


def _flush_results() -> None:
    """Flush stdout while a failure can still be reported."""
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        raise
    except OSError as reason:
        raise OutputError(f"the results cannot be printed: {reason.strerror}") from None


def discard_results() -> None:
    """Make stdout drop what it still holds, about which Python would complain at the end, and all that follows."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


@contextmanager
def _prepared_streams() -> Iterator[None]:
    """Make the standard streams accept whatever is printed, and stderr drop what cannot be written."""
    _open_closed_streams()
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # a terminal that lacks a character is no reason to stop
    stderr = sys.stderr
    if isinstance(stderr, io.TextIOWrapper):
        sys.stderr = _forgiving(stderr)
    try:
        yield
    finally:
        sys.stderr = stderr


def _open_closed_streams() -> None:
    """Open the standard streams that are closed to nothing, so that no other file is opened in their place."""
    for descriptor, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest number that is free, which is this one
            os.set_inheritable(descriptor, True)
        if getattr(sys, name) is None:
            setattr(sys, name, open(descriptor, "r" if descriptor == 0 else "w", encoding="utf-8", closefd=False))  # noqa: SIM115


class _ForgivingFile(io.FileIO):
    """A file that drops what cannot be written: messages that nobody reads are no reason to stop."""

    def write(self, content: "ReadableBuffer", /) -> int:
        try:
            return super().write(content) or 0
        except OSError:
            return memoryview(content).nbytes


def _forgiving(stream: io.TextIOWrapper) -> io.TextIOWrapper:
    """Return a stream to the same file that drops what cannot be written, and escapes what cannot be encoded."""
    try:
        raw = _ForgivingFile(stream.fileno(), "w", closefd=False)
    except OSError:  # no file, but what a program that calls this one has put in its place
        stream.reconfigure(errors="backslashreplace")
        return stream
    return io.TextIOWrapper(
        io.BufferedWriter(raw), encoding=stream.encoding, errors="backslashreplace", line_buffering=True
    )


@contextmanager
def _termination_raises() -> Iterator[None]:
    """Raise `Terminated` for the signals that ask a program to end, so that it ends in order; only for the first."""
    names = [name for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]
    signals = [getattr(signal, name) for name in names]
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def terminate(number: int, frame: object) -> None:
        signal.signal(number, signal.SIG_DFL)
        raise Terminated

    before = {number: signal.getsignal(number) for number in signals}
    for number, handler in before.items():
        if handler == signal.SIG_DFL:  # nohup ignores SIGHUP
            signal.signal(number, terminate)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
