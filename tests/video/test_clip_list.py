"""A list of clips that needs no more memory for a million than for a few."""

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from common.paths import PROJECT
from video.clip_list import READ_AT_ONCE, ClipList
from video.remote_clips import RemoteClip

COUNT = 2 * READ_AT_ONCE + 3


def make(count=COUNT):
    clips = ClipList()
    for number in range(count):
        assert clips.add(f"/{number}", Path(f"folder/{number}.mp4"))
    return clips


def test_clips_are_in_order_and_each_is_there_once():
    clips = make()
    assert not clips.add("/7", Path("other.mp4"))
    assert clips.add("/new", Path("other.mp4"))
    assert list(clips) == [Path(f"folder/{number}.mp4") for number in range(COUNT)] + [Path("other.mp4")]
    assert (len(clips), clips[3], clips[-1]) == (COUNT + 1, Path("folder/3.mp4"), Path("other.mp4"))
    assert clips[1:4] == [Path(f"folder/{number}.mp4") for number in (1, 2, 3)]
    with pytest.raises(IndexError):
        clips[COUNT + 1]


def test_names_that_are_no_text_and_clips_in_stores_come_back_as_they_were():
    clips = ClipList()
    odd = Path(os.fsdecode(b"caf\xe9.mp4"))
    remote = RemoteClip.of("s3://bucket/a.mp4", "version 1")
    clips.add(str(odd), odd)
    clips.add(remote.url, remote)
    assert list(clips) == [odd, remote]
    assert (clips[1].address, clips[1].version) == (remote.address, remote.version)


def test_several_threads_may_read():
    clips = make()
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: list(clips), range(8)))
    assert all(of_thread == found[0] for of_thread in found)
    assert len(found[0]) == COUNT


def test_memory_does_not_grow_with_the_number_of_clips(tmp_path):
    peaks = []
    for count in (1_000, 200_000):
        listed = tmp_path / f"{count}.txt"
        listed.write_text("".join(f"/missing/folder/of/an/archive/{number:09}.mp4\n" for number in range(count)))
        code = (
            "import resource, sys\nfrom video.find_clips import search_clips\n"
            "found = search_clips([f'@{sys.argv[1]}'])\nassert sum(1 for _ in found.clips) == int(sys.argv[2])\n"
            "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"
        )
        command = [sys.executable, "-c", code, str(listed), str(count)]
        peaks.append(int(subprocess.run(command, cwd=PROJECT, check=True, capture_output=True).stdout))
    size_kb = listed.stat().st_size / 1024
    assert peaks[1] - peaks[0] < 6 * size_kb, "the text itself, a few times, while it is read, and nothing per clip"
