"""Clips in stores, such as `s3://bucket/clip.mp4`: how they are found, and fetched to be read as files."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from urllib.parse import unquote

from common.errors import StoreError
from common.remote_files import (
    NO_FILE,
    WEB,
    WILDCARD,
    StoredFile,
    check_address,
    examine,
    fetch,
    scheme_of,
    search,
    search_root,
    without_secrets,
)
from video.folder_search import describe_ending
from video.video_suffixes import VIDEO_SUFFIXES

MAX_NAME_BYTES = 200


@dataclass(frozen=True, slots=True)
class RemoteClip:
    """A video file in a store.

    Attributes:
        url: Its address as it is shown, without secrets.
        address: Its address.
        version: What the store said of its contents when it was found; None if it was not asked.
    """

    url: str
    address: str = field(repr=False, compare=False)
    version: str | None = field(default=None, compare=False)

    @classmethod
    def of(cls, address: str, version: str | None = None) -> "RemoteClip":
        """Take an address as a clip, without asking the store."""
        return cls(without_secrets(address), address, version)

    def __str__(self) -> str:
        return self.url

    @property
    def name(self) -> str:
        """The file's name, for a copy of it."""
        path = self.url.partition("://")[2]
        name = unquote(path.partition("?")[0]) if scheme_of(self.url) in WEB else path
        name = name.rpartition("/")[2].replace("\0", "")
        if name in ("", ".", "..") or len(name.encode(errors="surrogateescape")) > MAX_NAME_BYTES:
            suffix = PurePosixPath(name).suffix
            return f"clip{suffix if suffix.lower() in VIDEO_SUFFIXES else ''}"
        return name

    @property
    def stem(self) -> str:
        """The file's name without its ending."""
        return PurePosixPath(self.name).stem

    def examine(self) -> StoredFile:
        """Ask the store about the file.

        Raises:
            StoreError: If that is impossible, or it is no file.
        """
        found = examine(self.address)
        if found.is_folder:
            raise StoreError(f"{self.url}: a folder, not a file; name it with a / at its end to search it")
        return found

    def fetch(self, found: StoredFile, folder: Path) -> Path:
        """Copy the file into a folder, and return the copy's path.

        Raises:
            StoreError: If that is impossible.
        """
        path = folder / self.name
        try:
            fetch(found, path)
        except OSError as reason:
            raise StoreError(f"{self.url}: cannot be copied to this machine ({reason.strerror or reason})") from None
        return path


AnyClip = Path | RemoteClip


def find_remote_clips(
    address: str, not_taken: Counter[str], is_matched: Callable[[str, list[str]], bool]
) -> list[RemoteClip]:
    """Expand an address: a file, or a folder or a glob of a store that can list its files.

    Args:
        address: What has no ending of a video is looked up, to know whether it is a folder.
        not_taken: Receives the number of files that are no videos, by ending.
        is_matched: Whether a glob's hidden patterns let it match a name, see `video.find_clips`.

    Raises:
        StoreError: If the address is malformed or unknown, or a folder cannot be listed or has no videos.
    """
    check_address(address)
    rest = address.partition("://")[2]
    address = f"{scheme_of(address)}://{rest}"
    if scheme_of(address) in WEB:
        return [RemoteClip.of(address)]
    wildcard = WILDCARD.search(rest)
    if not wildcard and not _is_folder(address, rest):
        return [RemoteClip.of(address)]
    hidden, taken = list[str](), set(VIDEO_SUFFIXES)
    if wildcard:
        hidden = [part for part in rest.split("/") if part.startswith(".")]
        suffix = PurePosixPath(rest).suffix.lower()
        taken |= set() if WILDCARD.search(suffix) else {suffix} - {""}
    clips, root = [], search_root(address)
    for file in search(address):
        names = file.address.removeprefix(root).strip("/").split("/")
        if not all(is_matched(name, hidden) for name in names):
            continue
        suffix = PurePosixPath(names[-1]).suffix.lower()
        if suffix in taken:
            clips.append(RemoteClip.of(file.address, file.version))
        else:
            not_taken[describe_ending(suffix)] += 1
    if not clips and wildcard and _is_file(address):
        return [RemoteClip.of(address)]
    if not clips:
        what = "no video matches" if wildcard else "a folder without videos"
        raise StoreError(f"{without_secrets(address)}: {what}")
    return clips


def _is_folder(address: str, rest: str) -> bool:
    """Return whether an address is a folder's; what is not there is not, and is reported when it is read."""
    if rest.endswith("/") or "/" not in rest:
        return True
    if PurePosixPath(rest).suffix.lower() in VIDEO_SUFFIXES:
        return False
    try:
        return examine(address).is_folder
    except StoreError as reason:
        if str(reason).endswith(NO_FILE):
            return False
        raise


def _is_file(address: str) -> bool:
    """Return whether there is a file whose name looks like a glob."""
    try:
        return not examine(address).is_folder
    except StoreError:
        return False
