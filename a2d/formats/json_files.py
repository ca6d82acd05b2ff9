"""Reading the JSON files of other tools: of bounded size, and only the keys that are declared."""

from pathlib import Path
from typing import TypeVar

import msgspec

from common.errors import DatasetError
from common.files import read_limited

MAX_BYTES = 1 << 30

Content = TypeVar("Content")


def read_json(path: Path, kind: type[Content], what: str) -> Content:
    """Read a JSON file.

    Args:
        path: The file.
        kind: What it should contain, see `decode_json`.
        what: The same in words, for messages.

    Raises:
        DatasetError: If it does not exist, is not readable, is larger than `MAX_BYTES`, or is not of this kind.
    """
    try:
        data = read_limited(path, MAX_BYTES)
    except FileNotFoundError:
        raise DatasetError(f"{path}: no such file") from None
    except (OSError, ValueError) as reason:
        text = (reason.strerror if isinstance(reason, OSError) else None) or str(reason)
        raise DatasetError(f"{path}: not a readable file ({text.lower()})") from None
    return decode_json(data, kind, str(path), what)


def decode_json(data: bytes | msgspec.Raw, kind: type[Content], where: str, what: str) -> Content:
    """Parse JSON.

    Args:
        data: In UTF-8, with or without a byte order mark.
        kind: A type that `msgspec` knows, such as a `msgspec.Struct`; keys that it does not have are ignored.
        where: The file, or the entry in it, for messages.
        what: The kind in words, for messages.

    Raises:
        DatasetError: If it is not JSON of this kind; the message names the entry.
    """
    try:
        return msgspec.json.decode(bytes(data).removeprefix(b"\xef\xbb\xbf"), type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as reason:  # which ValidationError is, too
        raise DatasetError(f"{where}: not {what} ({' '.join(str(reason).split())})") from None
