"""Benchmark of tuning the gates."""

import json

import pytest

from benchmarks import bench_tuning


def test_both_implementations_reach_the_same_objective(tmp_path, capsys):
    assert bench_tuning.main(["--repeats", "1", "--out", str(tmp_path / "tuning.json")]) == 0
    report = json.loads((tmp_path / "tuning.json").read_text())
    names = [timing["name"] for timing in report["timings"]]
    assert names == ["one particle at a time", "all particles at once"]
    loop, vectorized = (timing["value"] for timing in report["timings"])
    assert loop == pytest.approx(vectorized)
    assert loop == pytest.approx(-0.5892, abs=1e-4)
    assert "3782 videos" in capsys.readouterr().out


def test_every_simulated_video_has_an_actor():
    table = bench_tuning.simulate_presence()
    assert (table.videos, table.actors) == (3782, 6)
    assert table.truth.any(axis=1).all()
    assert table.ratios[table.truth].mean() > 10 * table.ratios[~table.truth].mean()
