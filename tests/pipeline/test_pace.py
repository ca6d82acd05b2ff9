"""The pace at which workers send rows."""

from concurrent.futures import ThreadPoolExecutor
from time import monotonic

from pipeline.supervision import pace
from pipeline.supervision.pace import Pace


def test_nobody_is_faster_together_than_the_pace():
    started, shared = monotonic(), Pace(1000)
    with ThreadPoolExecutor(2) as threads:
        list(threads.map(shared.wait, [50, 50, 50, 50]))
    assert monotonic() - started >= 0.2


def test_who_is_slower_never_waits(monkeypatch):
    now, waited = [0.0], list[float]()
    monkeypatch.setattr(pace, "monotonic", lambda: now[0])
    monkeypatch.setattr(pace, "sleep", waited.append)
    slow = Pace(10)
    for now[0] in (1.0, 2.0, 3.0):
        slow.wait(9)
    assert not waited
    slow.wait(5)  # 32 in 3 seconds
    assert waited == [3.2 - 3.0]
