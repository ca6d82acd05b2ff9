"""Folders for files that are needed for a moment: none is left, whatever happens to the process that made it.

A folder is locked while its process lives. What a process that was killed has left in the system's folder for temporary
files is therefore recognized, and removed by the next one.
"""

import os
import shutil
import stat
import tempfile
from pathlib import Path

PREFIX = "actor-action-clip-"


class ScratchFolder:
    """A new folder for this user alone, which lasts until it is removed.

    Attributes:
        path: The folder.

    Raises:
        OSError: If it cannot be made.
    """

    def __init__(self) -> None:
        while True:
            self.path = Path(tempfile.mkdtemp(prefix=PREFIX))
            self._lock = _lock(self.path)
            if self.path.is_dir():  # otherwise, another process took it for one that was left, before it was locked
                return
            self.remove()

    def remove(self) -> None:
        """Remove it with all that is in it."""
        _remove(self.path, self._lock)
        self._lock = None


def remove_leftovers() -> None:
    """Remove the folders of processes that have ended without doing so."""
    for path in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        if (lock := _lock(path)) is not None:
            _remove(path, lock)


def _remove(path: Path, lock: int | None) -> None:
    shutil.rmtree(path, ignore_errors=True)
    if lock is not None:
        os.close(lock)


def _lock(folder: Path) -> int | None:
    """Lock a folder of this user until the process ends; None if another process has, or the system cannot."""
    try:
        import fcntl
    except ImportError:  # Windows
        return None
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except OSError:
        return None
    try:
        status = os.fstat(descriptor)
        if status.st_uid == os.geteuid() and stat.S_IMODE(status.st_mode) == stat.S_IRWXU:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return descriptor
    except OSError:
        pass
    os.close(descriptor)
    return None
