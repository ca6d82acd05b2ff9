"""Cores that processes claim for themselves: no two of them the same ones, and free again when their process ends."""

import os
import subprocess
import sys
import tempfile

import pytest

from common.system import Share, available_cores

pytestmark = pytest.mark.skipif(
    not hasattr(os, "sched_getaffinity") or available_cores() != len(os.sched_getaffinity(0)),
    reason="this process is not limited to cores, but to their time",
)

CLAIM = """
import sys
from common.core_claims import claim_cores
share = claim_cores(int(sys.argv[1]))
print(share.threads, *share.cores, flush=True)
sys.stdin.read()
"""


@pytest.fixture
def claim(tmp_path, monkeypatch):
    """Start a process that claims cores; returns it, and its share."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.delenv("ACTOR_ACTION_THREADS", raising=False)
    started = []

    def start(count):
        process = subprocess.Popen(
            [sys.executable, "-c", CLAIM, str(count)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "TMPDIR": str(tmp_path)},
        )
        started.append(process)
        threads, *cores = map(int, process.stdout.readline().split())
        return process, Share(threads, tuple(cores))

    yield start
    for process in started:
        process.communicate("")


def test_every_process_has_cores_of_its_own_until_there_are_no_more(claim):
    available = os.sched_getaffinity(0)
    shares = [claim(1)[1] for _ in available]
    assert {core for share in shares for core in share.cores} == available
    assert claim(1)[1] == Share(1), "it may run on any"


def test_cores_are_free_when_their_process_ends(claim):
    first, share = claim(len(os.sched_getaffinity(0)))
    assert set(share.cores) == os.sched_getaffinity(0)
    assert not claim(1)[1].cores
    first.communicate("")
    assert len(claim(1)[1].cores) == 1


def test_more_cores_than_there_are_leave_none_claimed(claim):
    count = len(os.sched_getaffinity(0))
    assert claim(count + 1)[1] == Share(count + 1)
    assert len(claim(count)[1].cores) == count
