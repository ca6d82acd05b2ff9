"""Files in stores: objects of S3 and of Google Cloud Storage, files of web servers, and whatever else fsspec knows.

The only module that imports fsspec, and only when an address is used. Whatever goes wrong there, which may raise
anything, is a `StoreError` of one line.
"""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, urlsplit

from common.errors import StoreError
from common.heartbeat import beat

ADDRESS = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+)://.")  # a single letter would be a drive of Windows
WILDCARD = re.compile(r"[*?\[]")
SECRET = re.compile(
    r"x-(amz|goog)-.*|.*(signature|token|key|secret|password).*|sig|policy|expires|googleaccessid", re.IGNORECASE
)
"""Names of the parts of a query that let whoever knows them in, or expire."""
WEB = frozenset({"http", "https"})
WITH_HOST = WEB | {"s3", "s3a", "gs", "gcs"}
NO_STORES = frozenset(
    {"file", "local", "asynclocal", "dir", "zip", "tar", "libarchive", "reference", "generic", "dask", "data"}
    | {"cached", "blockcache", "filecache", "simplecache"}
)
"""Protocols of fsspec that are this machine, or stand for something in another file."""
VERSIONS = ("etag", "generation", "content-md5", "md5hash", "last-modified", "last_modified", "lastmodified")
TIMES = ("updated", "mtime", "modify")
CONNECT_SECONDS, READ_SECONDS = 15, 60
MAX_REASON = 200  # characters
CONNECTIONS = ("aiohttp", "asyncio")  # modules whose errors fsspec takes for a missing file
NO_FILE = "no such file, folder or bucket"
NO_CREDENTIALS = (
    "NoCredentialsError",
    "PartialCredentialsError",
    "CredentialRetrievalError",
    "DefaultCredentialsError",
)
INSTALL = "pip install actor-action[remote], or -r requirements-remote.txt"


@dataclass(frozen=True, slots=True)
class StoredFile:
    """What a store says of a file.

    Attributes:
        address: Of the file.
        size: In bytes; None if it does not say.
        version: Another one when the contents have changed; None if it does not say.
        is_folder: Whether it is a folder.
    """

    address: str
    size: int | None
    version: str | None
    is_folder: bool = False


def scheme_of(text: str) -> str:
    """Return the scheme of an address, in lower case; an empty string for what is none, as most paths.

    >>> scheme_of("S3://bucket/clip.mp4"), scheme_of("/clips/clip.mp4")
    ('s3', '')
    """
    address = ADDRESS.match(text)
    return address[1].lower() if address else ""


def is_address(text: str) -> bool:
    """Return whether a text is the address of a file in a store, by its form."""
    return "://" in text and bool(scheme_of(text))


def without_secrets(address: str) -> str:
    """Return an address without what lets others in: a password, or the signature of a signed address.

    >>> without_secrets("https://me:secret@example.org/a.mp4?id=7&X-Amz-Signature=8f")
    'https://example.org/a.mp4?id=7'
    """
    scheme, _, rest = address.partition("://")
    host, slash, path = rest.partition("/")
    user, at, bare = host.rpartition("@")
    if at and (":" in user or scheme.lower() in WEB):
        host = bare
    if scheme.lower() in WEB:
        path, _, query = path.partition("?")
        parts = [part for part in query.split("&") if part and not SECRET.fullmatch(part.partition("=")[0])]
        path += f"?{'&'.join(parts)}" if parts else ""
    return f"{scheme.lower()}://{host}{slash}{path}"


def check_address(address: str) -> None:
    """Check that an address can be one of a file in a store, without asking the store.

    Raises:
        StoreError: If it is malformed, contains a password, or fsspec does not know its scheme or is not installed.
    """
    _class_of(address)


def examine(address: str) -> StoredFile:
    """Ask a store about a file.

    Raises:
        StoreError: If there is none, or the store cannot be asked.
    """
    store, path = _open(address)
    with _explained(address):
        store.invalidate_cache()
        return _stored_file(address, store.info(path))


def fetch(file: StoredFile, path: Path) -> None:
    """Copy a file of a store to this machine, with signs of life on the way.

    Raises:
        StoreError: If it cannot be read, or not completely.
        OSError: If it cannot be written.
    """
    store, source = _open(file.address)
    with _explained(file.address):
        from fsspec.callbacks import Callback

        store.get_file(source, str(path), callback=Callback(hooks={"beat": lambda *_, **__: beat()}))
    size = path.stat().st_size
    if file.size is not None and size != file.size and scheme_of(file.address) not in WEB:  # which may compress
        raise StoreError(f"{without_secrets(file.address)}: {size} of {file.size} bytes were received; try again")


def read_bytes(address: str, max_bytes: int) -> bytes | None:
    """Return the contents of a small file, or None if there is none, or it is larger.

    Raises:
        StoreError: If it cannot be read.
    """
    store, path = _open(address)
    with _explained(address):
        try:
            content: bytes = store.cat_file(path, start=0, end=max_bytes + 1)
        except FileNotFoundError as reason:
            if reason.__cause__ and type(reason.__cause__).__module__.startswith(CONNECTIONS):
                raise
            return None
    return content if len(content) <= max_bytes else None


def write_bytes(address: str, content: bytes) -> None:
    """Write a small file as a whole.

    Raises:
        StoreError: If it cannot be written.
    """
    store, path = _open(address)
    with _explained(address):
        store.pipe_file(path, content)


def search(address: str) -> list[StoredFile]:
    """Return all files in a folder of a store, or those that match a glob, sorted.

    Raises:
        StoreError: If the store cannot be asked, or there is no such folder.
    """
    store, path = _open(address)
    root, is_glob = search_root(address), bool(WILDCARD.search(address))
    with _explained(address):
        store.invalidate_cache()
        found: Mapping[str, Any] = store.glob(path, detail=True) if is_glob else store.find(path, detail=True)
        if not found and not is_glob:
            store.info(path)  # which says why
        base = len(store._strip_protocol(f"{root}/").rstrip("/"))
    files = [_stored_file(root + name[base:], info) for name, info in found.items()]
    return sorted((file for file in files if not file.is_folder), key=lambda file: file.address)


def search_root(address: str) -> str:
    """Return the address of the folder that `search` looks into, which those of all that it finds begin with.

    >>> search_root("s3://bucket/a/**/*.mp4"), search_root("s3://bucket/a/")
    ('s3://bucket/a', 's3://bucket/a')
    """
    wildcard = WILDCARD.search(address)
    return address[: wildcard.start()].rpartition("/")[0] if wildcard else address.rstrip("/")


def _stored_file(address: str, info: Mapping[str, Any]) -> StoredFile:
    known = {name.lower(): value for name, value in info.items() if value not in (None, "")}
    version = next((f"{name} {known[name]}" for name in VERSIONS if name in known), None)
    size = known.get("size")
    if version is None or "modified" in version:  # a time alone says less
        moment = version or next((f"{name} {known[name]}" for name in TIMES if name in known), None)
        version = f"{moment}, {size} bytes" if moment else None
    return StoredFile(address, size, version, known.get("type") == "directory")


def _class_of(address: str) -> Any:
    """Return fsspec's class of a store.

    Raises:
        StoreError: As for `check_address`.
    """
    scheme, shown = scheme_of(address), without_secrets(address)
    parts = _split(address)
    user = parts.netloc.rpartition("@")[0]
    if ":" in user or (user and scheme in WEB):
        raise StoreError(f"{shown}: was given with a password; leave it out, addresses are written into results")
    if scheme in WITH_HOST and not parts.netloc:
        raise StoreError(f"{shown}: names no {'server' if scheme in WEB else 'bucket'}")
    try:
        import fsspec
    except ImportError as reason:
        raise StoreError(f"{shown}: addresses need fsspec ({reason}): {INSTALL}") from None
    try:
        if scheme in NO_STORES:
            raise ValueError(scheme)
        return fsspec.get_filesystem_class(scheme)
    except ValueError:
        text = f"{shown}: addresses of {scheme}:// are not supported; download the clip, and name the file"
        raise StoreError(text) from None
    except ImportError as reason:
        hint = f": {INSTALL}" if scheme in WITH_HOST else ""
        raise StoreError(f"{shown}: addresses of {scheme}:// need another package ({reason}){hint}") from None


def _split(address: str) -> SplitResult:
    try:
        parts = urlsplit(address)
        _ = parts.port if scheme_of(address) in WEB else None
        return parts
    except ValueError as reason:
        raise StoreError(f"{without_secrets(address)}: is no address ({reason})") from None


def _open(address: str) -> tuple[Any, str]:
    """Return the store that an address is in, and the file's path in it; nothing is asked yet."""
    kind = _class_of(address)
    with _explained(address):
        options = kind._get_kwargs_from_urls(address) | _options(scheme_of(address))
        return kind(**options), kind._strip_protocol(address)


def _options(scheme: str) -> dict[str, Any]:
    """Return how long a store may take to answer; a file may take any time while some of it comes."""
    if scheme in WEB:
        import aiohttp

        timeout = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_SECONDS, sock_read=READ_SECONDS)
        return {"client_kwargs": {"timeout": timeout, "trust_env": True}}
    if scheme in ("s3", "s3a"):
        limits = {"connect_timeout": CONNECT_SECONDS, "read_timeout": READ_SECONDS, "retries": {"max_attempts": 2}}
        return {"config_kwargs": limits}
    return {}


@contextmanager
def _explained(address: str) -> Iterator[None]:
    try:
        yield
    except StoreError:
        raise
    except Exception as reason:  # of libraries that raise whatever they like
        raise StoreError(f"{without_secrets(address)}: {_describe(reason)}") from None


def _describe(reason: BaseException) -> str:
    """Describe in one line, without any address, what a store's library has raised."""
    cause, name = reason.__cause__, type(reason).__name__
    if isinstance(reason, FileNotFoundError) and cause and type(cause).__module__.startswith(CONNECTIONS):
        return _describe(cause)  # for fsspec, a server that does not answer is a file that is not there
    status = getattr(reason, "status", None)
    if isinstance(status, int) and status != 404:
        return f"the server refuses it (HTTP status {status})"
    if isinstance(reason, FileNotFoundError) or status == 404 or name == "NoSuchBucket":
        return NO_FILE
    if name in NO_CREDENTIALS:
        return "no credentials for this store were found, which its library takes from the environment or its files"
    if isinstance(reason, PermissionError):
        return "access is denied"
    if isinstance(reason, TimeoutError) or "Connect" in name:
        return f"the store cannot be reached ({name})"
    line = re.sub(r"\S+://\S+", "the store", " ".join(str(reason).split()))
    return f"{name}: {line}"[:MAX_REASON]
