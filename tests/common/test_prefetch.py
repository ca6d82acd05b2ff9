"""`prefetch` runs ahead by a bounded number of items and ends with its consumer."""

import threading
import time

import pytest

from common.prefetch import prefetch


@pytest.mark.parametrize("max_items", [1, 3])
def test_prefetch_runs_ahead_by_a_bounded_number_of_items(max_items):
    made = []

    def numbers():
        for number in range(20):
            made.append(number)
            yield number

    running = prefetch(numbers(), max_items)
    assert next(running) == 0
    expected = 1 + max_items + 1  # the consumer's, those in the queue, and the one that waits for space in it
    end = time.monotonic() + 60  # a busy system may take its time
    while len(made) < expected and time.monotonic() < end:
        time.sleep(0.01)
    time.sleep(0.1)
    assert len(made) == expected
    running.close()
    assert len(made) == expected


def test_prefetch_says_whether_one_has_to_wait():
    may_go_on = threading.Event()

    def numbers():
        yield 0
        assert may_go_on.wait(10)
        yield 1

    running = prefetch(numbers(), 1)
    assert not running.is_ready, "nothing has been requested"
    assert next(running) == 0
    assert not running.is_ready
    may_go_on.set()
    end = time.monotonic() + 60  # a busy system may take its time
    while not running.is_ready and time.monotonic() < end:
        time.sleep(0.01)
    assert list(running) == [1]
    assert running.is_ready, "the end needs no waiting"
    assert list(running) == []


def test_prefetch_yields_the_items_in_order():
    assert list(prefetch(iter_numbers(5), 2)) == [0, 1, 2, 3, 4]


def iter_numbers(count):
    yield from range(count)


def test_exceptions_are_raised_after_the_items_before_them():
    def failing():
        yield 1
        raise ValueError("no more")

    running = prefetch(failing(), 4)
    assert next(running) == 1
    with pytest.raises(ValueError, match="no more"):
        next(running)


def test_stopping_early_closes_the_generator_and_its_thread():
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
