"""Some mutated videos are tagged; `fuzz_tag.py` tags many more by hand."""

from pathlib import Path

from fuzz_tag import STATUSES, tag_inputs

INPUTS = 60


def test_mutated_videos_have_one_row_each(tmp_path: Path) -> None:
    statuses, faults = tag_inputs(tmp_path / "fuzz", INPUTS, seed=13)
    assert faults == []
    assert set(statuses) == STATUSES
    assert sum(statuses.values()) == INPUTS
