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
        self._waiting: dict[int, dict[type, tuple[Event, bool]]] = {}
        self._turn = 0
        self._yielded = set[type]()  # of the task whose turn it is

    def add(self, event: Event, *, is_last: bool) -> Iterator[Event]:
        """Add an event, and yield those whose turn it is; one that came before is left out.

        Args:
            event: Those of a task come in their order.
            is_last: Whether nothing more comes of its task.
        """
        if event.index < self._turn or (event.index == self._turn and type(event) in self._yielded):
            return
        self._waiting.setdefault(event.index, {}).setdefault(type(event), (event, is_last))
        while due := self._waiting.pop(self._turn, None):
            self._yielded |= due.keys()
            yield from (one for one, _ in due.values())
            if not any(is_last for _, is_last in due.values()):
                return
            self._turn += 1
            self._yielded.clear()
