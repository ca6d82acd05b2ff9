"""Functions that are called in processes of their own: what ends one of them does not end the others."""

import logging
import pickle
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from itertools import count
from queue import Empty, SimpleQueue
from threading import Lock, Thread
from typing import Any, TypeVar

from common.system import Share
from pipeline.config import TaggerConfig
from pipeline.supervision.messages import Failed, Refused, Returned, Setup, Warned
from pipeline.supervision.process import WorkerProcess

T = TypeVar("T")
WAIT_SECONDS = 60.0  # for a message, of which there are none while a function computes


@dataclass(frozen=True)
class Outcome:
    """What came of a call.

    Attributes:
        value: What the function returned; None if it failed.
        error: Why it failed, one line; empty if it did not.
        warnings: What it logged, level and text.
    """

    value: Any = None
    error: str = ""
    warnings: tuple[tuple[int, str], ...] = ()


def call_setup(function: Callable[[T], object], argument: T) -> Setup:
    """Return the setup of a process that calls a function of a module, whose argument and value can be pickled."""
    return Setup(TaggerConfig(), call=pickle.dumps((function, argument)))


def call(setup: Setup) -> Outcome:
    """Call the function of a setup in a process of its own, and wait for it."""
    with ExitStack() as ends:
        process = WorkerProcess(setup)
        ends.callback(process.kill)
        return _wait(process)


def call_all(setups: Sequence[Setup], shares: Sequence[Share]) -> Iterator[tuple[int, Outcome]]:
    """Call the functions of setups, each in a process of its own, as many at a time as there are shares.

    Args:
        setups: What to call.
        shares: Of the machine.

    Yields:
        The place of a setup, and what came of it, as soon as it is known.
    """
    reports: SimpleQueue[tuple[int, Outcome]] = SimpleQueue()
    places, lock = count(), Lock()
    running: dict[int, WorkerProcess] = {}
    is_over = False

    def work(share: Share) -> None:
        while True:
            with lock:
                place = next(places)
                if is_over or place >= len(setups):
                    return
                running[place] = process = WorkerProcess(replace(setups[place], share=share))
            outcome = _wait(process)
            process.kill()
            with lock:
                del running[place]
            reports.put((place, outcome))

    try:
        for share in shares:
            Thread(target=work, args=(share,), name="calls", daemon=True).start()
        for _ in setups:
            place, outcome = reports.get()
            yield place, log_warnings(outcome)
    finally:
        with lock:
            is_over = True
            for process in running.values():
                process.kill()


def log_warnings(outcome: Outcome) -> Outcome:
    """Log what a call logged, and return its outcome."""
    for level, text in outcome.warnings:
        logging.getLogger(__name__).log(level, "%s", text)
    return outcome


def _wait(process: WorkerProcess) -> Outcome:
    warnings: dict[tuple[int, str], None] = {}
    while True:
        try:
            message = process.receive(WAIT_SECONDS)
        except Empty:
            continue
        match message:
            case Warned(level, text):
                warnings[level, text] = None
            case Returned(value):
                return Outcome(value, warnings=tuple(warnings))
            case Refused(reason) | Failed(reason):
                return Outcome(error=reason, warnings=tuple(warnings))
            case None:
                return Outcome(error=f"its process {process.wait()}", warnings=tuple(warnings))
