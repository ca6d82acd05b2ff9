"""The command line given what is no clip: a row or a line, never a wait."""

import json
import os
import subprocess
import sys

import pytest

from common.paths import PROJECT
from pipeline.commands import console


def tag(folder, *videos):
    command = [sys.executable, str(PROJECT / "run_pipeline.py"), "--json", "--video", *videos]
    return subprocess.run(
        command, cwd=folder, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=120
    )


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_a_pipe_has_a_row_of_its_own(tmp_path):
    os.mkfifo(tmp_path / "pipe.mp4")
    done = tag(tmp_path, "pipe.mp4", "/dev/zero", "no.mp4")
    assert done.returncode == console.SOME_FAILED
    errors = [json.loads(line)["error"] for line in done.stdout.splitlines()]
    assert [error.partition(";")[0] for error in errors] == [
        "pipe.mp4: a named pipe, not a file",
        "/dev/zero: a device, not a file",
        "no.mp4: no such file or directory",
    ]


def test_an_address_of_an_unknown_kind_is_wrong_usage(tmp_path):
    done = tag(tmp_path, "rtsp://example.org/clip.mp4")
    assert done.returncode == console.WRONG_USAGE
    assert done.stderr.startswith(
        "error: rtsp://example.org/clip.mp4: addresses of rtsp:// are not supported; download the clip"
    )
    assert len(done.stderr.splitlines()) == 1
