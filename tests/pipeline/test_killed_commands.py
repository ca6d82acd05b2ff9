"""A tuning or a training that is killed leaves whole files, and the next one finishes."""

import kill_commands
import pytest


@pytest.mark.parametrize("name", kill_commands.JOBS)
def test_killed_command_leaves_whole_files(name, tmp_path):
    kill_commands.kill_at_random_moments(name, kills=2, folder=tmp_path)
