"""One tagger may be used by several threads; a process that was forked from one that ran networks is refused."""

import os
import subprocess
import sys

import pytest

from common.paths import PROJECT

PREPARE = """
import os, sys, multiprocessing
from concurrent.futures import ThreadPoolExecutor
from pipeline.config import TaggerConfig
from pipeline.tagger import ActorActionTagger

config = TaggerConfig(backend=sys.argv[1], device="cpu", cache=None)
clips = sys.argv[2:]

def row(result):
    return {name: value for name, value in result.to_dict().items() if name != "timing"}

def attempt(clip):
    try:
        return "done", row(tagger.tag(clip))
    except Exception as reason:
        return type(reason).__name__, str(reason)

tagger = ActorActionTagger.from_config(config)
"""

THREADS = """
work = clips + clips[::-1] + clips[1:] + clips
with ThreadPoolExecutor(4) as threads:  # whose first calls all find nothing loaded
    found = list(threads.map(attempt, work))
for clip, outcome in zip(work, found):
    assert outcome == attempt(clip), outcome
"""

FORK = """
tagger.tag(clips[0])
child = os.fork()
if child == 0:
    print(*attempt(clips[0]), flush=True)
    tagger = ActorActionTagger.from_config(config)
    print(*attempt(clips[0]), flush=True)
    sys.exit(3)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 3
assert attempt(clips[0])[0] == "done"
with multiprocessing.get_context("fork").Pool(2) as pool:
    for outcome in pool.map(attempt, clips):
        print(*outcome)
"""

FORK_BEFORE = """
child = os.fork()
if child == 0:
    sys.exit(0 if attempt(clips[0])[0] == "done" else 4)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
assert attempt(clips[0])[0] == "done"
"""


def run(code, backend, *clips):
    return subprocess.run(
        [sys.executable, "-c", PREPARE + code, backend, *map(str, clips)],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        timeout=300,
        check=True,
    ).stdout


@pytest.mark.parametrize("backend", ["openvino", "torch"])
def test_threads_share_a_tagger(backend, people_clip, cat_clip, people_and_cat_clip):
    run(THREADS, backend, people_clip, cat_clip, people_and_cat_clip)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.parametrize("backend", ["openvino", "torch"])
def test_forked_process_is_refused(backend, people_clip, cat_clip):
    lines = run(FORK, backend, people_clip, cat_clip).splitlines()
    assert len(lines) == 4
    for line in lines:
        assert line.startswith(
            "UserError networks cannot run in a process that was forked after they ran in its parent"
        )
        assert "multiprocessing.get_context('spawn')" in line


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_process_that_was_forked_before_the_first_clip_works(people_clip):
    run(FORK_BEFORE, "openvino", people_clip)
