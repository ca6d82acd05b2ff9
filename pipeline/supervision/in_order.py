"""What comes of tasks that are done at the same time, in the order of the tasks."""

from collections.abc import Iterator

from pipeline.supervision.messages import Annotated, Tagged

Event = Tagged | Annotated


class InOrder:
    """Holds events back until it is their task's turn.

    >>> from pipeline.results import ClipResult
    >>> events = [Tagged(index, ClipResult(f"{index}.mp4", None, "ok", None, None)) for index in (1, 0)]
    >>> order = InOrder()
    >>> [[event.index for event in order.add(event, is_last=True)] for event in events]
    [[], [0, 1]]
    """

    def __init__(self) -> None:
        self._waiting: dict[int, list[tuple[Event, bool]]] = {}
        self._turn = 0

    def add(self, event: Event, *, is_last: bool) -> Iterator[Event]:
        """Add an event, and yield those whose turn it is.

        Args:
            event: Those of a task come in their order.
            is_last: Whether nothing more comes of its task.
        """
        self._waiting.setdefault(event.index, []).append((event, is_last))
        while due := self._waiting.pop(self._turn, None):
            yield from (one for one, _ in due)
            if not due[-1][1]:
                return
            self._turn += 1
