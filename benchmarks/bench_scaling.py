"""Cost against work: length of a clip, number of clips, of their sizes, and of rows of results.

Run from the repository root:

    python -m benchmarks.bench_scaling --clip $KIT/clips/dog-running__aswin-dot-r-dog-running.mp4

The slope of a row is that of the line from the row before, in logarithms: 1 where twice the work takes twice the time.
"""

import json
import math
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median

from benchmarks.bench_results import measure_in_new_process, write_rows
from benchmarks.commands import lengthen
from benchmarks.report import make_parser, publish
from common.paths import PROJECT
from pipeline.config import TaggerConfig
from pipeline.tagger import ActorActionTagger

SECONDS = (5, 30, 150, 600)
CLIPS = (10, 100, 1_000, 10_000)
SIZES = (1, 4, 12, 40)
ROWS = (10, 1_000, 100_000, 1_000_000)
SHORT_SECONDS = 0.5
ROW_BYTES = 1000
HEIGHT, FPS = 240, 25.0  # of resized clips

Measurement = Callable[[Path, int, Path], float]
"""Given the clip, how much work, and an empty folder, return the seconds that it takes."""


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, print the table, write the JSON."""
    parser = make_parser(__doc__, repeats=1)
    parser.add_argument("--clip", type=Path, required=True, help="repeated, shortened and resized")
    parser.add_argument("--only", nargs="+", choices=LINES, default=list(LINES), metavar="LINE", help=", ".join(LINES))
    parser.add_argument("--at-most", type=int, default=10**6, help="leave out more work than this")
    arguments = parser.parse_args(argv)
    rows: dict[str, dict[str, float]] = {}
    for line in arguments.only:
        measure, amounts = LINES[line]
        smaller: tuple[int, float] | None = None
        for amount in (amount for amount in amounts if amount <= arguments.at_most):
            seconds = median(_measure(measure, arguments.clip, amount) for _ in range(arguments.repeats))
            row = {"seconds": round(seconds, 4)}
            if smaller:
                row["slope"] = round(slope(smaller, (amount, seconds)), 3)
            rows[f"{line}: {amount:,}"] = row
            smaller = amount, seconds
            print(f"{line}: {amount:,}", json.dumps(row), file=sys.stderr)
    publish({"repeats": arguments.repeats}, rows, arguments.out)
    return 0


def slope(one: tuple[float, float], other: tuple[float, float]) -> float:
    """Return the slope of the line between two points in logarithms.

    >>> slope((10, 3.0), (20, 6.0))
    1.0
    """
    return math.log(other[1] / one[1]) / math.log(other[0] / one[0])


def _measure(measure: Measurement, clip: Path, amount: int) -> float:
    with tempfile.TemporaryDirectory() as folder:
        return measure(clip, amount, Path(folder))


def _tag_one(clip: Path, seconds: int, folder: Path) -> float:
    """Tag one clip of some length in a process that is ready."""
    return _tag([lengthen(clip, seconds, folder)], [lengthen(clip, SHORT_SECONDS, folder)])


def _tag_sizes(clip: Path, sizes: int, folder: Path) -> float:
    """Tag forty short clips of some sizes of frames in a process that is ready."""
    short = lengthen(clip, SHORT_SECONDS, folder)
    resized = [_resize(short, folder / f"{size}.mp4", 160 + 16 * size) for size in range(sizes)]
    return _tag([resized[number % sizes] for number in range(max(SIZES))], [short])


def _tag(clips: list[Path], warm_up: list[Path]) -> float:
    tagger = ActorActionTagger.from_config(TaggerConfig(device="cpu"))
    list(tagger.tag_all(warm_up))
    started = time.perf_counter()
    failed = [tagged.result.error for tagged in tagger.tag_all(clips) if tagged.result.error]
    if failed:
        raise RuntimeError(failed[0])
    return time.perf_counter() - started


def _tag_folder(clip: Path, count: int, folder: Path) -> float:
    """Run the command on copies of a short clip, whose detections it caches after the first; start-up included."""
    short = lengthen(clip, SHORT_SECONDS, folder)
    clips = folder / "clips"
    clips.mkdir()
    for number in range(count):
        os.link(short, clips / f"{number}.mp4")
    command = [sys.executable, "run_pipeline.py", "--video", str(clips), "--out", str(folder / "results"), "--quiet"]
    started = time.perf_counter()
    subprocess.run([*command, "--cache", str(folder / "cache")], cwd=PROJECT, check=True, capture_output=True)
    seconds = time.perf_counter() - started
    with (folder / "results" / "results.jsonl").open(encoding="utf-8") as rows:
        if (written := sum(1 for _ in rows)) != count:
            raise RuntimeError(f"{written} of {count} clips have a row")
    return seconds


def _continue_run(clip: Path, count: int, folder: Path) -> float:
    """Open a folder of results, look every clip up, add one, and finish."""
    write_rows(folder, count, ROW_BYTES)
    measure_in_new_process(folder, count)  # writes the index
    measured = measure_in_new_process(folder, count)
    return sum(measured[step] for step in ("open_s", "find_each_s", "add_one_s", "finish_s"))


def _resize(clip: Path, path: Path, width: int) -> Path:
    """Write a copy of a clip whose frames have another shape."""
    import cv2

    from video.clips import read_frames
    from video.writer import video_writer

    with video_writer(path, width, HEIGHT, FPS) as writer:
        for batch in read_frames(clip):
            for image, seconds, duration in zip(batch.images, batch.time_seconds, batch.duration_seconds, strict=True):
                writer.add(cv2.resize(image, (width, HEIGHT)), seconds, duration)
    return path


LINES: dict[str, tuple[Measurement, Sequence[int]]] = {
    "seconds of one clip": (_tag_one, SECONDS),
    "clips": (_tag_folder, CLIPS),
    "sizes of 40 clips": (_tag_sizes, SIZES),
    "rows of results": (_continue_run, ROWS),
}


if __name__ == "__main__":
    sys.exit(main())
