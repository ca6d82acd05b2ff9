"""Text on a terminal: in colour unless that is not wanted, and without control characters from names of files.

A stream that is no terminal gets the text as it is, unless colours are forced. Rich is imported when a text is first
coloured (this is the only module that imports it), so that importing this module is cheap.
"""

import os
import re
import sys
from functools import cache
from typing import TextIO

from common.styles import Paint, Style, no_paint

LOOKS: dict[Style, str] = {
    "heading": "bold",
    "good": "green",
    "bad": "bold red",
    "warning": "yellow",
    "faint": "bright_black",
}
"""By style, in Rich's words; what is missing looks as usual."""
CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]")
"""What can move the cursor, change colours or reorder text; line breaks and tabs, which tables contain, are left."""


def paint_for(stream: TextIO | None) -> Paint:
    """Return how text is painted that is printed to a stream.

    As in Python's own tools, colours are off if the environment variable NO_COLOR is set, otherwise on if FORCE_COLOR
    is, otherwise on for terminals, except where TERM is `dumb`.

    Args:
        stream: For example `sys.stdout`; None if it is closed.
    """
    is_terminal = stream is not None and _is_terminal(stream)
    if os.environ.get("NO_COLOR"):
        return _escaped if is_terminal else no_paint
    if os.environ.get("FORCE_COLOR") or (is_terminal and _shows_colors()):
        return _colored
    return _escaped if is_terminal else no_paint


def _is_terminal(stream: TextIO) -> bool:
    try:
        return stream.isatty()
    except ValueError:  # it is closed
        return False


def _shows_colors() -> bool:
    """Return whether the terminal shows colours."""
    if sys.platform == "win32":
        from rich.console import detect_legacy_windows

        return not detect_legacy_windows()
    return os.environ.get("TERM") != "dumb"


def _escaped(text: str, style: Style = "plain") -> str:
    return CONTROL.sub(lambda match: match[0].encode("unicode_escape").decode("ascii"), text)


def _colored(text: str, style: Style = "plain") -> str:
    return _ansi(style).replace("\0", _escaped(text)) if style in LOOKS and text else _escaped(text)


@cache
def _ansi(style: Style) -> str:
    """Return the escape sequences of a style around a zero byte, which no escaped text contains."""
    from rich.color import ColorSystem
    from rich.style import Style as Look

    return Look.parse(LOOKS[style]).render("\0", color_system=ColorSystem.STANDARD)
