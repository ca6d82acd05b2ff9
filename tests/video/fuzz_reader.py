"""Reading of mutated videos: nothing may happen but frames, or an error of ours. Run by hand for many inputs.

    python tests/video/fuzz_reader.py --inputs 100000 --out /tmp/fuzz

Inputs are read in forked processes, so that one that kills or blocks the decoder is found, kept in the output folder,
and the others go on. An input is determined by the seed and its number.
"""

import argparse
import json
import logging
import mmap
import os
import random
import re
import resource
import signal
import struct
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

if __name__ == "__main__":
    sys.path[:0] = [str(Path(__file__).resolve().parents[level]) for level in (2, 1, 0)]

import av
from bad_videos_unusual import Video
from fake_clips import remux

from common.errors import ClipError, TruncatedClipError
from video.clips import read_frames, read_frames_at

INPUTS_PER_PROCESS = 500
MAX_SECONDS = 20.0
MAX_BYTES = 3 << 30  # of address space
TELLING_VALUES = (0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 0xFFFFFFFE, 0x10000)


@dataclass
class Report:
    """What happened to the inputs.

    Attributes:
        outcomes: Number of inputs by outcome.
        faults: Number and description of every input that crashed, hung, or raised an exception that is not ours.
        seconds: The slowest input.
        peak_megabytes: Of resident memory, over all processes.
    """

    outcomes: Counter[str] = field(default_factory=Counter)
    faults: list[tuple[int, str]] = field(default_factory=list)
    seconds: float = 0.0
    peak_megabytes: float = 0.0


def write_originals(folder: Path) -> list[bytes]:
    """Write small intact videos in common containers and codecs, and return their contents."""
    h264 = Video(frames=12, options={"g": "4"})
    videos = {
        "h264.mp4": h264,
        "h264.mkv": h264,
        "h264.ts": h264,
        "h264.flv": h264,
        "turned.mov": Video(frames=6, matrix=(0, 1 << 16, 0, -(1 << 16), 0, 0, 0, 0, 1 << 30)),
        "h265.mp4": Video("libx265", frames=6, options={"x265-params": "log-level=none:pools=none"}),
        "mpeg4.avi": Video("mpeg4", frames=12, options={"g": "4", "bf": "2"}),
        "mpeg2.mpg": Video("mpeg2video", frames=12, options={"g": "4"}),
        "vp8.webm": Video("libvpx", frames=6, options={"cpu-used": "8", "deadline": "realtime"}),
        "vp9.webm": Video("libvpx-vp9", frames=6, options={"cpu-used": "8", "deadline": "realtime"}),
        "av1.mkv": Video("libsvtav1", frames=4, options={"preset": "12"}),
        "jpeg.avi": Video("mjpeg", "yuvj420p", frames=4),
        "prores.mov": Video("prores_ks", "yuv422p10le", frames=3),
        "animation.gif": Video("gif", "rgb8", frames=4),
        "wmv2.asf": Video("wmv2", frames=6),
        "h263.3gp": Video("h263", size=(176, 144), frames=4),
    }
    folder.mkdir(parents=True, exist_ok=True)
    paths = [video.write(folder / name) for name, video in videos.items()]
    paths.append(remux(paths[0], folder / "fragmented.mp4", movflags="frag_keyframe+empty_moov"))
    return [path.read_bytes() for path in paths]


def mutate(content: bytes, draw: random.Random, others: list[bytes]) -> bytes:  # noqa: C901 - a list of changes
    """Apply one to four random changes to a file, many of them in its first kilobyte, where the headers are."""
    mutated = bytearray(content)

    def somewhere() -> int:
        return draw.randrange(min(1024, len(mutated)) if draw.random() < 0.3 else len(mutated))

    def flip() -> None:
        mutated[somewhere()] ^= 1 << draw.randrange(8)

    def overwrite() -> None:
        start = somewhere()
        mutated[start : start + 4] = draw.randbytes(len(mutated[start : start + 4]))

    def tell() -> None:
        start, order = somewhere(), draw.choice("<>")
        value = struct.pack(f"{order}I", draw.choice(TELLING_VALUES))
        mutated[start : start + 4] = value[: len(mutated[start : start + 4])]

    def cut() -> None:
        start = somewhere()
        del mutated[start : start + draw.randrange(1, 200)]

    def repeat() -> None:
        start = somewhere()
        mutated[start:start] = mutated[start : start + draw.randrange(1, 200)]

    def splice() -> None:
        other, start = draw.choice(others), somewhere()
        begin = draw.randrange(len(other))
        part = other[begin : begin + draw.randrange(1, 300)]
        mutated[start : start + len(part)] = part

    def end() -> None:
        del mutated[draw.randrange(len(mutated)) :]

    changes: list[Callable[[], None]] = [flip, flip, overwrite, tell, tell, cut, repeat, splice, end]
    for _ in range(draw.randint(1, 4)):
        if mutated:
            draw.choice(changes)()
    return bytes(mutated)


def make_input(number: int, seed: int, originals: list[bytes]) -> bytes:
    """Return one input."""
    draw = random.Random(f"{seed} {number}")
    return mutate(draw.choice(originals), draw, originals)


def read_input(path: Path, by_index: bool) -> str:
    """Read a file in order and, if asked to, by index; return the outcome.

    Raises:
        AssertionError: If both ways of reading find different times or numbers of frames.
    """
    seconds: list[float] = []
    outcome = "ok"
    try:
        for batch in read_frames(path, 4):
            seconds += batch.time_seconds.tolist()
    except TruncatedClipError:
        outcome = "truncated"
    except ClipError:
        return "error"
    if by_index and seconds:
        indices = sorted({0, len(seconds) // 2, len(seconds) - 1})
        selected = read_frames_at(path, indices)
        assert selected.time_seconds.tolist() == [seconds[index] for index in indices]
    return outcome


def peak_megabytes() -> float:
    """Return the peak of this process's resident memory; unlike `getrusage`, without that of its parent."""
    found = re.search(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text())
    return int(found[1]) / 1024 if found else 0.0


def fuzz(inputs: int, seed: int, out: Path, first: int = 0) -> Report:
    """Read inputs in forked processes.

    Args:
        inputs: How many.
        seed: Determines them.
        out: Where inputs at fault are kept.
        first: Number of the first one.
    """
    av.logging.set_level(None)
    report = Report()
    with tempfile.TemporaryDirectory() as work:
        originals = write_originals(Path(work))
        number, end = first, first + inputs
        while number < end:
            number = _run_process(number, min(end, number + INPUTS_PER_PROCESS), seed, originals, report)
        out.mkdir(parents=True, exist_ok=True)
        for fault, _ in report.faults:
            (out / f"{seed}-{fault}.bin").write_bytes(make_input(fault, seed, originals))
    return report


def _run_process(start: int, end: int, seed: int, originals: list[bytes], report: Report) -> int:
    """Read inputs in one process, until one is at fault; return the number of the next input."""
    shared = mmap.mmap(-1, 16)
    shared[:16] = struct.pack("<qd", start, time.monotonic())
    rows = tempfile.TemporaryFile()  # noqa: SIM115 - it is read after the process has ended
    child = os.fork()
    if not child:
        _read_inputs(start, end, seed, originals, shared, rows.fileno())
    status = None
    while status is None:
        done, status_now = os.waitpid(child, os.WNOHANG)
        status = status_now if done else None
        if time.monotonic() - struct.unpack("<qd", shared[:16])[1] > MAX_SECONDS and not done:
            os.kill(child, signal.SIGKILL)
            status = os.waitpid(child, 0)[1]
        time.sleep(0.01)
    with rows:
        rows.seek(0)
        for line in rows:
            row = json.loads(line)
            report.outcomes[row["outcome"]] += 1
            report.seconds = max(report.seconds, row["seconds"])
            report.peak_megabytes = max(report.peak_megabytes, row["megabytes"])
            if row["fault"]:
                report.faults.append((row["number"], row["fault"]))
    number: int = struct.unpack("<qd", shared[:16])[0]
    if status == 0:
        return end
    waited = time.monotonic() - struct.unpack("<qd", shared[:16])[1]
    report.outcomes["hung" if waited > MAX_SECONDS else "crashed"] += 1
    report.faults.append((number, f"no answer for {waited:.0f} s" if waited > MAX_SECONDS else f"exit status {status}"))
    return number + 1


def _read_inputs(start: int, end: int, seed: int, originals: list[bytes], shared: mmap.mmap, writing: int) -> None:
    """Read inputs in a forked process, which ends here."""
    resource.setrlimit(resource.RLIMIT_AS, (MAX_BYTES, MAX_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    logging.disable()
    folder = Path(tempfile.mkdtemp())
    path = folder / "input"
    try:
        for number in range(start, end):
            begin = time.monotonic()
            shared[:16] = struct.pack("<qd", number, begin)
            path.write_bytes(make_input(number, seed, originals))
            fault = ""
            try:
                outcome = read_input(path, by_index=number % 5 == 0)
            except BaseException:  # any other error than ours is what is searched for
                outcome, fault = "wrong exception", traceback.format_exc()
            peak = peak_megabytes()
            seconds = time.monotonic() - begin
            row = {"number": number, "outcome": outcome, "fault": fault, "seconds": seconds, "megabytes": peak}
            os.write(writing, (json.dumps(row) + "\n").encode())
    finally:
        path.unlink(missing_ok=True)
        folder.rmdir()
        os._exit(0)


def main() -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description="Read mutated videos.")
    parser.add_argument("--inputs", type=int, default=1000, help="how many (default: 1000)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--first", type=int, default=0, help="number of the first input (default: 0)")
    parser.add_argument("--out", type=Path, required=True, help="folder for inputs at fault")
    options = parser.parse_args()
    begin = time.monotonic()
    report = fuzz(options.inputs, options.seed, options.out, options.first)
    print(f"{options.inputs} inputs in {time.monotonic() - begin:.0f} s: {dict(report.outcomes)}")
    print(f"slowest {report.seconds:.2f} s, peak {report.peak_megabytes:.0f} MB, {len(report.faults)} faults")
    for number, fault in report.faults:
        print(number, fault)
    return 1 if report.faults else 0


if __name__ == "__main__":
    sys.exit(main())
