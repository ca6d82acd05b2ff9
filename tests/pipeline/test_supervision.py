"""The worker process and its supervisor: whatever a clip does to the process costs this clip, not the run.

The processes are real; what they do to a clip is that of `toy_worker`, except in the last tests.
"""

import json
import logging
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from common.errors import UserError
from common.paths import PROJECT
from pipeline.config import TaggerConfig
from pipeline.supervision import process, supervisor
from pipeline.supervision.messages import Annotated, Setup, Tagged, Task
from pipeline.supervision.process import WorkerProcess
from pipeline.supervision.supervisor import Supervisor


@pytest.fixture(autouse=True)
def _toys(monkeypatch):
    monkeypatch.setattr(process, "BOOT", process.BOOT.replace("pipeline.supervision.worker", "toy_worker"))


@contextmanager
def supervise(timeout_seconds: float | None = None, load: str = "ok") -> Iterator[Supervisor]:
    with Supervisor(WorkerProcess(Setup(TaggerConfig(detector=load))), timeout_seconds) as supervisor:
        yield supervisor


def tag(*clips: Path | str, timeout_seconds: float | None = None) -> tuple[list[str | None], int]:
    """Tag clips; return the error of each, or None, and how often the worker was restarted."""
    tasks = [Task(index, Path(clip)) for index, clip in enumerate(clips)]
    with supervise(timeout_seconds) as supervisor:
        events = list(supervisor.run(iter(tasks)))
        assert [event.index for event in events] == list(range(len(clips)))
        assert all(
            isinstance(event, Tagged) and event.result.video == str(task.clip)
            for event, task in zip(events, tasks, strict=True)
        )
        return [event.result.error for event in events], supervisor.restarts


def write_counter(folder: Path, name: str, times: int) -> Path:
    """Write a clip that misbehaves so many times, and is well then."""
    path = folder / name
    path.write_text(str(times))
    return path


def test_many_clips_are_tagged_in_order():
    assert tag(*(f"ok-{number}" for number in range(200))) == ([None] * 200, 0)
    assert tag() == ([], 0)


@pytest.mark.parametrize(
    ("clip", "how"),
    [
        ("segv", "died with signal 11 (SIGSEGV)"),
        ("kill", "died with signal 9 (SIGKILL)"),
        ("leave", "ended with exit code 7"),
        ("segv-late", "died with signal 11 (SIGSEGV)"),
    ],
)
def test_a_clip_that_kills_the_process_has_three_strikes(clip, how):
    errors, restarts = tag("ok-1", "ok-2", clip, "ok-3", "ok-4")
    assert errors == [None, None, f"{clip}: the decoding process {how}, three times", None, None]
    assert restarts == 3


def test_a_process_that_dies_of_something_else_costs_nothing(tmp_path):
    clip = write_counter(tmp_path, "kill-1", 2)
    assert tag("ok-1", clip, "ok-2") == ([None] * 3, 2)


@pytest.mark.parametrize("clip", ["hang", "block", "stop-late"])
def test_a_clip_that_hangs_is_given_up(clip):
    errors, restarts = tag("ok-1", clip, "ok-2", timeout_seconds=1)
    assert errors == [None, f"{clip}: no result within 1 s (--timeout), twice", None]
    assert restarts == 2


def test_a_process_that_was_stopped_once_costs_nothing(tmp_path):
    clip = write_counter(tmp_path, "stop", 1)
    assert tag("ok-1", clip, "ok-2", timeout_seconds=1) == ([None] * 3, 1)


def test_several_bad_clips_among_good_ones():
    clips = ["segv-1", "ok-1", "hang", "bug", "ok-2", "noise", "leave"]
    errors, _ = tag(*clips, timeout_seconds=1)
    assert [error is None for error in errors] == [clip.startswith(("ok", "noise")) for clip in clips]


def test_without_a_limit_a_slow_clip_is_waited_for_and_one_without_a_sign_of_life_is_not(monkeypatch):
    monkeypatch.setattr(supervisor, "STALL_SECONDS", 2)
    assert tag("ok-1", "slow", "ok-2") == ([None] * 3, 0), "it takes 3 s, and beats"
    errors, restarts = tag("ok-1", "hang", "ok-2")
    assert errors == [None, "hang: no progress for 2 s, twice", None]
    assert restarts == 2


def test_the_limit_holds_for_the_whole_clip_but_not_for_the_networks():
    assert tag("slow", timeout_seconds=1)[0] == ["slow: no result within 1 s (--timeout), twice"]
    assert tag("prepare", "ok", timeout_seconds=1) == ([None, None], 0), "preparing takes 1.5 s"


def test_an_unexpected_exception_costs_one_clip():
    errors, _ = tag("ok-1", "bug", "ok-2")
    assert errors[0] is errors[2] is None
    assert errors[1].startswith("bug: ZeroDivisionError: division (tests/toy_worker.py:")


@pytest.mark.parametrize(
    ("load", "message"),
    [
        ("refuse", "^the second stage cannot be loaded$"),
        ("segv", r"died with signal 11 \(SIGSEGV\) while it loaded the networks, three times; no clip is to blame"),
        ("bug", "ZeroDivisionError: division .* while it loaded the networks, twice"),
    ],
)
def test_a_worker_that_cannot_start_ends_the_run(load, message):
    with supervise(load=load) as supervisor, pytest.raises(UserError, match=message):
        supervisor.ready()
    assert supervisor.restarts <= 2


def test_a_worker_that_was_killed_while_it_loaded_costs_nothing(tmp_path):
    with supervise(load=str(write_counter(tmp_path, "kill", 2))) as supervisor:
        (event,) = supervisor.run([Task(0, Path("ok"))])
    assert isinstance(event, Tagged)
    assert supervisor.restarts == 2


@pytest.mark.parametrize(
    ("clip", "message"),
    [("refuse", "cannot be loaded"), ("unprepared", "while it loaded the networks, three times; no clip")],
)
def test_networks_that_cannot_be_prepared_end_the_run(clip, message):
    with pytest.raises(UserError, match=message):
        tag(clip, "ok")


def test_a_warning_is_logged_once(tmp_path, caplog):
    with caplog.at_level(logging.WARNING):
        assert tag("ok-1", write_counter(tmp_path, "kill", 1))[1] == 1
    assert [record.getMessage() for record in caplog.records] == ["these are toys"]


def test_a_result_that_is_known_is_yielded_in_its_place():
    with supervise() as supervisor:
        (first,) = supervisor.run([Task(0, Path("ok"))])
    assert isinstance(first, Tagged)
    tasks = [
        Task(0, Path("a")),
        Task(1, Path("b"), result=first.result),
        Task(2, Path("segv")),
        Task(3, Path("d"), result=first.result),
    ]
    with supervise() as supervisor:
        events = list(supervisor.run(tasks))
    assert [event.index for event in events] == [0, 1, 2, 3]
    assert events[1].result == events[3].result == first.result


def test_a_missing_annotated_copy_does_not_cost_the_result(tmp_path, monkeypatch):
    with supervise() as supervisor:
        (first,) = supervisor.run([Task(0, Path("ok"))])
        assert isinstance(first, Tagged)
    task = Task(0, Path("ok"), tmp_path / "ok.mp4", first.result)
    with supervise() as supervisor:
        known, copy = supervisor.run([task])
    assert (known, type(copy)) == (first, Annotated)
    assert "'ToyTagger' object has no attribute 'detector'" in copy.reason


def is_running(number: int) -> bool:
    try:
        return Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="needs /proc")
@pytest.mark.parametrize("clip", ["hang", "block"])
def test_the_worker_ends_when_the_run_is_killed(clip):
    code = (
        "from pathlib import Path; from test_supervision import process, supervise, Task\n"
        "process.BOOT = process.BOOT.replace('pipeline.supervision.worker', 'toy_worker')\n"
        "with supervise() as supervisor:\n"
        "    supervisor.ready(); print(supervisor._worker._process.pid, flush=True)\n"
        f"    list(supervisor.run([Task(0, Path('{clip}'))]))\n"
    )
    folders = map(str, (PROJECT, PROJECT / "tests", Path(__file__).parent))
    run = subprocess.Popen(
        [sys.executable, "-c", code],
        stdout=subprocess.PIPE,
        text=True,
        cwd=PROJECT,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(folders)},
    )
    assert run.stdout
    worker = int(run.stdout.readline())
    time.sleep(0.5)
    assert is_running(worker)
    run.kill()
    run.wait()
    deadline = time.monotonic() + 60  # a busy system may take its time
    while is_running(worker) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not is_running(worker)
    run.stdout.close()


def test_the_worker_ends_with_its_supervisor_and_ignores_the_signals_of_the_terminal():
    with supervise() as supervisor:
        supervisor.ready()
        worker = supervisor._worker._process
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            os.kill(worker.pid, number)
        (event,) = supervisor.run([Task(0, Path("ok"))])
        assert isinstance(event, Tagged)
        assert event.result.status == "ok"
    assert worker.returncode is not None


KILLER = """
import os, signal, sys
def kill(event, arguments):
    if event == "open" and sys.argv[:1] == ["-c"] and str(arguments[0]).endswith("b.mp4"):
        os.kill(os.getpid(), signal.SIGSEGV)
sys.addaudithook(kill)
"""


def test_a_run_survives_a_clip_that_kills_the_decoding_process_and_a_copy_that_cannot_be_written(
    people_clip, cat_clip, stages, tmp_path
):
    (tmp_path / "sitecustomize.py").write_text(KILLER)
    (tmp_path / "in").mkdir()
    for name, clip in (("a.mp4", people_clip), ("b.mp4", cat_clip), ("c.mp4", cat_clip)):
        (tmp_path / "in" / name).symlink_to(clip)
    (tmp_path / "copies" / "a.annotated.mp4" / "in the way").mkdir(parents=True)
    command = [sys.executable, "run_pipeline.py", "--video", str(tmp_path / "in"), "--json", *stages]
    command += ["--out", str(tmp_path / "out"), "--annotate", str(tmp_path / "copies")]
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    done = subprocess.run(command, cwd=PROJECT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert [row["status"] for row in rows] == ["ok", "error", "ok"]
    assert rows[1]["error"].endswith("b.mp4: the decoding process died with signal 11 (SIGSEGV), three times")
    assert [json.loads(line) for line in (tmp_path / "out" / "results.jsonl").read_text().splitlines()] == rows
    assert (tmp_path / "copies" / "c.annotated.mp4").is_file()
    assert len(list((tmp_path / "copies").iterdir())) == 2
    lines = [line for line in done.stderr.splitlines() if not line.startswith("using ")]
    assert "Traceback" not in done.stderr
    assert lines[0].startswith(f"{tmp_path / 'in' / 'a.mp4'}: no annotated copy (")
    # Once more if the clip was read ahead while the networks were still being loaded.
    assert re.fullmatch(r"the decoding process had to be restarted [34] times", lines[1])
    assert "not as they should be: 1 × the decoding process died with signal 11 (SIGSEGV), three times" in lines
    assert lines[-1] == "of 3 clips, 1 could not be read and 0 are truncated; 1 annotated copy is missing"
