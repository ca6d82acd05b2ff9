"""The benchmarks run, and both ways that they time give the same answer. Nothing here is timed."""

import json

import pytest

from benchmarks import bench_tuning


def test_both_ways_to_tune_reach_the_same(tmp_path, capsys):
    assert bench_tuning.main(["--repeats", "1", "--out", str(tmp_path / "tuning.json")]) == 0
    content = json.loads((tmp_path / "tuning.json").read_text())
    values = [timing["value"] for timing in content["timings"]]
    assert len(values) == 2
    assert values[0] == pytest.approx(values[1])
    assert "3782" in capsys.readouterr().out.replace(",", "")
