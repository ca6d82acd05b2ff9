"""Signs of life: long work reports that it goes on, so that whoever watches it knows a slow clip from one that hangs.

Nothing happens where nobody listens, as when the project is used from Python.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol


class Listener(Protocol):
    """Is told about the work of this process; called from any thread."""

    def beat(self) -> None:
        """Note that the work goes on."""

    def prepare(self, begins: bool) -> None:
        """Note that the preparation of a network begins or ends, for which no clip is to blame."""


_listeners: list[Listener] = []


def listen(listener: Listener) -> None:
    """Tell a listener about the work of this process from now on."""
    _listeners.append(listener)


def beat() -> None:
    """Report that the work goes on; cheap enough for every packet of a video."""
    for listener in _listeners:
        listener.beat()


@contextmanager
def preparation() -> Iterator[None]:
    """Report that networks are being loaded, converted or compiled, which takes as long as it takes.

    The end is not reported after an exception, so that a listener knows what failed.
    """
    for listener in _listeners:
        listener.prepare(True)
    yield
    for listener in _listeners:
        listener.prepare(False)
