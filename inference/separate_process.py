"""Running a function in a process of its own, so that the libraries it loads do not stay in this one's memory.

PyTorch and Ultralytics, which the conversion of a network needs, take some 700 MB.
"""

import os
import pickle
import signal
import subprocess
import sys
from collections.abc import Callable
from typing import TypeVar

from common.system import end_with_parent

T = TypeVar("T")

START = """
import pickle, sys
sys.path[:] = pickle.load(sys.stdin.buffer)
from inference.separate_process import main
main()
"""


def run_separately(function: Callable[[], T]) -> T:
    """Run a function in a new process and return its result.

    Args:
        function: It and its result can be pickled; otherwise it runs in this process, as it does where no other process
            can be started.

    Raises:
        Exception: What the function raises.
    """
    try:
        content = pickle.dumps(sys.path) + pickle.dumps(function)
    except (pickle.PicklingError, AttributeError, TypeError):
        return function()
    try:
        done = subprocess.run([sys.executable, "-c", START], input=content, stdout=subprocess.PIPE, check=True)
        outcome: tuple[T, Exception | None] = pickle.loads(done.stdout)
    except (OSError, subprocess.CalledProcessError, pickle.UnpicklingError, EOFError):
        return function()
    result, error = outcome
    if error is not None:
        raise error
    return result


def main() -> None:
    """Run the function that was pickled to stdin, and pickle its result, or what it raises, to stdout."""
    end_with_parent()
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # the other process says that it was interrupted
    output = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # whatever libraries print
    outcome: tuple[object, Exception | None]
    try:
        outcome = pickle.load(sys.stdin.buffer)(), None
    except Exception as reason:
        outcome = None, reason
    with output:
        output.write(pickle.dumps(outcome))
