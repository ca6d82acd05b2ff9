"""A few hundred mutated videos; `fuzz_reader.py` reads many more by hand."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from fuzz_reader import make_input, write_originals

INPUTS = 400
MAX_MEGABYTES = 1024


def test_mutated_videos_yield_frames_or_an_error_of_ours(tmp_path: Path) -> None:
    script = Path(__file__).with_name("fuzz_reader.py")
    command = [sys.executable, str(script), "--inputs", str(INPUTS), "--seed", "13", "--out", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stdout
    outcomes = {name: int(count) for name, count in re.findall(r"'([a-z]+)': (\d+)", done.stdout)}
    assert sum(outcomes.values()) == INPUTS
    assert set(outcomes) == {"ok", "truncated", "error"}
    assert min(outcomes.values()) > INPUTS // 20
    peak = re.search(r"peak (\d+) MB", done.stdout)
    assert peak
    assert int(peak[1]) < MAX_MEGABYTES


@pytest.mark.parametrize("number", [0, 7])
def test_inputs_are_determined_by_seed_and_number(tmp_path: Path, number: int) -> None:
    originals = write_originals(tmp_path)
    assert make_input(number, 1, originals) == make_input(number, 1, originals) != make_input(number, 2, originals)
