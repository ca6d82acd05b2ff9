"""Text in the files of other tools: what must not be there is replaced by an escape, the rest escaped as usual."""

import html
import json
import re
from typing import IO
from urllib.parse import quote

from common.remote_files import is_address

# What XML 1.0 does not allow in a document, in any form (https://www.w3.org/TR/xml/#charsets): most control characters,
# and lone surrogates, which stand for bytes of a file name that are no Unicode.
_NOT_TEXT = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")


def clean(text: str) -> str:
    r"""Replace characters that XML and strict UTF-8 refuse by escapes.

    >>> clean("a\x07b\udcff.mp4")
    'a\\x07b\\udcff.mp4'
    """
    return _NOT_TEXT.sub(lambda match: ascii(match[0])[1:-1], text)


def xml(text: object) -> str:
    """Escape a text for XML, between tags and in attributes, on one line.

    >>> xml('<"a" & b>')
    '&lt;&quot;a&quot; &amp; b&gt;'
    """
    escaped = html.escape(clean(str(text)))
    return re.sub(r"[\t\n\r]", lambda match: f"&#{ord(match[0])};", escaped)  # parsers replace them by spaces otherwise


def one_line(text: str) -> str:
    """Replace line breaks and what else is not text by escapes or spaces."""
    return re.sub(r"\s+", " ", clean(text))


def json_bytes(content: object) -> bytes:
    """Format a value as JSON in one line, in ASCII, so that it is valid whatever file names contain."""
    return json.dumps(content, allow_nan=False).encode("ascii")


def file_url(path: str) -> str:
    """Return the URL of a file on this machine, with the bytes of its name, whether they are Unicode or not.

    The address of a file in a store is one already.

    >>> file_url("/clips/a b.mp4")
    'file:///clips/a%20b.mp4'
    """
    if is_address(path):
        return path
    return "file://" + quote(path.encode(errors="surrogateescape"))


class JsonArray:
    """The items of a JSON array, written one by one to a file, without the brackets."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._is_empty = True

    def add(self, item: object) -> None:
        """Write an item."""
        self._file.write(b"\n" if self._is_empty else b",\n")
        self._file.write(json_bytes(item))
        self._is_empty = False
