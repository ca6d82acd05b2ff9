"""Reading of a corpus of difficult files: the right status, frames and size of each, in bounded memory and time."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from bad_videos import ERROR, BadVideo, build_corpus

from common.errors import ClipError, TruncatedClipError
from video.clips import read_frames, read_frames_at

MIN_KINDS = 80
MAX_MEGABYTES = 1024
MAX_SECONDS = 20.0

READ_ALL = """
import json, re, sys, time
from pathlib import Path
from common.errors import ClipError, TruncatedClipError
from video.clips import read_frames

found = {}
for name in sys.stdin.read().split("\\0"):
    start, frames, size, status, message = time.monotonic(), 0, None, "ok", ""
    try:
        for batch in read_frames(Path(name), 4):
            frames, size = frames + len(batch), batch.images.shape[2:0:-1]
    except ClipError as reason:
        status, message = "truncated" if isinstance(reason, TruncatedClipError) else "error", str(reason)
    found[name] = (status, frames, size, message, time.monotonic() - start)
peak = int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]) / 1024
print(json.dumps({"found": found, "peak_megabytes": peak}))
"""


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> list[BadVideo]:
    return build_corpus(tmp_path_factory.mktemp("corpus"))


def test_every_kind_has_its_status_in_bounded_memory_and_time(corpus: list[BadVideo]) -> None:
    assert len({video.name for video in corpus}) == len(corpus) >= MIN_KINDS
    done = subprocess.run(
        [sys.executable, "-c", READ_ALL],
        input="\0".join(str(video.path) for video in corpus),
        cwd=Path(__file__).resolve().parents[2],
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    result = json.loads(done.stdout.splitlines()[-1])
    wrong = []
    for video in corpus:
        status, frames, size, message, seconds = result["found"][str(video.path)]
        as_expected = (
            status in video.status.split("|")
            and video.frames in (None, frames)
            and (video.size is None or list(video.size) == size)
            and (status != ERROR or frames == 0)
            and seconds < MAX_SECONDS
        )
        if not as_expected or (message and (str(video.path) not in message or "\n" in message.replace("\nbreak", ""))):
            wrong.append((video.name, video.status, video.frames, video.size, status, frames, size, message, seconds))
    assert not wrong
    assert result["peak_megabytes"] < MAX_MEGABYTES


def read_images(clip: Path) -> tuple[list[np.ndarray], list[float]]:
    """Read all images of a clip and their times, up to where it is truncated."""
    images: list[np.ndarray] = []
    seconds: list[float] = []
    try:
        for batch in read_frames(clip, 4):
            images += list(batch.images)
            seconds += batch.time_seconds.tolist()
    except TruncatedClipError:
        pass
    return images, seconds


def test_frames_by_index_equal_sequential_ones(corpus: list[BadVideo]) -> None:
    """In the same process, and without knowing whether the clip is intact, as after a restart."""
    compared = 0
    for video in corpus:
        if video.status == ERROR or video.name.startswith("8k"):
            continue
        try:
            images, seconds = read_images(video.path)
        except ClipError:
            continue
        indices = sorted({0, len(images) // 3, len(images) // 2, len(images) - 1})
        selected = read_frames_at(video.path, indices)
        assert selected.time_seconds.tolist() == [seconds[index] for index in indices], video.name
        for index, image in zip(indices, selected.images, strict=True):
            np.testing.assert_array_equal(image, images[index], err_msg=f"{video.name} {index}")
        compared += 1
    assert compared > MIN_KINDS


def test_corpus_is_the_same_every_time(corpus: list[BadVideo], tmp_path: Path) -> None:
    def names(videos: list[BadVideo]) -> Iterator[tuple[str, str, int | None]]:
        return ((video.name, video.status, video.frames) for video in videos)

    assert list(names(build_corpus(tmp_path))) == list(names(corpus))
