"""Running commands, and lengthening clips for them."""

import numpy as np
import pytest

from benchmarks.commands import lengthen, peak_bytes, run_command
from video.clips import decode_frames


def test_time_and_memory_of_a_command_are_measured():
    run = run_command(["-c", "import time; data = b'x' * 10**8; time.sleep(0.2)"])
    assert 0.2 <= run.seconds < 30
    assert 1e8 < run.peak_bytes < 2e8


def test_environment_variables_are_added():
    check = "import os, sys; sys.exit(not ('PATH' in os.environ and os.environ['NAME'] == 'value'))"
    run_command(["-c", check], {"NAME": "value"})
    with pytest.raises(RuntimeError):
        run_command(["-c", check], {"NAME": "other"})


def test_project_commands_are_run_in_the_project():
    assert run_command(["run_pipeline.py", "--help"]).peak_bytes < 2e8
    with pytest.raises(RuntimeError, match="unrecognized"):
        run_command(["run_pipeline.py", "--demo", "--no-such-option"])


def test_peak_memory_of_an_unknown_process_is_0():
    assert peak_bytes("no process") == 0


def test_clips_are_lengthened_by_repetition(people_clip, tmp_path):
    images = [frame.image() for frame in decode_frames(people_clip)]
    frames = list(decode_frames(lengthen(people_clip, 3.0, tmp_path)))  # of 2 seconds
    times = [frame.time_seconds for frame in frames]
    assert len(times) == 12
    assert times[-1] == pytest.approx(2.75)
    assert min(np.diff(times)) > 0
    first_again = frames[len(images)].image().astype(int)
    differences = [np.abs(first_again - image).mean() for image in images]
    assert int(np.argmin(differences)) == 0
