"""What has the tasks of a run done: one worker process, several, or those of a cluster."""

from collections.abc import Iterable, Iterator
from typing import Protocol, Self

from pipeline.supervision.in_order import OnWait
from pipeline.supervision.messages import Annotated, Ready, Tagged, Task


class Workforce(Protocol):
    """A context manager, which ends the workers: `Supervisor`, `Crew` or `RayCrew`.

    Attributes:
        on_wait: See `InOrder`; a single worker does its tasks in order.
    """

    on_wait: OnWait | None

    @property
    def restarts(self) -> int:
        """How often a worker of this machine was lost."""

    def __enter__(self) -> Self: ...

    def __exit__(self, *exception: object) -> None: ...

    def ready(self) -> Ready:
        """Wait until the tagger is loaded.

        Raises:
            UserError: If it cannot be.
        """

    def run(self, tasks: Iterable[Task]) -> Iterator[Tagged | Annotated]:
        """Work on tasks, numbered from 0.

        Yields:
            For every task in order one result, and then, if it asks for an annotated copy and its clip can be read,
            whether there is one.

        Raises:
            UserError: If the work cannot go on through no fault of a clip.
        """
