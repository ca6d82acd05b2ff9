"""The log of results: every line is written at once, and brought to disk."""

import os

import pytest

from pipeline import results_log
from pipeline.results_log import SYNC_SECONDS, ResultsLog


@pytest.fixture
def synced(monkeypatch):
    """The sizes of the file at which it was brought to disk."""
    sizes, sync = [], os.fsync
    monkeypatch.setattr(os, "fsync", lambda file: (sync(file), sizes.append(os.fstat(file).st_size)))
    return sizes


def test_lines_in_succession_are_brought_to_disk_together(tmp_path, monkeypatch, synced):
    now = 0.0
    monkeypatch.setattr(results_log, "monotonic", lambda: now)
    log = ResultsLog(tmp_path / "log")
    for _ in range(5):
        log.append(b"1234")
        assert (tmp_path / "log").stat().st_size == log.size, "written at once"
    assert synced == [5]
    now = SYNC_SECONDS
    log.append(b"1234")
    assert synced == [5, 30], "with all before it"
    log.append(b"1234")
    log.close()
    log.close()
    assert synced == [5, 30, 35]


def test_lines_that_take_their_time_are_brought_to_disk_one_by_one(tmp_path, monkeypatch, synced):
    now = 0.0
    monkeypatch.setattr(results_log, "monotonic", lambda: now)
    log = ResultsLog(tmp_path / "log")
    for line in range(3):
        now = line * 1.0
        log.append(b"1234")
    log.close()
    assert synced == [5, 10, 15]
