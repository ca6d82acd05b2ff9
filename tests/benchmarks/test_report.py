"""Reports of benchmarks."""

import json

from benchmarks.page import format_machine
from benchmarks.report import describe_machine, format_rows, publish


def test_rows_may_lack_columns():
    lines = format_rows({"first": {"seconds": 0.12345, "peak_mb": 1234.5}, "second": {"seconds": 2}}).splitlines()
    cells = [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines]
    assert cells[0] == ["", "seconds", "peak mb"]
    assert cells[2:] == [["first", "0.1235", "1,234"], ["second", "2", ""]]


def test_report_is_printed_and_written(tmp_path, capsys):
    rows = {"stage 1": {"frames_per_second": 250.0}}
    publish({"timed_clips": 3}, rows, tmp_path / "report.json")
    printed = capsys.readouterr().out
    assert "timed clips: 3" in printed
    assert "frames per second" in printed
    report = json.loads((tmp_path / "report.json").read_text())
    assert report == {"machine": describe_machine(), "timed_clips": 3, "rows": rows}


def test_machine_is_described_in_one_line():
    machine = {"cpu": "CPU", "cores": 2, "memory_gib": 24, "vector_units": ["avx2", "amx_bf16"], "python": "3.11.7"}
    assert format_machine(machine) == "2 cores of an CPU (AVX2, AMX-BF16), 24 GiB, Python 3.11.7"
