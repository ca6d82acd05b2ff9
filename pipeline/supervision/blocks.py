"""How the tasks of a run are handed out to many workers: in blocks, which become smaller towards the end."""

from collections import deque
from collections.abc import Iterator
from typing import Generic, TypeVar

MAX_TASKS = 64
"""Of a block: enough that handing it out costs nothing beside the work, and few enough that losing one costs little."""
SHARES = 2
"""A block of the last ones is this part of a worker's share of what is left, so that all end at about the same time."""

T = TypeVar("T")


class Blocks(Generic[T]):
    """Divides tasks into blocks, in their order; how many tasks there are need not be known before the last one.

    Args:
        workers: How many will work on them, each on one block at a time.

    >>> blocks = Blocks[int](workers=2)
    >>> [blocks.add(task) for task in range(20)] == [None] * 20
    True
    >>> [len(block) for block in blocks.rest()]
    [5, 3, 3, 2, 1, 1, 1, 1, 1, 1, 1]
    """

    def __init__(self, workers: int) -> None:
        self._parts = SHARES * workers
        self._waiting = deque[T]()

    def add(self, task: T) -> list[T] | None:
        """Add a task; return a large block once enough tasks follow it for small ones."""
        self._waiting.append(task)
        if len(self._waiting) < MAX_TASKS * (self._parts + 1):
            return None
        return self._take(MAX_TASKS)

    def rest(self) -> Iterator[list[T]]:
        """Yield the blocks of the last tasks."""
        while self._waiting:
            yield self._take(min(MAX_TASKS, max(1, len(self._waiting) // self._parts)))

    def _take(self, count: int) -> list[T]:
        return [self._waiting.popleft() for _ in range(count)]
