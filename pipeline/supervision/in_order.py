"""What comes of tasks that are done at the same time, in the order of the tasks."""

import pickle
from collections.abc import Callable, Iterator
from io import SEEK_END
from tempfile import TemporaryFile
from time import monotonic
from typing import IO

from pipeline.supervision.messages import Annotated, Tagged

Event = Tagged | Annotated
OnWait = Callable[[int, int, float], None]
"""Called with the task that the others wait for, how many are done after it, and for how many seconds they wait."""
PATIENCE_SECONDS = 60.0
IN_MEMORY = 1_000
"""Events that wait in memory; further ones wait on disk: one clip may hold up hours of work of a thousand machines."""


class InOrder:
    """Holds events back until it is their task's turn.

    Args:
        in_memory: How many may wait in memory.
        on_wait: Called once for each task that others wait for longer than `PATIENCE_SECONDS`.

    >>> from pipeline.results import ClipResult
    >>> events = [Tagged(index, ClipResult(f"{index}.mp4", None, "ok", None, None)) for index in (1, 0)]
    >>> order = InOrder()
    >>> [[event.index for event in order.add(event, is_last=True)] for event in events]
    [[], [0, 1]]
    """

    def __init__(self, in_memory: int = IN_MEMORY, on_wait: OnWait | None = None) -> None:
        self._waiting: dict[int, dict[type, _Kept]] = {}
        self._store = _Store(in_memory)
        self._on_wait = on_wait
        self._turn, self._turn_since = 0, monotonic()
        self._yielded = set[type]()  # of the task whose turn it is

    @property
    def turn(self) -> int:
        """The task whose turn it is."""
        return self._turn

    def __len__(self) -> int:
        """Return how many tasks wait for their turn."""
        return len(self._waiting)

    def add(self, event: Event, *, is_last: bool) -> Iterator[Event]:
        """Add an event, and yield those whose turn it is; one that came before is left out.

        Args:
            event: Those of a task come in their order.
            is_last: Whether nothing more comes of its task.
        """
        if event.index < self._turn or (event.index == self._turn and type(event) in self._yielded):
            return
        of_task = self._waiting.setdefault(event.index, {})
        if type(event) not in of_task:
            of_task[type(event)] = self._store.put((event, is_last))
        while due := self._waiting.pop(self._turn, None):
            self._yielded |= due.keys()
            pairs = [self._store.take(kept) for kept in due.values()]
            yield from (one for one, _ in pairs)
            if not any(last for _, last in pairs):
                return
            self._turn, self._turn_since = self._turn + 1, monotonic()
            self._yielded.clear()
        waited = monotonic() - self._turn_since
        if self._on_wait and self._waiting and waited > PATIENCE_SECONDS:
            self._turn_since = float("inf")  # it is said once
            self._on_wait(self._turn, len(self._waiting), waited)


_Pair = tuple[Event, bool]
_Kept = _Pair | int
"""Itself, or its place in the file."""


class _Store:
    """Keeps some pairs in memory, and the others in a file without a name."""

    def __init__(self, in_memory: int) -> None:
        self._free = in_memory
        self._on_disk = 0
        self._file: IO[bytes] | None = None

    def put(self, pair: _Pair) -> _Kept:
        if self._free:
            self._free -= 1
            return pair
        if self._file is None:
            self._file = TemporaryFile()  # noqa: SIM115  (it ends with this object)
        self._on_disk += 1
        place = self._file.seek(0, SEEK_END)
        pickle.dump(pair, self._file)
        return place

    def take(self, kept: _Kept) -> _Pair:
        if not isinstance(kept, int):
            self._free += 1
            return kept
        assert self._file
        self._file.seek(kept)
        pair: _Pair = pickle.load(self._file)
        self._on_disk -= 1
        if not self._on_disk:
            self._file.truncate(0)
        return pair
