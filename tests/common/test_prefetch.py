"""An iterator in a thread of its own: it runs ahead, but not too far, and ends with whoever wanted it."""

import threading

import pytest

from common.prefetch import prefetch


def test_an_iterator_runs_ahead_but_not_too_far():
    made = []

    def numbers():
        for number in range(20):
            made.append(number)
            yield number

    running = prefetch(numbers(), 3)
    assert next(running) == 0
    running.close()
    assert len(made) <= 6
    assert list(prefetch(iter_numbers(5), 2)) == [0, 1, 2, 3, 4]


def iter_numbers(count):
    yield from range(count)


def test_what_an_iterator_raises_comes_after_its_items():
    def failing():
        yield 1
        raise ValueError("no more")

    running = prefetch(failing(), 4)
    assert next(running) == 1
    with pytest.raises(ValueError, match="no more"):
        next(running)


def test_stopping_early_closes_the_iterator_and_its_thread():
    closed = threading.Event()

    def endless():
        try:
            while True:
                yield object()
        finally:
            closed.set()

    running = prefetch(endless(), 2)
    next(running)
    running.close()
    assert closed.is_set()
    assert not [thread for thread in threading.enumerate() if thread.name == "prefetch"]
