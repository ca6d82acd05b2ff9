"""Running the project's commands as a user does, and what each took."""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from common.paths import PROJECT


@dataclass(frozen=True)
class CommandRun:
    """What a command took.

    Attributes:
        seconds: From its start to its end.
        peak_bytes: Most memory that its process ever had resident.
    """

    seconds: float
    peak_bytes: int


def run_command(arguments: Sequence[str], environment: Mapping[str, str] | None = None) -> CommandRun:
    """Run one of the project's commands in the project's folder.

    Args:
        arguments: The script and its arguments.
        environment: Variables to set beside those of this process.

    Raises:
        RuntimeError: If it fails.
    """
    with tempfile.TemporaryFile() as said:
        started = time.perf_counter()
        process = subprocess.Popen(
            [sys.executable, *arguments],
            cwd=PROJECT,
            env={**os.environ, **(environment or {})},
            stdout=subprocess.DEVNULL,
            stderr=said,
        )
        peak = 0
        while process.poll() is None:
            peak = max(peak, peak_bytes(process.pid))
            time.sleep(0.005)
        seconds = time.perf_counter() - started
        if process.returncode:
            said.seek(0)
            raise RuntimeError(f"{' '.join(arguments)}: {said.read().decode(errors='replace')[-500:]}")
    return CommandRun(seconds, peak)


def peak_bytes(process: int | str) -> int:
    """Give the most memory that a process, by number or `self`, had resident so far; 0 where Linux does not say.

    (What `wait4` and `getrusage` say of a child has the memory of its parent at its birth in it.)
    """
    try:
        status = Path(f"/proc/{process}/status").read_text(encoding="utf-8")
    except OSError:
        return 0
    peaks = [line.split()[1] for line in status.splitlines() if line.startswith("VmHWM:")]
    return 1024 * int(peaks[0]) if peaks else 0


def lengthen(clip: Path, seconds: float, folder: Path) -> Path:
    """Write a clip of about so many seconds, the given one over and over.

    Args:
        clip: The clip.
        seconds: How long the new one is.
        folder: Where to write it.
    """
    from benchmarks.clip_meter import ClipMeter
    from video.clips import read_frames
    from video.writer import video_writer

    meter = ClipMeter()
    for batch in read_frames(clip):
        meter.add(batch)
    info = meter.info()
    path = folder / f"{seconds:g} seconds.mp4"
    with video_writer(path, info.width // 2 * 2, info.height // 2 * 2, info.fps) as writer:
        begin = 0.0
        while begin < seconds:
            for batch in read_frames(clip):
                for image, time_seconds, duration in zip(
                    batch.images, batch.time_seconds, batch.duration_seconds, strict=True
                ):
                    if begin + time_seconds < seconds:
                        even = image[: info.height // 2 * 2, : info.width // 2 * 2]
                        writer.add(even.copy(), begin + time_seconds, duration)
            begin += info.duration_seconds
    return path
