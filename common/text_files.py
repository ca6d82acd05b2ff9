"""Reading text files that people wrote, of bounded size, with byte order marks, UTF-16 and old line ends."""

import codecs
import stat
from pathlib import Path

from common.errors import UserError

MAX_BYTES = 64 << 20
MAX_LINE_LENGTH = 1 << 20
_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),  # before UTF-16, whose mark it starts with
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_SNIFFED_BYTES = 1024
_START_BYTES = 1 << 16


def read_text_file(path: Path, error: type[UserError], kind: str = "text file", max_bytes: int = MAX_BYTES) -> str:
    """Read a text file as UTF-8, or as UTF-16 or UTF-32 where it is recognisable as such.

    Args:
        path: The file.
        error: The type of error to raise.
        kind: What the file should be, for messages.
        max_bytes: Size above which the file is refused, before anything is read.

    Returns:
        The text without a byte order mark; every line ends in a line feed, however it ended in the file.

    Raises:
        UserError: Of the given type, if it is no regular file, is too large, is not text, or has a line of more than
            `MAX_LINE_LENGTH` characters. The message is one line that names the file.
        FileNotFoundError: If there is no such file.
    """
    try:
        data = _read_bytes(path, max_bytes)
    except FileNotFoundError:
        raise
    except OSError as reason:
        raise error(f"{path}: not a readable {kind} ({(reason.strerror or str(reason)).lower()})") from None
    except _NotTextError as reason:
        raise error(f"{path}: not a readable {kind} ({reason})") from None
    return decode_text(data, str(path), error, kind)


def decode_text(data: bytes, name: str, error: type[UserError], kind: str = "text file") -> str:
    """Decode the contents of a text file, as `read_text_file` does.

    Args:
        data: The contents.
        name: Of the file, for messages.
        error: The type of error to raise.
        kind: What the file should be, for messages.

    Returns:
        The text without a byte order mark; every line ends in a line feed, however it ended in the file.

    Raises:
        UserError: Of the given type, if it is not text, or has a line of more than `MAX_LINE_LENGTH` characters.
    """
    try:
        text = _decode(data).replace("\r\n", "\n").replace("\r", "\n")
        _check_lines(text)
    except _NotTextError as reason:
        raise error(f"{name}: not a readable {kind} ({reason})") from None
    return text


class _NotTextError(Exception):
    """Why a file cannot be read as text."""


def _read_bytes(path: Path, max_bytes: int) -> bytes:
    status = path.stat()
    if not stat.S_ISREG(status.st_mode):  # opening a named pipe would wait for its writer
        raise _NotTextError("it is a folder" if stat.S_ISDIR(status.st_mode) else "it is no regular file")
    if status.st_size > max_bytes:
        raise _NotTextError(f"it has {status.st_size:,} bytes, at most {max_bytes:,} are read")
    with path.open("rb") as file:
        return file.read(max_bytes)


def _decode(data: bytes) -> str:
    encoding = _find_encoding(data)
    try:
        return data.decode(encoding)
    except UnicodeDecodeError as reason:
        if not encoding.startswith("utf-8"):
            raise _NotTextError(f"broken {encoding.upper()}") from None
        if b"\0" in data:
            raise _NotTextError("it is binary") from None
        line = data[: reason.start].replace(b"\r\n", b"\n").replace(b"\r", b"\n").count(b"\n") + 1
        raise _NotTextError(
            f"line {line} is not UTF-8: it has the byte 0x{data[reason.start]:02x}; save the file as UTF-8, or convert "
            "it, for example with iconv -f WINDOWS-1252 -t UTF-8"
        ) from None


def _guess_encoding(data: bytes) -> str:
    """Recognise UTF-16 without a byte order mark: in western text, every other byte is 0."""
    start = data[:_SNIFFED_BYTES]
    even, odd = start[0::2].count(0), start[1::2].count(0)
    pairs = len(start) // 2
    if odd > pairs / 2 and not even:
        return "utf-16-le"
    if even > pairs / 2 and not odd:
        return "utf-16-be"
    return "utf-8"


def _check_lines(text: str) -> None:
    """Check that no line is absurdly long or contains a NUL character, which no path can contain."""
    if "\0" in text:
        line = text.count("\n", 0, text.index("\0")) + 1
        raise _NotTextError(f"line {line} contains a NUL character")
    start = 0  # of a line
    while len(text) - start > MAX_LINE_LENGTH:
        last_end = text.rfind("\n", start, start + MAX_LINE_LENGTH + 1)
        if last_end < 0:
            end = text.find("\n", start)
            length = (len(text) if end < 0 else end) - start
            line = text.count("\n", 0, start) + 1
            raise _NotTextError(f"line {line} has {length:,} characters, at most {MAX_LINE_LENGTH:,} are read")
        start = last_end + 1


def read_start(path: Path) -> str:
    """Return the start of a file that may be text, and of any size; characters that are no text are replaced.

    Raises:
        OSError: If it is not a readable regular file.
    """
    if not path.is_file():
        raise OSError(f"{path}: not a regular file")
    with path.open("rb") as file:
        data = file.read(_START_BYTES)
    text = data.decode(_find_encoding(data), errors="replace")
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _find_encoding(data: bytes) -> str:
    return next((name for mark, name in _MARKS if data.startswith(mark)), None) or _guess_encoding(data)
