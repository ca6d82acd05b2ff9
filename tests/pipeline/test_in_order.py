"""Events leave in the order of their tasks, however they come, and wait on disk where there are many."""

import random

import pytest

from pipeline.results import ClipResult
from pipeline.supervision import in_order
from pipeline.supervision.blocks import LARGEST_PART, SHARES, SMALL, block_sizes
from pipeline.supervision.in_order import InOrder
from pipeline.supervision.messages import Annotated, Tagged


def tagged(index):
    return Tagged(index, ClipResult(f"{index}.mp4", None, "ok", None, None))


@pytest.mark.parametrize("in_memory", [0, 1, 7, 1000])
@pytest.mark.parametrize("seed", range(5))
def test_events_leave_in_order(in_memory, seed):
    events = [[(tagged(index), index % 3 > 0)] for index in range(60)]
    for index in range(0, 60, 3):  # every third has an annotated copy
        events[index].append((Annotated(index, f"reason {index}"), True))
    waiting = events[:]
    random.Random(seed).shuffle(waiting)
    order, found = InOrder(in_memory), []
    for of_task in waiting:
        for event, is_last in of_task:
            found += order.add(event, is_last=is_last)
    assert found == [event for of_task in events for event, _ in of_task]
    assert (order.turn, len(order)) == (60, 0)


def test_what_comes_again_is_left_out():
    order = InOrder(in_memory=0)
    found = [list(order.add(tagged(index), is_last=True)) for index in (2, 2, 0, 0, 1, 2)]
    assert [[event.index for event in events] for events in found] == [[], [], [0], [], [1, 2], []]


def test_the_file_is_emptied_when_nothing_waits_there():
    order = InOrder(in_memory=0)
    for index in range(1, 50):
        assert not list(order.add(tagged(index), is_last=True))
    assert len(order) == 49
    file = order._store._file
    assert file.seek(0, 2) > 0
    assert len(list(order.add(tagged(0), is_last=True))) == 50
    assert file.seek(0, 2) == 0


def test_a_task_that_others_wait_for_is_named_once(monkeypatch):
    named = []
    clock = iter(range(0, 10_000, 25))
    monkeypatch.setattr(in_order, "monotonic", lambda: float(next(clock)))
    order = InOrder(on_wait=lambda index, done, seconds: named.append((index, done, seconds)))
    for index in (0, 1, 3, 4, 5, 6, 7, 2, 8, 10, 11, 12, 13, 14):
        list(order.add(tagged(index), is_last=True))
    assert [(index, done > 1, seconds > 60) for index, done, seconds in named] == [(2, True, True), (9, True, True)]


@pytest.mark.parametrize("workers", [1, 2, 100])
@pytest.mark.parametrize("count", [0, 1, 5, 1000, 30_000])
def test_blocks_contain_all_tasks_and_become_small(workers, count):
    sizes = block_sizes(count, workers)
    assert sum(sizes) == count
    assert sizes == sorted(sizes, reverse=True), "the small ones come last"
    assert max(sizes, default=0) <= SMALL
    if count >= SHARES * workers:
        assert sizes[-workers:] == [1] * workers, "so that no worker waits long for another"


@pytest.mark.parametrize("workers", [2, 100])
def test_there_are_not_many_more_blocks_of_many_more_tasks(workers):
    few, many = (len(block_sizes(count, workers)) for count in (SMALL * LARGEST_PART, 100 * SMALL * LARGEST_PART))
    assert many < few + SHARES * workers * 10
