"""A run whose standard streams are closed, full or read by nobody, or that is asked to end: never a traceback.

Its clips do not exist, so that no network is loaded: what matters here is that each has a row.
"""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from common.paths import PROJECT
from pipeline.commands import console

CLIPS = 40
pytestmark = pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full and a shell")


def tag(folder: Path, redirection: str, *options: str) -> subprocess.CompletedProcess[str]:
    """Tag missing clips with the results and messages redirected by a shell."""
    clips = " ".join(f"no-{number}.mp4" for number in range(CLIPS))
    command = f"{sys.executable} {PROJECT / 'run_pipeline.py'} --video {clips} --out out {' '.join(options)} "
    return subprocess.run(
        ["bash", "-c", f"set -o pipefail; {command} {redirection}"],
        cwd=folder,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )


def rows(folder: Path) -> int:
    return len((folder / "out" / "results.jsonl").read_text().splitlines())


@pytest.mark.parametrize("redirection", [">&-", "<&- >&- 2>&-", "2>/dev/full", "2> >(head -c 1 > /dev/null)"])
def test_results_are_written_whatever_becomes_of_the_streams(tmp_path, redirection):
    done = tag(tmp_path, redirection)
    assert done.returncode == console.SOME_FAILED, "the clips are missing"
    assert rows(tmp_path) == CLIPS
    assert "Traceback" not in done.stdout + done.stderr
    assert "Exception" not in done.stdout + done.stderr
    assert done.stdout.count("not tagged: ") == (CLIPS if redirection.startswith("2>") else 0)
    assert ("using detector" in done.stderr) == ("2>" not in redirection)


def test_results_that_cannot_be_printed_are_written_all_the_same(tmp_path):
    done = tag(tmp_path, "> /dev/full")
    assert done.returncode == console.SOME_FAILED
    assert done.stderr.count("cannot be printed") == 1
    assert "Traceback" not in done.stderr
    assert "Exception" not in done.stderr
    assert rows(tmp_path) == CLIPS


def test_a_reader_that_has_had_enough_ends_the_run(tmp_path):
    done = tag(tmp_path, "--json | head -1")
    assert done.returncode == console.BROKEN_PIPE
    assert json.loads(done.stdout)["status"] == "error"
    assert "Traceback" not in done.stderr
    assert "Exception" not in done.stderr
    assert rows(tmp_path) >= 1


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP], ids=lambda number: number.name)
def test_a_signal_ends_the_run_in_order(tmp_path, number):
    command = [sys.executable, str(PROJECT / "run_pipeline.py"), "--out", "out", "--json", "--video"]
    command += [f"no-{number}.mp4" for number in range(5000)]
    before = signal.signal(number, signal.SIG_DFL)  # a shell's background jobs ignore SIGINT, and so would the run
    try:
        process = subprocess.Popen(
            command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
        )
    finally:
        signal.signal(number, before)
    assert process.stdout
    assert process.stderr
    process.stdout.readline()
    os.killpg(process.pid, number)  # as a terminal does
    _, err = process.communicate(timeout=60)
    word, code = ("interrupted", 130) if number == signal.SIGINT else ("terminated", 143)
    assert process.returncode == code
    assert err.splitlines()[-1] == f"{word}; everything written so far is complete"
    assert "Traceback" not in err
    written = [json.loads(line)["video"] for line in (tmp_path / "out" / "results.jsonl").read_text().splitlines()]
    assert written == [f"no-{number}.mp4" for number in range(len(written))]
    assert len((tmp_path / "out" / "results.csv").read_text().splitlines()) == len(written) + 1
