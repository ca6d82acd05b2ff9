"""Cost against work is measured on real runs, and a slope of 1 is linear."""

import json

import pytest

from benchmarks import bench_scaling
from benchmarks.plot import plot_scaling


def test_slope():
    assert bench_scaling.slope((10, 3.0), (1000, 300.0)) == pytest.approx(1)
    assert bench_scaling.slope((10, 3.0), (1000, 3.0)) == 0
    assert bench_scaling.slope((10, 1.0), (100, 100.0)) == pytest.approx(2)


def test_every_line_is_measured_and_plotted(demo_clip, tmp_path, monkeypatch):
    for name, (measure, _) in bench_scaling.LINES.items():
        monkeypatch.setitem(bench_scaling.LINES, name, (measure, (1, 2)))
    monkeypatch.setattr(bench_scaling, "SIZES", (1, 2))
    out = tmp_path / "scaling.json"
    assert bench_scaling.main(["--clip", str(demo_clip), "--out", str(out)]) == 0
    report = json.loads(out.read_text())
    assert list(report["rows"]) == [f"{line}: {amount}" for line in bench_scaling.LINES for amount in (1, 2)]
    assert all(row["seconds"] > 0 for row in report["rows"].values())
    assert ["slope" in row for row in report["rows"].values()] == [False, True] * 4
    plot_scaling(report, tmp_path / "scaling.png")
    assert (tmp_path / "scaling.png").read_bytes().startswith(b"\x89PNG")
