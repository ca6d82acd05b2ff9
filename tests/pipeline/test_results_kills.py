"""Runs that are killed at random moments: the next one finishes, and every clip has exactly one row.

`PYTHONPATH=.:tests python tests/pipeline/test_results_kills.py 200` kills more of them.
"""

import csv
import json
import random
import sys
import tempfile
from pathlib import Path

import pytest
from result_rows import PROCESSES, clip, folder, rows_of, write_clips

from pipeline.results_folder import SMALL_BYTES

CLIPS, KILLS = 40, 10
LONGEST_RUN_SECONDS = 0.25
SIZES = {"a large file": 0, "a small file": SMALL_BYTES}


@pytest.mark.parametrize("small_bytes", SIZES.values(), ids=SIZES)
def test_runs_can_be_killed_at_any_moment(tmp_path, small_bytes):
    kill_runs(tmp_path, KILLS, small_bytes)


def kill_runs(path: Path, kills: int, small_bytes: int, seed: int = 0) -> None:
    """Have runs write the same clips, until each has its row and again from nothing, and kill them; check every file.

    Half of the rows are of failures, which the next run replaces.

    Args:
        path: An empty folder.
        kills: How many runs to kill.
        small_bytes: See `pipeline.results_folder.SMALL_BYTES`.
        seed: Of the moments.
    """
    rng = random.Random(seed)
    killed = attempts = rounds = 0
    while killed < kills:
        rounds += 1
        out, acknowledged = path / f"out {rounds}", path / f"acknowledged {rounds}"
        acknowledged.touch()
        while True:
            attempts += 1
            process = PROCESSES.Process(target=write_clips, args=(out, CLIPS, attempts, small_bytes, acknowledged))
            process.start()
            process.join(rng.uniform(0, LONGEST_RUN_SECONDS) if killed < kills else None)
            process.kill()
            process.join()
            check_acknowledged(out, acknowledged)
            if process.exitcode == 0:
                break
            assert process.exitcode == -9
            killed += 1
        check_finished(out)


def check_acknowledged(out: Path, acknowledged: Path) -> None:
    """Check that every row that a run knew to be written is there, in the words of the README: the last one counts."""
    written = {}
    for line in acknowledged.read_text().splitlines():
        number, status = line.split()
        written[clip(int(number))] = status
    text = (out / "results.jsonl").read_text() if (out / "results.jsonl").exists() else ""
    rows = {}
    for line in text.split("\n")[:-1]:
        entry = json.loads(line)
        rows[entry["video"]] = entry["status"]
    lost = {video: status for video, status in written.items() if status == "ok" and rows.get(video) != "ok"}
    assert not lost
    assert written.keys() <= rows.keys()


def check_finished(out: Path) -> None:
    """Check a folder in which a run has finished."""
    rows = rows_of(out / "results.jsonl")
    assert sorted(entry["video"] for entry in rows) == sorted(map(clip, range(CLIPS))), "exactly one row per clip"
    with (out / "results.csv").open(newline="") as file:
        lines = [(line["video"], line["status"]) for line in csv.DictReader(file)]
    assert lines == [(entry["video"], entry["status"]) for entry in rows]
    assert sorted(path.name for path in out.iterdir()) == [
        *("results.csv", "results.index.sqlite", "results.jsonl", "results.lock", "run.json")
    ]
    with folder(out) as results:
        assert all((results.find(entry["video"]) is not None) == (entry["status"] == "ok") for entry in rows)


if __name__ == "__main__":
    for name, size in SIZES.items():
        with tempfile.TemporaryDirectory() as scratch:
            kill_runs(Path(scratch), int(sys.argv[1]), size, seed=1)
        print(f"{name}: {sys.argv[1]} of {sys.argv[1]} killed runs were continued")
