"""Cached files: read only if this user or the administrator wrote them, whole or not at all.

A cache must not let others choose what a run computes: a folder that belongs to somebody else, or to which everybody
can write, is neither read nor written, and links in a cache are not followed. In a store, its permissions say who may.
"""

import errno
import logging
import os
import stat
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from common.files import write_atomically
from common.remote_folders import AnyFolder, RemoteCache, RemoteFolder

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

OnFile = Callable[[str, bytes], None]
"""Called with the path of a file in a cache folder, and its content."""
ROOT = 0
PRIVATE = 0o700


def why_untrusted(status: os.stat_result) -> str | None:
    """Return why a file or folder is not to be trusted, or None; on systems without owners, everything is.

    Args:
        status: Of the file or folder.
    """
    if not hasattr(os, "geteuid"):
        return None
    if status.st_uid not in (os.geteuid(), ROOT):
        return f"it belongs to another user (uid {status.st_uid})"
    if status.st_mode & stat.S_IWOTH:
        return "everybody can write to it"
    return None


def trusted_folder(folder: Path | None, what: str) -> Path | None:
    """Return a cache folder, or None with a warning if it is not to be trusted.

    Args:
        folder: The folder, which need not exist; None for no folder.
        what: What is cached there, for the warning.
    """
    if folder is None:
        return None
    try:
        reason = why_untrusted(folder.stat())
    except OSError:  # it does not exist yet, or cannot be read, as the first use will show
        return folder
    if reason is None:
        return folder
    logging.getLogger(__name__).warning(
        "%s: %s, so %s are neither read from it nor cached there: make it yours alone (chown, chmod o-w), "
        "or set ACTOR_ACTION_CACHE to another folder",
        *(folder, reason, what),
    )
    return None


@dataclass(frozen=True)
class CacheFolder:
    """A folder of small files, of this machine or in a store.

    Attributes:
        folder: Created when the first file is written, for this user alone; None caches nothing.
        what: What is cached there, for warnings.
        on_file: Called with every file that is read or written, for one who has no access to the folder.
    """

    folder: AnyFolder | None
    what: str
    on_file: OnFile | None = None

    @property
    def is_shared(self) -> bool:
        """Whether it is the same folder on every machine."""
        return isinstance(self.folder, RemoteFolder)

    @cached_property
    def _trusted(self) -> Path | None:
        return trusted_folder(self.folder, self.what) if not isinstance(self.folder, RemoteFolder) else None

    @cached_property
    def _remote(self) -> RemoteCache | None:
        return RemoteCache(self.folder, self.what) if isinstance(self.folder, RemoteFolder) else None

    def read(self, name: str, max_bytes: int) -> bytes | None:
        """Read a file; one that is missing, too large, a link or not to be trusted counts as missing.

        Args:
            name: Path in the folder.
            max_bytes: Maximum size.
        """
        content = self._remote.read(name, max_bytes) if self._remote else self._read_here(name, max_bytes)
        if content is not None and self.on_file:
            self.on_file(name, content)
        return content

    def _read_here(self, name: str, max_bytes: int) -> bytes | None:
        if self._trusted is None:
            return None
        path = self._trusted / name
        flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
        try:
            if path.parent.is_symlink():
                return None
            with os.fdopen(os.open(path, flags), "rb") as file:
                status = os.fstat(file.fileno())
                if not stat.S_ISREG(status.st_mode) or why_untrusted(status) or status.st_size > max_bytes:
                    return None
                return file.read()
        except (OSError, MemoryError):
            return None

    def write(self, name: str, content: bytes) -> None:
        """Write a file atomically; if that fails, log a warning."""
        if self.on_file:
            self.on_file(name, content)
        if self._remote:
            self._remote.write(name, content)
        if self._trusted is None:
            return
        path = self._trusted / name
        try:
            self._trusted.mkdir(mode=PRIVATE, parents=True, exist_ok=True)
            if path.parent.is_symlink():
                raise OSError(errno.ELOOP, "it is a link", str(path.parent))
            write_atomically(path, content)
        except OSError as reason:
            logging.getLogger(__name__).warning(
                "%s cannot be cached in %s: %s", self.what, self.folder, reason.strerror or reason
            )


def parse_array(content: bytes) -> "NDArray[np.generic]":
    """Parse the contents of a `.npy` file whose shape fits its size.

    Raises:
        ValueError: If they are anything else, such as an array of Python objects.
    """
    import io
    import math

    from numpy.lib import format as npy

    file = io.BytesIO(content)
    version = npy.read_magic(file)
    if version != (1, 0):
        raise ValueError(f"version {version}")
    shape, _, dtype = npy.read_array_header_1_0(file)
    if dtype.hasobject or math.prod(shape) * dtype.itemsize != len(content) - file.tell():
        raise ValueError(f"an array of {shape}")
    file.seek(0)
    array: NDArray[np.generic] = npy.read_array(file, allow_pickle=False)
    return array
