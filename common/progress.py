"""One way to show progress: a function that wraps what is iterated over, and a default that shows nothing."""

from collections.abc import Iterable
from typing import Protocol, TypeVar

T = TypeVar("T")


class Progress(Protocol):
    """Wraps an iterable so that its progress is shown, for example in a progress bar."""

    def __call__(self, items: Iterable[T], description: str, unit: str) -> Iterable[T]:
        """Return the same items.

        Args:
            items: What is iterated over; a progress bar shows the time left if they have a length.
            description: What is being done, for example `detecting`.
            unit: What one item is called, for example `clip`.
        """


def no_progress(items: Iterable[T], description: str, unit: str) -> Iterable[T]:
    """Return the items without showing anything.

    >>> list(no_progress([1, 2], "counting", "number"))
    [1, 2]
    """
    return items
