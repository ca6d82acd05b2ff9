"""An iterator that runs ahead of its consumer in another thread, by a bounded number of items."""

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


def prefetch(items: Generator[T, None, None], max_items: int) -> Generator[T, None, None]:
    """Run a generator in a thread.

    Args:
        items: The generator; it is closed in its thread when the consumer stops early.
        max_items: Maximum number of items waiting for the consumer.

    Yields:
        The items, in order.

    Raises:
        Exception: Any exception of the generator, after the items before it.
    """
    queue: Queue[_Item[T] | BaseException | None] = Queue(max_items)
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
        _join(thread)


def _join(thread: threading.Thread) -> None:
    """Wait for a stopped thread even if interrupted, because the process must not exit while it still runs."""
    interrupt = None
    while thread.is_alive():
        try:
            thread.join()
        except KeyboardInterrupt as latest:
            interrupt = latest
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
        except BaseException as reason:  # raised again in the consumer's thread
            _put(queue, reason, stopped)


def _put(
    queue: "Queue[_Item[T] | BaseException | None]", entry: _Item[T] | BaseException | None, stopped: threading.Event
) -> None:
    """Put an entry into the queue, waiting for space until the consumer stops."""
    while not stopped.is_set():
        try:
            queue.put(entry, timeout=POLL_SECONDS)
        except Full:
            continue
        return
