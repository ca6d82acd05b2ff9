"""Running the project's commands as a user does, and measuring their time and memory."""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from common.paths import PROJECT

POLLING_SECONDS = 0.005


@dataclass(frozen=True)
class CommandRun:
    """Measurements of one run of a command.

    Attributes:
        seconds: Wall-clock time from its start to its end.
        peak_bytes: Peak resident memory of its processes, each at its own peak.
    """

    seconds: float
    peak_bytes: int


def run_command(arguments: Sequence[str], environment: Mapping[str, str] | None = None) -> CommandRun:
    """Run one of the project's commands in the project's folder.

    Args:
        arguments: The script and its arguments.
        environment: Variables to set in addition to those of this process.

    Raises:
        RuntimeError: If it fails.
    """
    with tempfile.TemporaryFile() as stderr:
        started = time.perf_counter()
        process = subprocess.Popen(
            [sys.executable, *arguments],
            cwd=PROJECT,
            env={**os.environ, **(environment or {})},
            stdout=subprocess.DEVNULL,
            stderr=stderr,
        )
        peaks: dict[int, int] = {}
        while process.poll() is None:
            for number in (process.pid, *_children(process.pid)):
                peaks[number] = max(peaks.get(number, 0), peak_bytes(number))
            time.sleep(POLLING_SECONDS)
        seconds = time.perf_counter() - started
        if process.returncode:
            stderr.seek(0)
            raise RuntimeError(f"{' '.join(arguments)}: {stderr.read().decode(errors='replace')[-500:]}")
    return CommandRun(seconds, sum(peaks.values()))


def _children(process: int) -> list[int]:
    """Return the processes that a process has started, such as the worker of `tag`; none where `/proc` lacks them."""
    try:
        return list(map(int, Path(f"/proc/{process}/task/{process}/children").read_text(encoding="ascii").split()))
    except OSError:
        return []


def peak_bytes(process: int | str) -> int:
    """Return the peak resident memory of a process so far; 0 where `/proc` does not report it.

    `wait4` and `getrusage` are no alternative: for a child, they include the memory of its parent at the time of the
    fork.

    Args:
        process: Process id, or `self`.
    """
    try:
        status = Path(f"/proc/{process}/status").read_text(encoding="utf-8")
    except OSError:
        return 0
    peaks = [line.split()[1] for line in status.splitlines() if line.startswith("VmHWM:")]
    return 1024 * int(peaks[0]) if peaks else 0


def lengthen(clip: Path, seconds: float, folder: Path) -> Path:
    """Write a clip of a given length by repeating a shorter one.

    Args:
        clip: The clip to repeat.
        seconds: Approximate length of the new clip.
        folder: Folder of the new clip.

    Returns:
        The path of the new clip.
    """
    from benchmarks.clip_meter import ClipMeter
    from video.clips import read_frames
    from video.writer import video_writer

    meter = ClipMeter()
    for batch in read_frames(clip):
        meter.add(batch)
    info = meter.info()
    width, height = info.width // 2 * 2, info.height // 2 * 2  # the codec requires even sides
    path = folder / f"{seconds:g} seconds.mp4"
    with video_writer(path, width, height, info.fps) as writer:
        offset_seconds = 0.0
        while offset_seconds < seconds:
            for batch in read_frames(clip):
                frames = zip(batch.images, batch.time_seconds, batch.duration_seconds, strict=True)
                for image, time_seconds, duration_seconds in frames:
                    if offset_seconds + time_seconds < seconds:
                        writer.add(image[:height, :width].copy(), offset_seconds + time_seconds, duration_seconds)
            offset_seconds += info.duration_seconds
    return path
