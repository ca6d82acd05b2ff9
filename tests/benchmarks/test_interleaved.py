"""Interleaved timing in processes of their own."""

import os
import time
from functools import partial
from pathlib import Path

import pytest

from benchmarks.interleaved import Candidate, Timing, time_interleaved


def _log_runs(log: Path, name: str):
    def run():
        with log.open("a") as file:
            file.write(f"{name} {os.getpid()}\n")

    return run


def test_candidates_take_turns_in_their_own_processes(tmp_path):
    log = tmp_path / "log"
    candidates = {name: Candidate(_log_runs, {"log": log, "name": name}) for name in "ab"}
    timings = time_interleaved(candidates, 3)
    runs = [line.split() for line in log.read_text().splitlines()]
    assert [name for name, _ in runs] == [*"ab"] * 4  # the first round is not timed
    assert len({process for _, process in runs} | {str(os.getpid())}) == 3
    assert [len(timing.seconds) for timing in timings.values()] == [3, 3]


def test_only_the_run_is_timed():
    timing = time_interleaved({"sleep": Candidate(partial(partial, time.sleep, 0.05))}, 2)["sleep"]
    assert min(timing.seconds) >= 0.05
    assert timing.median < 1  # without the start of the process
    assert 1e6 < timing.peak_bytes < 1e9


def test_median_is_over_the_rounds():
    assert Timing([3.0, 1.0, 2.0], 0).median == 2.0


def test_failing_candidate_is_named(capfd):
    with pytest.raises(RuntimeError, match="broken: failed"):
        time_interleaved({"broken": Candidate(partial(partial, int, "no number"))}, 1)
    assert "ValueError" in capfd.readouterr().err
