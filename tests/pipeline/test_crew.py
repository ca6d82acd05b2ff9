"""Several workers for one run: the results of one, in the same order, whatever a clip does to its worker.

The processes are real; what they do to a clip is that of `toy_worker`.
"""

import os
import threading
from pathlib import Path

import pytest

from common.errors import UserError
from common.system import Share, share_cores
from pipeline.config import TaggerConfig
from pipeline.results import ClipResult
from pipeline.supervision import process
from pipeline.supervision.crew import TASKS_AHEAD, Crew
from pipeline.supervision.messages import Annotated, Setup, Tagged, Task
from pipeline.supervision.process import WorkerProcess

WORKERS = 3
SHARES = [Share(1)] * WORKERS


@pytest.fixture(autouse=True)
def _toys(monkeypatch):
    monkeypatch.setattr(process, "BOOT", process.BOOT.replace("pipeline.supervision.worker", "toy_worker"))


def crew(load="ok", shares=SHARES):
    return Crew(Setup(TaggerConfig(detector=load)), shares)


def errors_of(events, names):
    """Return each clip's error; the events must be those of the clips, in their order."""
    assert [event.index for event in events] == list(range(len(names)))
    assert [event.result.video for event in events] == names
    return [event.result.error for event in events]


def test_many_clips_are_tagged_in_order():
    names = [f"clip-{number}" for number in range(100)]
    with crew() as workers:
        events = list(workers.run(Task(index, Path(name)) for index, name in enumerate(names)))
    assert errors_of(events, names) == [None] * len(names)
    assert workers.restarts == 0


def test_a_slow_clip_holds_up_its_own_worker_alone():
    names = ["slow-0", *(f"clip-{number}" for number in range(60))]
    taken = []

    def tasks():
        for index, name in enumerate(names):
            taken.append(index)
            yield Task(index, Path(name))

    with crew() as workers:
        run = workers.run(tasks())
        events = [next(run)]  # of the slow one: the others wait for their turn
        assert len(taken) == len(names) > WORKERS * TASKS_AHEAD
        events += run
    assert errors_of(events, names) == [None] * len(names)


def test_a_clip_that_kills_its_worker_costs_itself_alone():
    names = [f"clip-{number}" for number in range(20)]
    names[7] = "kill-0"
    with crew() as workers:
        events = list(workers.run(Task(index, Path(name)) for index, name in enumerate(names)))
    errors = errors_of(events, names)
    assert errors.pop(7) == "kill-0: the decoding process died with signal 9 (SIGKILL), three times"
    assert errors == [None] * 19
    assert workers.restarts == 3


def test_copies_and_earlier_results_keep_their_places(tmp_path):
    known = ClipResult("clip-1", "sha", "ok", None, None)
    tasks = [
        Task(0, Path("clip-0")),
        Task(1, Path("clip-1"), result=known),
        Task(2, Path("clip-2"), tmp_path / "copy.mp4", result=known),
        Task(3, Path("clip-3")),
    ]
    with crew() as workers:
        events = list(workers.run(tasks))
    assert [(event.index, type(event)) for event in events] == [
        (0, Tagged),
        (1, Tagged),
        (2, Tagged),
        (2, Annotated),
        (3, Tagged),
    ]
    assert events[1].result is known


def test_a_worker_that_cannot_start_ends_the_run():
    with crew(load="refuse") as workers, pytest.raises(UserError, match="the second stage cannot be loaded"):
        workers.ready()


def test_a_worker_that_cannot_go_on_ends_the_run():
    names = [*(f"clip-{number}" for number in range(9)), "refuse-0"]
    with crew() as workers, pytest.raises(UserError, match="the second stage cannot be loaded"):
        list(workers.run(Task(index, Path(name)) for index, name in enumerate(names)))


def test_a_warning_is_logged_once(caplog):
    with crew() as workers:
        list(workers.run([Task(0, Path("clip-0"))]))
    assert [record.getMessage() for record in caplog.records] == ["these are toys"]


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="needs /proc")
def test_no_worker_is_left_when_a_run_is_given_up():
    names, before = [f"slow-{number}" for number in range(12)], children()
    with crew() as workers:
        run = workers.run(Task(index, Path(name)) for index, name in enumerate(names))
        next(run)
        assert len(children() - before) == WORKERS
    for thread in threading.enumerate():
        if thread.name == "crew":
            thread.join(60)
            assert not thread.is_alive()
    assert workers.restarts == 0  # none was started for one that was ended on purpose
    assert children() <= before


def test_a_worker_that_starts_while_a_run_is_given_up_is_ended(monkeypatch):
    before = children()
    with crew(shares=SHARES[:1]) as workers:
        workers.ready()
        (supervisor,) = workers._supervisors
        start = WorkerProcess.__init__

        def start_and_give_up(worker, setup):
            start(worker, setup)
            workers.__exit__(None, None, None)

        monkeypatch.setattr(WorkerProcess, "__init__", start_and_give_up)
        with pytest.raises(UserError, match="the run has ended"):
            supervisor._lose("it was lost", 2)
        assert workers.restarts == 1
    assert children() <= before


def children():
    """Return the running workers that this process started."""
    found = set()
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
            is_worker = b"toy_worker" in (folder / "cmdline").read_bytes()
        except OSError:
            continue
        if is_worker and int(fields[1]) == os.getpid() and fields[0] != "Z":
            found.add(folder.name)
    return found


SPLITS = [
    pytest.param(8, 2, [4, 4], id="even"),
    pytest.param(8, 3, [3, 3, 2], id="uneven"),
    pytest.param(2, 2, [1, 1], id="one each"),
    pytest.param(2, 3, [1, 1, 1], id="more than there are"),
]


@pytest.mark.parametrize(("cores", "processes", "threads"), SPLITS)
def test_the_cores_are_divided(cores, processes, threads, monkeypatch):
    numbers = set(range(10, 10 + cores))
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: numbers, raising=False)
    monkeypatch.setattr("common.system.available_cores", lambda: cores)
    shares = share_cores(processes)
    assert [share.threads for share in shares] == threads == [len(share.cores) for share in shares]
    used = [core for share in shares for core in share.cores]
    assert set(used) <= numbers
    if processes <= cores:
        assert sorted(used) == sorted(numbers)  # each once


def test_under_a_quota_no_core_is_chosen(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(16)), raising=False)
    monkeypatch.setattr("common.system.available_cores", lambda: 4)
    assert share_cores(2) == [Share(2), Share(2)]


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="needs affinity")
def test_a_worker_runs_on_its_cores_alone():
    core, before = min(os.sched_getaffinity(0)), children()
    with crew(shares=[Share(1, (core,))]) as workers:
        workers.ready()
        (child,) = children() - before
        status = Path(f"/proc/{child}/status").read_text()
    assert f"Cpus_allowed_list:\t{core}\n" in status
