"""The tasks of a run in the memory of a Ray cluster, where its workers find those of each block by its number.

So the process that drives the run keeps no more of a clip than a few bytes.
"""

import pickle
import zlib
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

from pipeline.supervision.messages import Task

CHUNK = 4_096  # tasks that are stored together: their paths resemble each other, and take a few bytes each
CHUNKS_KEPT = 2  # by a worker, which works on one block after another


class TaskStore:
    """Stores tasks, chunk by chunk.

    Args:
        put: Stores bytes, and returns a reference to them: `ray.put`.
    """

    def __init__(self, put: Callable[[bytes], Any]) -> None:
        self._put = put
        self._count = 0
        self._waiting: list[Task] = []
        self._chunks: list[Any] = []

    def __len__(self) -> int:
        """Return how many tasks were added."""
        return self._count

    def add(self, task: Task) -> None:
        """Add the next task."""
        self._count += 1
        self._waiting.append(task)
        if len(self._waiting) == CHUNK:
            self._store()

    def close(self) -> list[Any]:
        """Return the references to all chunks, after the last task."""
        if self._waiting:
            self._store()
        return self._chunks

    def _store(self) -> None:
        self._chunks.append(self._put(zlib.compress(pickle.dumps(self._waiting), level=1)))
        self._waiting = []


class TaskBlocks:
    """The blocks of stored tasks.

    Args:
        chunks: The references to all chunks.
        ends: The number of tasks up to the end of each block.
        get: Returns the bytes of a reference: `ray.get`.
    """

    def __init__(self, chunks: Sequence[Any], ends: Sequence[int], get: Callable[[Any], bytes]) -> None:
        self._chunks, self._ends, self._get = chunks, ends, get
        self._load = lru_cache(CHUNKS_KEPT)(self._load_chunk)

    def __getitem__(self, number: int) -> list[Task]:
        """Return the tasks of a block."""
        start, end = self._ends[number - 1] if number else 0, self._ends[number]
        found: list[Task] = []
        for chunk in range(start // CHUNK, (end - 1) // CHUNK + 1):
            first = chunk * CHUNK
            found += self._load(chunk)[max(0, start - first) : end - first]
        return found

    def _load_chunk(self, number: int) -> list[Task]:
        tasks: list[Task] = pickle.loads(zlib.decompress(self._get(self._chunks[number])))
        return tasks
