"""Several callers share one worker: each gets what comes of its own tasks, and none keeps the others waiting.

The processes are real; what they do to a clip is that of `toy_worker`.
"""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event

import pytest
from toy_worker import WEIGHTS

from common.errors import UserError
from pipeline.config import TaggerConfig
from pipeline.results import ClipResult
from pipeline.supervision import process
from pipeline.supervision.feed import Feed
from pipeline.supervision.messages import Annotated, Setup, Tagged, Task
from pipeline.supervision.process import WorkerProcess
from pipeline.supervision.supervisor import Supervisor


@pytest.fixture
def feed(monkeypatch):
    monkeypatch.setattr(process, "BOOT", process.BOOT.replace("pipeline.supervision.worker", "toy_worker"))
    with Supervisor(WorkerProcess(Setup(TaggerConfig(detector="ok")))) as supervisor:
        yield Feed(supervisor)


def tasks(*names, first=0):
    return [Task(first + place, Path(name)) for place, name in enumerate(names)]


def test_each_caller_gets_what_is_its_own(feed):
    mine = {first: [f"clip-{first + place}" for place in range(20)] for first in (0, 100, 200)}
    with ThreadPoolExecutor() as callers:
        runs = {first: callers.submit(lambda f=first: list(feed.run(tasks(*mine[f], first=f)))) for first in mine}
    for first, run in runs.items():
        events = [report.event for report in run.result()]
        assert [event.index for event in events] == list(range(first, first + 20))
        assert [event.result.video for event in events] == mine[first]
        assert all(report.is_last for report in run.result())


def test_the_worker_goes_on_with_the_next_callers_before_the_last_result_is_taken(feed):
    asked, first = Event(), feed.run(tasks("clip-0", "clip-1"))
    next(first)  # and no further: a caller that is slow to take its results

    def second():
        asked.set()
        return [report.event.index for report in feed.run(tasks("clip-2", first=2))]

    with ThreadPoolExecutor() as callers:
        assert callers.submit(second).result(timeout=60) == [2]
    assert asked.is_set()
    assert [report.event.index for report in first] == [1]


def test_a_caller_may_come_when_nothing_is_under_way(feed):
    for index in range(3):
        (report,) = feed.run(tasks("clip", first=index))
        assert report.event.index == index


def test_a_clip_that_kills_the_worker_is_its_callers_alone(feed):
    with ThreadPoolExecutor() as callers:
        bad = callers.submit(lambda: list(feed.run(tasks("clip-0", "kill-0"))))
        good = callers.submit(lambda: list(feed.run(tasks("clip-1", "clip-2", first=7))))
    assert [report.event.result.status for report in bad.result()] == ["ok", "error"]
    assert [report.event.result.status for report in good.result()] == ["ok", "ok"]


def test_a_task_with_a_copy_ends_with_its_copy(feed, tmp_path):
    known = ClipResult("clip", "sha", "ok", None, WEIGHTS)
    reports = list(feed.run([Task(4, Path("clip"), copy=tmp_path / "copy.mp4", result=known)]))
    assert [(type(report.event), report.event.index, report.is_last) for report in reports] == [
        (Tagged, 4, False),
        (Annotated, 4, True),
    ]


def test_a_worker_that_cannot_go_on_refuses_all_callers(feed):
    for _ in range(2):  # those who come later, too
        with pytest.raises(UserError, match="the second stage cannot be loaded"):
            list(feed.run(tasks("refuse-0")))
