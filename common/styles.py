"""Styles of text: whoever formats it says what its parts are, and whoever prints it how that looks."""

from typing import Literal, Protocol

Style = Literal["plain", "heading", "good", "bad", "warning", "faint"]


class Paint(Protocol):
    """Makes a text look like what it is, for example with colours on a terminal."""

    def __call__(self, text: str, style: Style = "plain") -> str:
        """Return the text in a style; what it displays has the same width."""


def no_paint(text: str, style: Style = "plain") -> str:
    """Return the text as it is.

    >>> no_paint("present", "good")
    'present'
    """
    return text
