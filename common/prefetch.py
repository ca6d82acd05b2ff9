"""Doing two things at once: an iterator that runs ahead in a thread of its own, by a bounded number of items."""

import threading
from collections.abc import Generator
from contextlib import closing
from dataclasses import dataclass
from queue import Full, Queue
from typing import Generic, TypeVar

T = TypeVar("T")
POLL_SECONDS = 0.1


@dataclass(frozen=True)
class _Item(Generic[T]):
    value: T


def prefetch(items: Generator[T, None, None], ahead: int) -> Generator[T, None, None]:
    """Run a generator in a thread.

    Args:
        items: The generator; it is closed in its thread when the consumer stops early.
        ahead: Most items that wait to be taken.

    Yields:
        The items, in order.

    Raises:
        Exception: Whatever the generator raises, after the items before it.
    """
    queue: Queue[_Item[T] | BaseException | None] = Queue(ahead)
    stopped = threading.Event()
    thread = threading.Thread(target=_produce, args=(items, queue, stopped), name="prefetch", daemon=True)
    thread.start()
    try:
        while (entry := queue.get()) is not None:
            if not isinstance(entry, _Item):
                raise entry
            yield entry.value
            del entry
    finally:
        stopped.set()
        _wait_for(thread)


def _wait_for(thread: threading.Thread) -> None:
    """Wait for a thread that was told to stop, whatever comes meanwhile: the process must not end around it."""
    interrupt = None
    while thread.is_alive():
        try:
            thread.join()
        except KeyboardInterrupt as again:
            interrupt = again
    if interrupt:
        raise interrupt


def _produce(
    items: Generator[T, None, None], queue: "Queue[_Item[T] | BaseException | None]", stopped: threading.Event
) -> None:
    with closing(items):
        try:
            for item in items:
                _put(queue, _Item(item), stopped)
                if stopped.is_set():
                    return
            _put(queue, None, stopped)
        except BaseException as reason:  # handed to whoever waits for the items
            _put(queue, reason, stopped)


def _put(
    queue: "Queue[_Item[T] | BaseException | None]", entry: _Item[T] | BaseException | None, stopped: threading.Event
) -> None:
    """Wait for room, as long as somebody wants the items."""
    while not stopped.is_set():
        try:
            queue.put(entry, timeout=POLL_SECONDS)
        except Full:
            continue
        return
