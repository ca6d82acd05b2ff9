"""Kills a run at random moments, repeats it, and checks what is left: run `python tests/kill_run.py --help`.

    python tests/kill_run.py --video CLIP … --kills 100 --annotate

Every round starts a new folder of results. The whole process group is killed with SIGKILL at a random moment, several
times in succession if `--kills-per-run` says so; then the command is repeated until its end, and there must be exactly
one row per clip, all files must be complete, and no process may be left.
"""

import argparse
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

PROJECT = Path(__file__).resolve().parent.parent


class RunError(AssertionError):
    """What a killed run has left is wrong."""


def command_of(clips: Sequence[Path], folder: Path, *, annotate: bool) -> list[str]:
    """Return the command that tags clips into a folder, with a cache of its own."""
    command = [sys.executable, str(PROJECT / "run_pipeline.py"), "--device", "cpu", "--json"]
    command += ["--out", str(folder / "out"), "--cache", str(folder / "cache"), "--video", *map(str, clips)]
    return [*command, "--annotate", str(folder / "annotated")] if annotate else command


def run_until(command: Sequence[str], seconds: float) -> bool:
    """Start a command and kill it and all that it started after a time; return whether it was still running."""
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        return True
    return False


def processes_of(folder: Path) -> list[int]:
    """Return the processes that have something open in a folder, or are started for it."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            links = [str(link.readlink()) for link in (process / "fd").iterdir()]
            words = (process / "cmdline").read_bytes().decode(errors="replace")
        except OSError:
            continue
        if int(process.name) != os.getpid() and str(folder) in " ".join([*links, words]):
            found.append(int(process.name))
    return found


def finish_and_check(command: Sequence[str], clips: Sequence[Path], folder: Path, expected: dict[str, object]) -> None:
    """Run a command to its end, and check its files.

    Args:
        command: Of `command_of`.
        clips: Those of the command.
        folder: That of the command.
        expected: The row of each clip, timing aside, by its path; empty ones are filled in.

    Raises:
        RunError: If something is wrong.
    """
    deadline = time.monotonic() + 60  # a busy system may take its time
    while (left := processes_of(folder)) and time.monotonic() < deadline:
        time.sleep(0.05)
    if left:
        raise RunError(f"processes {left} are left")
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RunError(f"exit code {done.returncode}: {done.stderr[-1000:]}")
    rows = [json.loads(line) for line in (folder / "out" / "results.jsonl").read_text().splitlines()]
    if sorted(row["video"] for row in rows) != sorted(map(str, clips)):
        raise RunError(f"the rows are those of {[row['video'] for row in rows]}")
    for row in rows:
        row.pop("timing")
        if expected.setdefault(row["video"], row) != row:
            raise RunError(f"{row['video']}: the row is {row}, without being killed it is {expected[row['video']]}")
    if len((folder / "out" / "results.csv").read_text().splitlines()) != len(clips) + 1:
        raise RunError("results.csv has not one line per clip")
    if "--annotate" in command:
        check_copies(folder / "annotated", len(clips))


def check_copies(folder: Path, count: int) -> None:
    """Check that a folder contains so many complete videos, and nothing else."""
    import av

    names = sorted(path.name for path in folder.iterdir())
    if len(names) != count or not all(name.endswith(".annotated.mp4") for name in names):
        raise RunError(f"the annotated copies are {names}")
    for name in names:
        with av.open(str(folder / name)) as container:
            if sum(1 for _ in container.decode(video=0)) != container.streams.video[0].frames:
                raise RunError(f"{name} is not complete")


def kill_runs(clips: Sequence[Path], folder: Path, kills: int, seed: int, *, annotate: bool) -> int:
    """Kill runs at random moments, and check what each leaves.

    Args:
        clips: What is tagged.
        folder: For results; must not exist.
        kills: Number of rounds.
        seed: Of the moments.
        annotate: Whether to write annotated copies.

    Returns:
        How many of the runs were still running when they were to be killed.

    Raises:
        RunError: If a run leaves something wrong.
    """
    expected: dict[str, object] = {}
    command = command_of(clips, folder, annotate=annotate)
    started = time.monotonic()
    finish_and_check(command, clips, folder, expected)
    seconds = time.monotonic() - started
    shutil.rmtree(folder)
    moments, killed = random.Random(seed), 0
    for _ in range(kills):
        while run_until(command, moments.uniform(0, seconds)):
            killed += 1
            if moments.random() < 0.5:  # the next run is killed too
                break
        finish_and_check(command, clips, folder, expected)
        shutil.rmtree(folder)
    return killed


def main() -> int:
    """Kill runs, and print how many."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition(":")[0])
    parser.add_argument("--video", nargs="+", type=Path, required=True, help="short clips")
    parser.add_argument("--work", type=Path, default=Path("out") / "kill_run", help="folder, which is emptied")
    parser.add_argument("--kills", type=int, default=100, help="number of rounds (default: 100)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--annotate", action="store_true")
    arguments = parser.parse_args()
    shutil.rmtree(arguments.work, ignore_errors=True)
    clips = [clip.resolve() for clip in arguments.video]
    killed = kill_runs(clips, arguments.work.absolute(), arguments.kills, arguments.seed, annotate=arguments.annotate)
    print(f"{arguments.kills} rounds, {killed} runs killed: one row per clip each time")
    return 0


if __name__ == "__main__":
    sys.exit(main())
