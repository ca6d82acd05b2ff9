"""Several worker processes for one run, each with its share of the cores and a supervisor of its own."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace
from queue import SimpleQueue
from threading import Lock, Thread
from typing import Self

from common.errors import UserError
from common.system import Share
from pipeline.supervision.feed import Report, do_in_turn
from pipeline.supervision.in_order import Event, InOrder, OnWait
from pipeline.supervision.messages import Ready, Setup, Task, Warned
from pipeline.supervision.process import WorkerProcess
from pipeline.supervision.supervisor import Supervisor

TASKS_AHEAD = 4  # of each worker: enough that it never waits, and few enough that none is left with many at the end


class Crew:
    """Has the tasks of a run done by several workers: as one `Supervisor` does, and with the same results, but sooner.

    A task goes to the worker that first has time for it. A clip that makes its worker crash or hang costs the others
    nothing. A context manager, which ends the workers.

    Args:
        setup: What each worker loads.
        shares: Of the machine, one for each worker.
        timeout_seconds: As for `Supervisor`.

    Attributes:
        on_wait: See `InOrder`.
    """

    def __init__(
        self,
        setup: Setup,
        shares: Sequence[Share],
        timeout_seconds: float | None = None,
    ) -> None:
        self.on_wait: OnWait | None = None
        warned: set[Warned] = set()
        self._supervisors = [
            Supervisor(WorkerProcess(replace(setup, share=share)), timeout_seconds, TASKS_AHEAD, warned)
            for share in shares
        ]

    @property
    def restarts(self) -> int:
        """How often a worker was lost."""
        return sum(supervisor.restarts for supervisor in self._supervisors)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        with ExitStack() as members:
            for supervisor in self._supervisors:
                members.push(supervisor)

    def ready(self) -> Ready:
        """Wait until all workers have loaded the tagger.

        Raises:
            UserError: If one cannot, or what they have loaded is not the same.
        """
        first, *others = [supervisor.ready() for supervisor in self._supervisors]
        if any((other.weights, other.settings) != (first.weights, first.settings) for other in others):
            raise UserError("the weights or the gates have changed while they were loaded; repeat the command")
        return first

    def run(self, tasks: Iterable[Task]) -> Iterator[Event]:
        """Work on tasks.

        Args:
            tasks: Their indices count from 0.

        Yields:
            As `Supervisor.run`, in the order of the tasks; what is done before its turn waits.

        Raises:
            UserError: If a worker cannot go on through no fault of a clip.
        """
        self.ready()
        source = _Source(tasks)
        reports: _Reports = SimpleQueue()
        for supervisor in self._supervisors:
            Thread(target=_work, args=(supervisor, source, reports), name="crew", daemon=True).start()
        order, at_work = InOrder(on_wait=self.on_wait), len(self._supervisors)
        while at_work:
            report = reports.get()
            if isinstance(report, BaseException):
                raise report
            if report is None:
                at_work -= 1
            else:
                yield from order.add(report.event, is_last=report.is_last)


_Reports = SimpleQueue[Report | BaseException | None]
"""What comes of tasks, or why the run cannot go on; None from each worker that has nothing more to do."""


class _Source:
    """The tasks of a run, which several threads take one by one."""

    def __init__(self, tasks: Iterable[Task]) -> None:
        self._tasks = iter(tasks)
        self._lock = Lock()

    def take(self) -> Task | None:
        """Return the next task; None after the last one."""
        with self._lock:
            return next(self._tasks, None)


def _work(supervisor: Supervisor, source: _Source, reports: _Reports) -> None:
    """Have a worker do one task after the other, and report what it does; a thread of the run."""
    try:
        for report in do_in_turn(supervisor, iter(source.take, None)):
            reports.put(report)
    except BaseException as error:  # for the thread that waits
        reports.put(error)
    else:
        reports.put(None)
