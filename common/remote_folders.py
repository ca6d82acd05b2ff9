"""Folders in stores that many machines read and write, such as `s3://bucket/detections`."""

import logging
from dataclasses import dataclass
from pathlib import Path

from common.errors import StoreError
from common.remote_files import WEB, check_address, is_address, read_bytes, scheme_of, without_secrets, write_bytes

MAX_FAILURES = 3  # in succession, each of which may take half a minute


@dataclass(frozen=True)
class RemoteFolder:
    """A folder in a store.

    Attributes:
        address: Of the folder, without a slash at its end.
    """

    address: str

    @classmethod
    def parse(cls, address: str) -> "RemoteFolder":
        """Take an address as that of a folder, without asking the store.

        Raises:
            StoreError: If it is malformed, or nothing can be written there.
        """
        if not is_address(address):
            raise StoreError(f"{address}: names no bucket")
        check_address(address)
        if scheme_of(address) in WEB:
            raise StoreError(f"{without_secrets(address)}: nothing can be written to a web server; name a bucket")
        return cls(address.rstrip("/"))

    def __truediv__(self, name: str) -> "RemoteFolder":
        return RemoteFolder(f"{self.address}/{name}")

    def __str__(self) -> str:
        return without_secrets(self.address)

    def read(self, name: str, max_bytes: int) -> bytes | None:
        """Read a file; None if there is none, or it is larger.

        Raises:
            StoreError: If it cannot be read.
        """
        return read_bytes((self / name).address, max_bytes)

    def write(self, name: str, content: bytes) -> None:
        """Write a file as a whole.

        Raises:
            StoreError: If it cannot be written.
        """
        write_bytes((self / name).address, content)


AnyFolder = Path | RemoteFolder


class RemoteCache:
    """Small files of a folder in a store; after some failures in succession, it is used no more.

    Who may write to the folder decides what is read from it: that is for the store's permissions to say.

    Args:
        folder: The folder.
        what: What is cached there, for warnings.
    """

    def __init__(self, folder: RemoteFolder, what: str) -> None:
        self._folder, self._what = folder, what
        self._failures = 0

    def read(self, name: str, max_bytes: int) -> bytes | None:
        """Read a file; None if it is missing, larger, or cannot be read.

        Args:
            name: Path in the folder.
            max_bytes: Maximum size.
        """
        if self._failures >= MAX_FAILURES:
            return None
        try:
            content = self._folder.read(name, max_bytes)
        except StoreError as reason:
            self._fail(reason)
            return None
        self._failures = 0
        return content

    def write(self, name: str, content: bytes) -> None:
        """Write a file; if that fails, log a warning."""
        if self._failures >= MAX_FAILURES:
            return
        try:
            self._folder.write(name, content)
        except StoreError as reason:
            self._fail(reason)
        else:
            self._failures = 0

    def _fail(self, reason: StoreError) -> None:
        self._failures += 1
        text = str(reason).rpartition(": ")[2]
        end = "; it is used no more" if self._failures == MAX_FAILURES else ""
        logging.getLogger(__name__).warning("%s cannot be cached in %s: %s%s", self._what, self._folder, text, end)
