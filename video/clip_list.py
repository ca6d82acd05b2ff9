"""The clips of a run, each once: on disk, so that a million of them need no more memory than a few."""

import os
import pickle
import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path
from threading import Lock
from typing import overload

from video.remote_clips import AnyClip

READ_AT_ONCE = 1_000


class ClipList(Sequence[AnyClip]):
    """Clips in the order in which they were added; several threads may read them.

    They are in a database without a name, which SQLite keeps in memory while it is small, and which ends with this
    object.

    >>> clips = ClipList()
    >>> [clips.add(str(clip), clip) for clip in (Path("b.mp4"), Path("a.mp4"), Path("b.mp4"))]
    [True, True, False]
    >>> len(clips), clips[-1] == Path("a.mp4"), list(clips) == [Path("b.mp4"), Path("a.mp4")]
    (2, True, True)
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._database = sqlite3.connect("", check_same_thread=False)
        self._database.execute("CREATE TABLE clips (place INTEGER PRIMARY KEY, key BLOB UNIQUE, path BLOB, other BLOB)")
        self._count = 0

    def add(self, key: str, clip: AnyClip) -> bool:
        """Add a clip, unless one with the same key is there; return whether it was added."""
        path = os.fsencode(clip) if isinstance(clip, Path) else None
        other = pickle.dumps(clip) if path is None else None
        row = self._count, os.fsencode(key), path, other
        with self._lock:
            is_new = self._database.execute("INSERT OR IGNORE INTO clips VALUES (?, ?, ?, ?)", row).rowcount > 0
        self._count += is_new
        return is_new

    def __len__(self) -> int:
        return self._count

    @overload
    def __getitem__(self, index: int) -> AnyClip: ...

    @overload
    def __getitem__(self, index: slice) -> list[AnyClip]: ...

    def __getitem__(self, index: int | slice) -> AnyClip | list[AnyClip]:
        places = range(self._count)[index]
        if isinstance(places, int):
            return self._read(places, 1)[0]
        return [self._read(place, 1)[0] for place in places]

    def __iter__(self) -> Iterator[AnyClip]:
        for start in range(0, self._count, READ_AT_ONCE):
            yield from self._read(start, READ_AT_ONCE)

    def _read(self, start: int, count: int) -> list[AnyClip]:
        query = "SELECT path, other FROM clips WHERE place BETWEEN ? AND ? ORDER BY place"
        with self._lock:
            rows = self._database.execute(query, (start, start + count - 1)).fetchall()
        return [Path(os.fsdecode(path)) if path is not None else pickle.loads(other) for path, other in rows]
