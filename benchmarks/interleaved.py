"""Timing ways to do the same, each in a process of its own, one after the other, again and again.

So no way finds the threads, caches or memory of another in its process, and noise of the machine meets all alike.
"""

import multiprocessing
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from typing import Any

from benchmarks.commands import peak_bytes


@dataclass(frozen=True)
class Candidate:
    """One way to do what is timed.

    Attributes:
        make: Prepares it in its own process, and gives what is timed; a function of a module, with its arguments.
        arguments: Of `make`, by name.
    """

    make: Callable[..., Callable[[], object]]
    arguments: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Timing:
    """How long a way took.

    Attributes:
        seconds: Of each repeat.
        peak_bytes: Most memory that its process ever had resident.
    """

    seconds: list[float]
    peak_bytes: int

    @property
    def median(self) -> float:
        """The median, in seconds."""
        return statistics.median(self.seconds)


def time_interleaved(ways: Mapping[str, Candidate], repeats: int) -> dict[str, Timing]:
    """Time ways in turn, after a first round that is not counted, in which they compile and fill caches.

    Args:
        ways: By name.
        repeats: Rounds that count, from 1.

    Raises:
        RuntimeError: If a way fails.
    """
    context = multiprocessing.get_context("spawn")
    workers: dict[str, tuple[Any, Connection]] = {}
    try:
        for name, way in ways.items():
            ours, theirs = context.Pipe()
            process = context.Process(target=_work, args=(theirs, way), daemon=True)
            process.start()
            theirs.close()
            workers[name] = (process, ours)
            _ask(name, ours)
        seconds: dict[str, list[float]] = {name: [] for name in ways}
        peaks: dict[str, int] = {}
        for _ in range(repeats):
            for name, (_, connection) in workers.items():
                taken, peaks[name] = _ask(name, connection)
                seconds[name].append(taken)
        return {name: Timing(seconds[name], peaks[name]) for name in ways}
    finally:
        for process, connection in workers.values():
            connection.close()
            process.join()


def _ask(name: str, connection: Connection) -> tuple[float, int]:
    """Let a way run once."""
    try:
        connection.send(None)
        seconds, peak = connection.recv()
    except (EOFError, OSError):
        raise RuntimeError(f"{name}: failed, see above") from None
    return seconds, peak


def _work(connection: Connection, way: Candidate) -> None:
    run = way.make(**way.arguments)
    while True:
        try:
            connection.recv()
        except EOFError:
            return
        started = time.perf_counter()
        run()
        connection.send((time.perf_counter() - started, peak_bytes("self")))
