"""Interleaved timing of candidates that do the same work, each in a process of its own.

Separate processes keep threads, caches and memory of one candidate from affecting another; interleaved rounds expose
all of them to the same noise of the machine.
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
    """One of the implementations that are compared.

    Attributes:
        prepare: Called in the candidate's process; returns the function that is timed. Must be picklable.
        arguments: Keyword arguments of `prepare`.
    """

    prepare: Callable[..., Callable[[], object]]
    arguments: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Timing:
    """Measurements of one candidate.

    Attributes:
        seconds: Of each round.
        peak_bytes: Peak resident memory of its process.
    """

    seconds: list[float]
    peak_bytes: int

    @property
    def median(self) -> float:
        """Median over the rounds, in seconds."""
        return statistics.median(self.seconds)


def time_interleaved(candidates: Mapping[str, Candidate], repeats: int) -> dict[str, Timing]:
    """Time candidates in turn, after a warm-up round in which they compile and fill caches.

    Args:
        candidates: By name.
        repeats: Number of timed rounds, from 1.

    Returns:
        The measurements by name.

    Raises:
        RuntimeError: If a candidate fails.
    """
    context = multiprocessing.get_context("spawn")
    workers: dict[str, tuple[Any, Connection]] = {}
    try:
        for name, candidate in candidates.items():
            connection, worker_connection = context.Pipe()
            process = context.Process(target=_work, args=(worker_connection, candidate), daemon=True)
            process.start()
            worker_connection.close()
            workers[name] = (process, connection)
            _run_once(name, connection)
        seconds: dict[str, list[float]] = {name: [] for name in candidates}
        peaks: dict[str, int] = {}
        for _ in range(repeats):
            for name, (_, connection) in workers.items():
                elapsed, peaks[name] = _run_once(name, connection)
                seconds[name].append(elapsed)
        return {name: Timing(seconds[name], peaks[name]) for name in candidates}
    finally:
        for process, connection in workers.values():
            connection.close()
            process.join()


def _run_once(name: str, connection: Connection) -> tuple[float, int]:
    """Run a candidate once, and return its time in seconds and the peak memory of its process in bytes."""
    try:
        connection.send(None)
        seconds, peak = connection.recv()
    except (EOFError, OSError):
        raise RuntimeError(f"{name}: failed, see above") from None
    return seconds, peak


def _work(connection: Connection, candidate: Candidate) -> None:
    """Run a candidate once per message, until the connection is closed."""
    run = candidate.prepare(**candidate.arguments)
    while True:
        try:
            connection.recv()
        except EOFError:
            return
        started = time.perf_counter()
        run()
        connection.send((time.perf_counter() - started, peak_bytes("self")))
