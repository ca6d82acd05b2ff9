"""The tasks of several callers for one worker, which never waits for the next caller's while it has one's."""

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from queue import Empty, SimpleQueue
from threading import Thread
from typing import NamedTuple

from pipeline.supervision.in_order import Event
from pipeline.supervision.messages import Task
from pipeline.supervision.supervisor import Supervisor


class Report(NamedTuple):
    """What comes of a task.

    Attributes:
        event: With the index that the task was given with.
        is_last: Whether nothing more comes of the task.
    """

    event: Event
    is_last: bool


def do_in_turn(supervisor: Supervisor, tasks: Iterable[Task | None]) -> Iterator[Report]:
    """Have a supervisor do tasks of any indices, in the order in which they come.

    Args:
        supervisor: Has nothing else to do.
        tasks: See `Supervisor.run`.

    Raises:
        UserError: If the worker cannot go on through no fault of a clip.
    """
    taken = deque[Task]()

    def number() -> Iterator[Task | None]:
        place = 0
        for task in tasks:
            if task is None:
                yield None
            else:
                taken.append(task)
                yield replace(task, index=place)
                place += 1

    for event in supervisor.run(number()):
        task = taken[0]
        is_last = task.ends_with(event)
        if is_last:
            taken.popleft()
        yield Report(replace(event, index=task.index), is_last)


class Feed:
    """Gives a supervisor the tasks of several callers, each in a thread of its own, one caller's after another's.

    Args:
        supervisor: Has nothing else to do.
    """

    def __init__(self, supervisor: Supervisor) -> None:
        self._supervisor = supervisor
        self._given: SimpleQueue[tuple[Task, _Caller]] = SimpleQueue()
        self._callers = deque[_Caller]()  # of the tasks that are under way
        Thread(target=self._work, name="feed", daemon=True).start()

    def run(self, tasks: Sequence[Task]) -> Iterator[Report]:
        """Have tasks done, after those that others have given before.

        Raises:
            UserError: If the worker cannot go on through no fault of a clip.
        """
        reports: _Caller = SimpleQueue()
        for task in tasks:
            self._given.put((task, reports))
        left = len(tasks)
        while left:
            report = reports.get()
            if isinstance(report, BaseException):
                raise report
            left -= report.is_last
            yield report

    def _work(self) -> None:
        """Do what is given, in a thread of its own; once that is impossible, say so to whoever gives something."""
        try:
            for report in do_in_turn(self._supervisor, self._take()):
                self._callers[0].put(report)
                if report.is_last:
                    self._callers.popleft()
        except BaseException as error:  # for the threads that wait
            for caller in self._callers:
                caller.put(error)
            while True:
                self._given.get()[1].put(error)

    def _take(self) -> Iterator[Task | None]:
        """Yield what is given; waits for it only if nothing is under way."""
        while True:
            try:
                task, caller = self._given.get(block=not self._callers)
            except Empty:
                yield None
            else:
                self._callers.append(caller)
                yield task


_Caller = SimpleQueue[Report | BaseException]
