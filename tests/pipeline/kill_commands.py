"""SIGKILL at random moments: whatever a tuning or a training is doing, the next one finishes with the same files.

A few kills are part of the tests; by hand, from the repository root:

    PYTHONPATH=.:tests:tests/pipeline python -m kill_commands --kills 100
"""

import argparse
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import photo_clips

from common.files import sha256_file
from common.paths import PROJECT

CLIPS = 4


@dataclass(frozen=True)
class Job:
    """A command that is killed.

    Attributes:
        arguments: The command, run in the work folder.
        outputs: The files that it writes; each is complete, or not there.
    """

    arguments: tuple[str, ...]
    outputs: tuple[str, ...]


JOBS = {
    "tune": Job(
        ("tune_thresholds.py", "--data", "clips.csv", "--out", "gates.yaml", "--cache", "cache", "--device", "cpu"),
        ("gates.yaml",),
    ),
    "train": Job(
        (
            *("retrain_head.py", "--actor", "cat", "--data", "clips.csv", "--out", "heads", "--cache", "cache"),
            *("--device", "cpu"),
        ),
        ("heads/cat.safetensors",),
    ),
}


def write_data(folder: Path) -> None:
    """Write a small labelled data set, `clips.csv`."""
    lines = ["file,labels,split,source"]
    for number in range(CLIPS):
        photo_clips.write_cat(folder / f"cat{number}.mp4", fps=4 + number)
        photo_clips.write_people(folder / f"people{number}.mp4", fps=4 + number)
        action = ("walking", "none")[number % 2]
        lines += [f"cat{number}.mp4,cat-{action},train,c{number}", f"people{number}.mp4,adult-{action},train,p{number}"]
    (folder / "clips.csv").write_text("\n".join(lines) + "\n")


def start(job: Job, folder: Path) -> "subprocess.Popen[bytes]":
    """Start a command in a session of its own, so that all of its processes can be killed."""
    script, *arguments = job.arguments
    environment = {**os.environ, "ACTOR_ACTION_CACHE": str(folder / "cache")}
    return subprocess.Popen(
        [sys.executable, str(PROJECT / script), *arguments],
        cwd=folder,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )


def finish(job: Job, folder: Path) -> dict[str, str]:
    """Run a command to its end, and return the hash of each file that it wrote."""
    process = start(job, folder)
    _, errors = process.communicate()
    assert process.returncode == 0, errors.decode()
    return hashes(job, folder)


def hashes(job: Job, folder: Path) -> dict[str, str]:
    """Return the hash of each output that is there."""
    return {name: sha256_file(folder / name) for name in job.outputs if (folder / name).is_file()}


def _forget(job: Job, folder: Path) -> None:
    """Delete what earlier runs left, but the converted networks."""
    for output in job.outputs:
        (folder / output).unlink(missing_ok=True)
    for path in (folder / "cache").iterdir():
        if path.name != "engines":
            shutil.rmtree(path) if path.is_dir() else path.unlink()


def _measure(job: Job, folder: Path, *, is_fresh: bool) -> float:
    """Return how many seconds a run takes that is not killed."""
    if is_fresh:
        _forget(job, folder)
    begin = time.monotonic()
    finish(job, folder)
    return time.monotonic() - begin


def kill_at_random_moments(name: str, kills: int, folder: Path, seed: int = 0) -> int:
    """Kill a command again and again, and check what it left each time.

    Args:
        name: One of `JOBS`.
        kills: How often.
        folder: Where it works; empty.
        seed: Of the moments.

    Returns:
        How often the command was still running when it was killed.
    """
    job, rng, killed = JOBS[name], random.Random(seed), 0
    write_data(folder)
    expected = finish(job, folder)  # which also converts the networks, once
    seconds = {is_fresh: _measure(job, folder, is_fresh=is_fresh) for is_fresh in (True, False)}
    for turn in range(kills):
        is_fresh = bool(turn % 2)
        if is_fresh:
            _forget(job, folder)
        process = start(job, folder)
        time.sleep(rng.uniform(0, seconds[is_fresh]))
        killed += process.poll() is None
        with suppress(ProcessLookupError):  # it has just finished
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        left = hashes(job, folder)
        assert left.items() <= expected.items(), f"kill {turn}: {left} was left, {expected} is complete"
        if turn % 5 == 4:
            assert finish(job, folder) == expected, f"after kill {turn}"
    assert finish(job, folder) == expected
    return killed


def main(arguments: Sequence[str]) -> None:
    """Kill both commands, and report how often they were running."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=100, help="of each command")
    parsed = parser.parse_args(arguments)
    for name in JOBS:
        with tempfile.TemporaryDirectory() as folder:
            killed = kill_at_random_moments(name, parsed.kills, Path(folder))
        print(f"{name}: {parsed.kills} kills, {killed} of them while it ran; every file complete, the same at the end")


if __name__ == "__main__":
    main(sys.argv[1:])
