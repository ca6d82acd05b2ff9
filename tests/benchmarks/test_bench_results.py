"""The benchmark of continuing a run, with a few rows."""

import json

from benchmarks import bench_results


def test_every_step_is_measured(tmp_path):
    command = ["--rows", "30", "--row-kb", "1", "--folder", str(tmp_path), "--out", str(tmp_path / "report.json")]
    assert bench_results.main(command) == 0
    rows = json.loads((tmp_path / "report.json").read_text())["rows"]
    assert list(rows) == ["30 rows of 1 KB, no index yet", "30 rows of 1 KB, index"]
    for row in rows.values():
        assert row["open_s"] > 0  # of four decimals; all steps together may round to nothing
        assert row["all_s"] >= 0
        assert 0 < row["peak_mb"] < 500
    assert [path.name for path in tmp_path.iterdir()] == ["report.json"], "nothing is left"


def test_rows_have_about_the_size_that_is_asked_for(tmp_path):
    for kilobytes in (1, 4):
        folder = tmp_path / str(kilobytes)
        bench_results.write_rows(folder, 3, 1000 * kilobytes)
        lines = (folder / "results.jsonl").read_text().splitlines()
        assert len({json.loads(line)["path"] for line in lines}) == 3
        assert all(0.9 < len(line) / 1000 / kilobytes < 1.5 for line in lines)
