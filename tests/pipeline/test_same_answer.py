"""The same clips, weights and settings give the same rows, however and wherever they are tagged."""

import json
import os
import subprocess
import sys

import photo_clips
import pytest

from common.paths import PROJECT


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    """Clips of two shapes whose numbers of frames do not fill a batch, so that batches contain several clips."""
    folder = tmp_path_factory.mktemp("same")
    photo_clips.write_people(folder / "people.mp4")
    photo_clips.write_cat(folder / "cat.mp4")
    photo_clips.write_people_and_cat(folder / "both.mp4")
    square = photo_clips.pan(photo_clips.CAT, 5)[:, :, 40:280]
    photo_clips.write_frames(folder / "square.mp4", square)
    return sorted(folder.iterdir())


def tag(clips, user_cache, *options, **environment):
    """Tag clips in a process of its own; return the row of each as text, without the timing, by name."""
    printed = subprocess.run(
        [sys.executable, "run_pipeline.py", "--json", "--device", "cpu", *options, "--video", *map(str, clips)],
        cwd=PROJECT,
        env={**os.environ, "ACTOR_ACTION_CACHE": str(user_cache), **environment},
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    rows = [json.loads(line) for line in printed.splitlines()]
    for row in rows:
        del row["timing"]
    assert [row["video"] for row in rows] == [str(clip) for clip in clips]
    return {clip.name: json.dumps(row) for clip, row in zip(clips, rows, strict=True)}


def test_rows_do_not_depend_on_order_cache_threads_or_environment(clips, tmp_path):
    empty, again = tmp_path / "first", tmp_path / "second"
    first = tag(clips, empty, "--no-cache")  # converts the networks
    assert len(set(first.values())) == len(clips)
    variants = {
        "converted before, other order, fills the detection cache": tag(clips[::-1], empty),
        "from the detection cache, C locale": tag(clips, empty, LC_ALL="C", LANG="C", PYTHONHASHSEED="1"),
        "alone, one thread": tag(clips[:1], empty, "--no-cache", "--threads", "1"),
        "one thread": tag(clips, empty, "--no-cache", "--threads", "1", PYTHONHASHSEED="2"),
        "another cache folder, two threads": tag(clips[-1:], again, "--threads", "2"),
    }
    for name, rows in variants.items():
        assert rows == {clip: first[clip] for clip in rows}, name


def test_pytorch_gives_the_same_rows_twice_and_in_any_order(clips, tmp_path):
    first = tag(clips, tmp_path, "--no-cache", "--backend", "torch")
    assert tag(clips[::-1], tmp_path, "--no-cache", "--backend", "torch", "--threads", "1") == first
