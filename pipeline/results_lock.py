"""The lock of a folder of results: one writer at a time, and a process that has died, however it did, holds nothing."""

import os
import socket
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO
from weakref import WeakValueDictionary

from common.errors import UserError

HOLDER_ATTEMPTS = 50
# By device and inode of the lock file; a lock that nobody refers to any more is free.
_held: WeakValueDictionary[tuple[int, int], "FolderLock"] = WeakValueDictionary()
_held_guard = threading.Lock()


class FolderLock:
    """An exclusive lock on a file, which contains who holds it.

    The operating system frees it when its holder's process ends. A process that asks for a lock of its own gets it, and
    the earlier holder is told that it has lost it: an iterator of results that somebody has stopped reading, in a
    notebook for example, must not keep others out for as long as the process lives.

    Args:
        path: The lock file; created if it is missing, and left in place, since a file that is deleted while another
            process opens it would be locked by both.

    Attributes:
        on_loss: Called when another user of this process takes the lock over.

    Raises:
        UserError: If another process holds it, or the file system has no locks.
        OSError: If the file cannot be written.
    """

    def __init__(self, path: Path) -> None:
        self.on_loss: Callable[[], None] = lambda: None
        with _held_guard:
            self._file = self._acquire(path)
            self._identity = _identity(self._file)
            _held[self._identity] = self
        self._file.truncate(0)
        self._file.write(f"process {os.getpid()} on {socket.gethostname()}\n".encode())

    def _acquire(self, path: Path) -> BinaryIO:
        while True:
            file = path.open("a+b", buffering=0)
            try:
                if earlier := _held.pop(_identity(file), None):
                    earlier.on_loss()
                    earlier._file.close()
                if not _lock(file, path):
                    holder = _holder(file) or "another process"
                    raise UserError(
                        f"{path.parent}: {holder} is writing results there; wait until it has finished, or name "
                        "another --out"
                    )
                with suppress(FileNotFoundError):
                    if os.path.samestat(os.fstat(file.fileno()), path.stat()):
                        return file
            except BaseException:
                file.close()
                raise
            file.close()  # it was deleted in the meantime

    @property
    def held(self) -> bool:
        """Whether the lock is held; not after another user of this process took it over, or in a forked process."""
        return not self._file.closed

    def release(self) -> None:
        """Free the lock."""
        with _held_guard:
            if _held.get(self._identity) is self:
                del _held[self._identity]
            if not self._file.closed:
                with suppress(OSError):
                    self._file.truncate(0)
                self._file.close()


def _identity(file: BinaryIO) -> tuple[int, int]:
    status = os.fstat(file.fileno())
    return status.st_dev, status.st_ino


def _lock(file: BinaryIO, path: Path) -> bool:
    """Lock a file; return whether nobody else holds it."""
    try:
        if sys.platform == "win32":
            import msvcrt

            file.seek(1 << 30)  # the lock keeps others from reading the locked bytes
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        return False
    except OSError as reason:
        raise UserError(f"{path}: cannot be locked ({reason.strerror}); name an --out on another file system") from None
    return True


def _holder(file: BinaryIO) -> str:
    """Read who holds a lock; this is written a moment after it was locked."""
    for _ in range(HOLDER_ATTEMPTS):
        file.seek(0)
        text, end, _ = file.read(200).decode(errors="replace").partition("\n")
        if end:
            return "".join(character for character in text if character.isprintable())
        time.sleep(0.01)
    return ""


def _forget_in_child() -> None:
    """Close the lock files in a forked process, which would otherwise hold the locks for as long as it lives."""
    global _held_guard
    _held_guard = threading.Lock()
    for lock in list(_held.values()):
        lock._file.close()
    _held.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_in_child)
