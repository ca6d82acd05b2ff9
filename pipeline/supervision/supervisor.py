"""Watches over the worker process of a run: a clip that makes it crash or hang costs this clip, not the run.

Which of the clips in progress is to blame cannot be known, so each of them gets a strike and is tried again, alone.
"""

import logging
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from queue import Empty
from typing import TYPE_CHECKING, Self

from common.errors import UserError
from pipeline.supervision.in_order import OnWait
from pipeline.supervision.messages import (
    Alive,
    Annotated,
    Failed,
    Message,
    Preparing,
    Ready,
    Refused,
    Started,
    Tagged,
    Task,
    Warned,
)
from pipeline.supervision.process import WorkerProcess
from pipeline.supervision.watch import TICK_SECONDS, Watch

if TYPE_CHECKING:
    from pipeline.results import Weights
    from video.remote_clips import AnyClip

MAX_DEATHS = 3  # of the process with the same clip: the system may have killed it for what another program did
MAX_OTHER_LOSSES = 2  # a clip that hangs or fails among others is tried once more, and then its turn is exact
MAX_TASKS = 64  # sent ahead, so that the worker never waits; a batch of frames may contain this many tiny clips

TIMES = {1: "once", 2: "twice", 3: "three times"}

STALL_SECONDS = 600.0  # without a sign of life
STALL_SHARE = 0.5  # so much longer, as a share of the time with signs of life: what follows decoding may give none
PREPARATION_SECONDS = 3600.0  # for networks to be loaded, converted and quantized
IDLE_SECONDS = 60.0  # for a task to be started
READ_BYTES_PER_SECOND = 10e6  # a file is hashed before it is decoded, without a sign of life


class WorkerError(UserError):
    """The worker process cannot do its work, through no fault of a clip."""


@dataclass
class _Flight:
    """A task that is under way, and what happened to it.

    Attributes:
        task: With the result, once there is one.
        is_sent: Whether the present worker has it.
        is_started: Whether the present worker has begun to read the clip.
        is_done: Whether nothing more is to come.
        losses: How often a worker was lost while it worked on the clip.
        is_suspect: Whether it is worked on alone, since a worker was lost that may have been lost to it.
        events: What has not been yielded yet.
    """

    task: Task
    is_sent: bool = False
    is_started: bool = False
    is_done: bool = False
    losses: int = 0
    is_suspect: bool = False
    events: list[Tagged | Annotated] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Yield a result that is there already, too."""
        if self.task.result:
            self.add(Tagged(self.task.index, self.task.result))

    @property
    def is_flying(self) -> bool:
        """Whether the present worker is to report something about it."""
        return self.is_sent and not self.is_done

    def add(self, event: Tagged | Annotated) -> None:
        """Add what the worker reports."""
        self.events.append(event)
        if isinstance(event, Tagged):
            self.task = replace(self.task, result=event.result)
            self.is_done = self.task.copy is None or event.result.status == "error"
        else:
            self.is_done = True

    def give_up(self, reason: str, weights: "Weights") -> None:
        """End it without a result, or without an annotated copy."""
        from pipeline.results import ClipResult  # imports numpy, which must not delay the start of the worker

        if self.task.result:
            self.add(Annotated(self.task.index, reason))
        else:
            clip = str(self.task.clip)
            self.add(Tagged(self.task.index, ClipResult(clip, None, "error", f"{clip}: {reason}", weights)))


class Supervisor:
    """Keeps a worker process at work for a run; a context manager, which ends the process.

    Args:
        worker: The first one.
        timeout_seconds: How long one clip may take, and its annotated copy as long again, without the preparation of
            networks. By default, as long as it likes, while there are signs of life.
        tasks_ahead: How many tasks the worker has at a time.
        warned: What has been logged, which is not logged again; several supervisors may share it.

    Attributes:
        restarts: How often the worker was lost.
        on_wait: Not called: no task waits for another.
    """

    on_wait: OnWait | None = None

    def __init__(
        self,
        worker: WorkerProcess,
        timeout_seconds: float | None = None,
        tasks_ahead: int = MAX_TASKS,
        warned: set[Warned] | None = None,
    ) -> None:
        self.restarts = 0
        self._worker = worker
        self._timeout_seconds = timeout_seconds
        self._tasks_ahead = tasks_ahead
        self._watch = Watch(is_preparing=True)
        self._ready: Ready | None = None
        self._flights: deque[_Flight] = deque()
        self._has_sent_all = False
        self._has_result = False
        self._fruitless_losses = 0  # in succession, with no clip to blame
        self._warnings = set() if warned is None else warned
        self._is_closed = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self._is_closed = True
        self._worker.kill()

    def ready(self) -> Ready:
        """Wait until the worker has loaded the tagger.

        Raises:
            UserError: If it cannot.
        """
        while self._ready is None:
            self._advance()
        return self._ready

    def run(self, tasks: Iterable[Task | None]) -> Iterator[Tagged | Annotated]:
        """Work on tasks, once.

        Args:
            tasks: Numbered from 0; consumed somewhat ahead. The result of one that has it already is yielded again.
                None says that there is none at present, while others are under way.

        Yields:
            For every task in order one result, and then, if it asks for an annotated copy and its clip can be read,
            whether there is one.

        Raises:
            UserError: If the worker cannot go on through no fault of a clip.
        """
        source = iter(tasks)
        self.ready()
        while True:
            self._send_tasks(source)
            if not self._flights:
                return
            if not self._flights[0].events:
                self._advance()
            while self._flights:
                first = self._flights[0]
                yield from first.events
                first.events.clear()
                if not first.is_done:
                    break
                self._flights.popleft()

    def _send_tasks(self, source: Iterator[Task | None]) -> None:
        """Send as many tasks as possible, and that there are no more, if so."""
        for flight in self._flights:
            if not self._send(flight):
                return
        while len(self._flights) < self._tasks_ahead:
            try:
                task = next(source)
            except StopIteration:
                if not self._has_sent_all:
                    self._has_sent_all = True
                    self._worker.send(None)
                return
            if task is None:
                return
            self._flights.append(_Flight(task))
            self._send(self._flights[-1])

    def _send(self, flight: _Flight) -> bool:
        """Send a task, unless it is under way already; return whether others may follow now."""
        if flight.is_done or flight.is_sent:
            return not (flight.is_flying and flight.is_suspect)
        if flight.is_suspect and any(other.is_flying for other in self._flights):
            return False
        self._worker.send(flight.task)
        flight.is_sent = True
        return not flight.is_suspect

    def _advance(self) -> None:
        """Wait a moment for a message, and deal with it."""
        try:
            message = self._worker.receive(TICK_SECONDS)
        except Empty:
            pass
        else:
            if message is None:
                self._lose(f"the decoding process {self._worker.wait()}", MAX_DEATHS)
                return
            self._deal_with(message)
        self._watch.tick()
        if reason := self._overdue():
            self._lose(reason, MAX_OTHER_LOSSES)

    def _deal_with(self, message: Message) -> None:
        """Take note of a message."""
        match message:
            case Started() | Tagged() | Annotated():
                self._note_progress(message)
            case Ready():
                if self._ready and (message.weights, message.settings) != (self._ready.weights, self._ready.settings):
                    raise WorkerError("the weights or the gates have changed during the run; repeat the command")
                self._ready, self._watch = message, Watch()
            case Refused(reason):
                raise WorkerError(reason)
            case Failed(reason):
                self._lose(reason, MAX_OTHER_LOSSES)
            case Warned():
                self._warn(message)
            case Preparing(begins):
                self._watch.prepare(begins)
            case Alive():
                if self._timeout_seconds is None:
                    self._watch.beat()

    def _warn(self, message: Warned) -> None:
        """Log what the worker logs, but once: a new worker finds the same again."""
        if message not in self._warnings:
            self._warnings.add(message)
            logging.getLogger(__name__).log(message.level, "%s", message.text)

    def _note_progress(self, message: Started | Tagged | Annotated) -> None:
        """Take note of a message about a clip."""
        flight = self._flights[message.index - self._flights[0].task.index]
        if isinstance(message, Started):
            flight.is_started = True
        else:
            flight.add(message)
            self._has_result = True
            self._fruitless_losses = 0
        if flight is self._first_flying() or not isinstance(message, Started):
            self._watch.start()

    def _first_flying(self) -> _Flight | None:
        """Return the flight whose turn it is: the worker finishes its tasks in order."""
        return next((flight for flight in self._flights if flight.is_flying), None)

    def _overdue(self) -> str:
        """Describe what takes too long; empty if nothing does."""
        watch, flight = self._watch, self._first_flying()
        if watch.is_preparing:
            is_overdue = watch.preparing_seconds > PREPARATION_SECONDS
            return f"a network is not ready after {PREPARATION_SECONDS:g} s" if is_overdue else ""
        if flight is None:
            return ""
        if not flight.is_started:
            limit = max(IDLE_SECONDS, self._timeout_seconds or 0)
            return f"the decoding process has done nothing for {limit:g} s" if watch.seconds > limit else ""
        if self._timeout_seconds is not None:
            is_overdue = watch.seconds > self._timeout_seconds
            return f"no result within {self._timeout_seconds:g} s (--timeout)" if is_overdue else ""
        reading = _size(flight.task.clip) / READ_BYTES_PER_SECOND
        limit = STALL_SECONDS + STALL_SHARE * watch.alive_seconds + reading
        return f"no progress for {limit:.0f} s" if watch.seconds > limit else ""

    def _lose(self, reason: str, max_losses: int) -> None:
        """End the worker, count what it was working on, and start another one.

        Args:
            reason: Why it is lost.
            max_losses: How often it may be lost to one clip, or in succession before there is any result.

        Raises:
            WorkerError: If it has been lost so often with no clip to blame.
        """
        self._worker.kill()
        blamed = [flight for flight in self._flights if flight.is_flying and flight.is_started]
        if not blamed or (self._watch.is_preparing and not self._has_result):
            self._fruitless_losses += 1
            if self._fruitless_losses >= max_losses:
                raise WorkerError(f"{reason} while it loaded the networks, {TIMES[max_losses]}; no clip is to blame")
            # One of them may have been read ahead meanwhile, and be to blame all the same: alone, that shows.
            for flight in blamed:
                flight.is_suspect = True
            blamed = []
        for flight in blamed:
            flight.losses += 1
            flight.is_suspect = True
            if flight.losses >= max_losses:
                assert self._ready
                flight.give_up(f"{reason}, {TIMES[flight.losses]}", self._ready.weights)
        self._restart()

    def _restart(self) -> None:
        self._check_is_open()  # the worker may be lost because the run was given up
        for flight in self._flights:
            flight.is_sent = flight.is_started = False
        self.restarts += 1
        self._has_sent_all = False
        setup = self._worker.setup
        self._worker = WorkerProcess(replace(setup, demo=None) if self._ready else setup)
        if self._is_closed:  # meanwhile, so that only the worker before was ended
            self._worker.kill()
        self._check_is_open()
        self._watch = Watch(is_preparing=True)

    def _check_is_open(self) -> None:
        """Raise if another thread has given up the run."""
        if self._is_closed:
            raise WorkerError("the run has ended")


def _size(clip: "AnyClip") -> int:
    """Return the size of a file in bytes; 0 if it cannot be determined, or is that of a file in a store."""
    try:
        return clip.stat().st_size if isinstance(clip, Path) else 0
    except OSError:
        return 0
