"""The tasks of a run in the memory of a cluster: found by the number of their block, and a few bytes each."""

from itertools import accumulate
from pathlib import Path

import pytest

from pipeline.results import ClipResult
from pipeline.supervision.blocks import block_sizes
from pipeline.supervision.messages import Task
from pipeline.supervision.ray_tasks import CHUNK, TaskBlocks, TaskStore
from video.remote_clips import RemoteClip


class Memory:
    """Stores bytes as Ray does: a reference is all that is kept of them."""

    def __init__(self):
        self.stored, self.loads = [], 0

    def put(self, content):
        self.stored.append(content)
        return len(self.stored) - 1

    def get(self, reference):
        self.loads += 1
        return self.stored[reference]


def task(index):
    return Task(index, Path(f"/archive/of/many/videos/2026/{index:09d}.mp4"))


def store(tasks):
    memory, found = Memory(), TaskStore(None)
    found._put = memory.put
    for one in tasks:
        found.add(one)
    return memory, found


@pytest.mark.parametrize("count", [1, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK + 17])
@pytest.mark.parametrize("workers", [1, 7])
def test_blocks_contain_all_tasks_in_their_order(count, workers):
    memory, stored = store(map(task, range(count)))
    assert len(stored) == count
    sizes = block_sizes(count, workers)
    blocks = TaskBlocks(stored.close(), list(accumulate(sizes)), memory.get)
    found = [blocks[number] for number in range(len(sizes))]
    assert [len(block) for block in found] == sizes
    assert [one for block in found for one in block] == [task(index) for index in range(count)]
    assert memory.loads == len(memory.stored), "a chunk is fetched once for the blocks that follow each other"


def test_a_block_may_lie_in_several_chunks():
    memory, stored = store(map(task, range(3 * CHUNK)))
    blocks = TaskBlocks(stored.close(), [5, 3 * CHUNK - 5, 3 * CHUNK], memory.get)
    assert [one.index for one in blocks[1]] == list(range(5, 3 * CHUNK - 5))
    assert [one.index for one in blocks[2]] == list(range(3 * CHUNK - 5, 3 * CHUNK))


def test_what_a_task_says_is_kept():
    known = ClipResult("a.mp4", "sha", "ok", None, None)
    tasks = [
        Task(0, RemoteClip.of("s3://bucket/a.mp4", "etag 1"), earlier=known),
        Task(1, Path("b.mp4"), copy=Path("b.annotated.mp4"), result=known),
    ]
    memory, stored = store(tasks)
    assert TaskBlocks(stored.close(), [2], memory.get)[0] == tasks


def test_a_path_takes_a_few_bytes():
    memory, stored = store(map(task, range(10 * CHUNK)))
    stored.close()
    assert sum(map(len, memory.stored)) < 30 * 10 * CHUNK
