"""An iterator that runs ahead of its consumer in another thread, by a bounded number of items."""

import threading
from collections.abc import Generator, Iterator
from contextlib import closing
from dataclasses import dataclass
from queue import Full, Queue
from typing import Generic, TypeVar

T = TypeVar("T")
POLL_SECONDS = 0.1


@dataclass(frozen=True)
class _Item(Generic[T]):
    value: T


class prefetch(Iterator[T]):  # noqa: N801 - used as a function is
    """Run a generator in a thread, from the first request on; to be closed by the consumer.

    Args:
        items: The generator; it is closed in its thread when the consumer stops early.
        max_items: Maximum number of items waiting for the consumer.

    Yields:
        The items, in order.

    Raises:
        Exception: Any exception of the generator, after the items before it.
    """

    def __init__(self, items: Generator[T, None, None], max_items: int) -> None:
        self._queue: Queue[_Item[T] | BaseException | None] = Queue(max_items)
        self._stopped = threading.Event()
        self._thread = threading.Thread(
            target=_produce, args=(items, self._queue, self._stopped), name="prefetch", daemon=True
        )

    @property
    def is_ready(self) -> bool:
        """Whether the next request is answered without waiting."""
        return self._stopped.is_set() or not self._queue.empty()

    def __next__(self) -> T:
        """Return the next item."""
        if self._stopped.is_set():
            raise StopIteration
        if not self._thread.ident:
            self._thread.start()
        try:
            entry = self._queue.get()
        except BaseException:  # such as Ctrl-C
            self.close()
            raise
        if isinstance(entry, _Item):
            return entry.value
        self.close()
        raise entry or StopIteration

    def close(self) -> None:
        """End the thread."""
        self._stopped.set()
        if self._thread.ident:
            _join(self._thread)


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
