"""The other end of a worker process: starts it, exchanges messages with it, and ends it."""

import pickle
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from queue import SimpleQueue
from threading import Thread
from typing import BinaryIO

from pipeline.supervision.messages import START_OF_MESSAGES, Message, Setup, Task

BOOT = (
    "import os, pickle, sys; tasks = os.fdopen(os.dup(0), 'rb'); sys.path[:] = pickle.load(tasks); "
    "from pipeline.supervision.worker import main; main(tasks)"
)
"""What the worker's interpreter runs: it finds the modules that this one finds, whatever program this one runs."""

END_SECONDS = 10.0  # for the system to remove a process
ENDING_SIGNALS = ("SIGINT", "SIGTERM", "SIGHUP")  # of which only the process that was started by a person takes notice

Content = Task | Setup | list[str] | None


class WorkerProcess:
    """A process that runs `pipeline.supervision.worker`, shares no memory with this one, and ends with it.

    A pipe in each direction exists on every system, and unlike multiprocessing's "spawn", Popen does not import this
    process's program again, which may be a notebook or a script from a pipe.

    Args:
        setup: What it loads, beginning at once.
    """

    def __init__(self, setup: Setup) -> None:
        self.setup = setup
        options = ["-X", f"utf8={sys.flags.utf8_mode}", *(f"-W{option}" for option in sys.warnoptions)]
        with _signals_held_back():  # a signal for both, such as Ctrl-C, must not end an interpreter that just starts
            self._process = subprocess.Popen(
                [sys.executable, *options, "-c", BOOT], stdin=subprocess.PIPE, stdout=subprocess.PIPE
            )
        assert self._process.stdin
        assert self._process.stdout
        self._outgoing: SimpleQueue[Content] = SimpleQueue()
        self._incoming: SimpleQueue[Message | None] = SimpleQueue()
        # A process that hangs reads nothing, so that only threads of their own may wait for it.
        for function, stream, queue in (
            (_send_all, self._process.stdin, self._outgoing),
            (_receive_all, self._process.stdout, self._incoming),
        ):
            Thread(target=function, args=(stream, queue), name=function.__name__, daemon=True).start()
        self.send(sys.path)
        self.send(setup)

    def send(self, content: Content) -> None:
        """Send a task without waiting; None after the last one."""
        self._outgoing.put(content)

    def receive(self, timeout_seconds: float) -> Message | None:
        """Wait for a message.

        Returns:
            The next message; None if the process has ended.

        Raises:
            queue.Empty: If there is none in time.
        """
        return self._incoming.get(timeout=timeout_seconds)

    def wait(self) -> str:
        """Wait for a process that ends by itself, and describe how it did."""
        try:
            return _describe_exit(self._process.wait(END_SECONDS))
        except subprocess.TimeoutExpired:
            self.kill()
            return "stopped answering"

    def kill(self) -> None:
        """End the process, whatever it is doing."""
        self._process.kill()
        self._outgoing.put(None)  # wakes the thread, so that it finds the pipe closed
        with suppress(subprocess.TimeoutExpired):  # one that waits for a disk that is gone cannot be ended
            self._process.wait(END_SECONDS)


def _send_all(stream: BinaryIO, queue: "SimpleQueue[Content]") -> None:
    with suppress(OSError):  # the process has ended, as the other thread will find
        while True:
            stream.write(pickle.dumps(queue.get()))
            stream.flush()


def _receive_all(stream: BinaryIO, queue: "SimpleQueue[Message | None]") -> None:
    with stream:
        while (line := stream.readline()) and line != START_OF_MESSAGES:
            pass
        try:
            while True:
                queue.put(pickle.load(stream))
        except (EOFError, OSError, pickle.UnpicklingError):  # it has ended, perhaps in the middle of a message
            queue.put(None)


def _describe_exit(code: int) -> str:
    """Describe how a process ended.

    >>> _describe_exit(-11)
    'died with signal 11 (SIGSEGV)'
    >>> _describe_exit(3)
    'ended with exit code 3'
    """
    if code >= 0:
        return f"ended with exit code {code}"
    try:
        name = signal.Signals(-code).name
    except ValueError:  # a real-time signal
        name = "unnamed"
    return f"died with signal {-code} ({name})"


@contextmanager
def _signals_held_back() -> Iterator[None]:
    """Hold signals back until the end; a process that is started meanwhile holds them back until it releases them."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [getattr(signal, name) for name in ENDING_SIGNALS])
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
