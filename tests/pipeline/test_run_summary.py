"""The end of a folder run: what it says, and what `--quiet` leaves."""

from dataclasses import replace
from pathlib import Path

import pytest
from result_rows import failed, row

from pipeline.__main__ import run_command
from pipeline.results import TaggedLabel
from pipeline.visualization.run_summary import RunSummary


def summary_of(*results, copy_error: str = "") -> RunSummary:
    summary = RunSummary()
    for result in results:
        summary.add(result, copy_error)
    return summary


def test_overview_counts_what_the_clips_show_and_what_is_wrong():
    cat = replace(row("c.mp4", duration_seconds=60.0), labels=(TaggedLabel("cat-eating", 41, 0.9),))
    summary = summary_of(
        *(row(f"{number}.mp4", duration_seconds=30.0) for number in range(3)),
        cat,
        *(failed(f"{number}.avi") for number in range(2)),
        failed("x.mkv", "not a video"),
    )
    lines = summary.overview(50.0, Path("out"))
    assert lines == [
        "7 clips, 2 min 30 s of video, in 50 s (3.0 times as fast as they play)",
        "labels: 3 × adult-walking, 1 × cat-eating",
        "not as they should be: 2 × no such file, 1 × not a video",
        f"results: {Path('out') / 'results.csv'}, {Path('out') / 'results.jsonl'}",
        "next: actor-action report out",
    ]
    assert len(summary.overview(50.0, None)) == 3


def test_machines_and_slow_clips_are_named_where_there_are_several():
    summary = RunSummary()
    for number in range(12):
        clip = replace(row(f"{number}.mp4"), timing={"total_seconds": 100.0 if number == 7 else 1.0})
        summary.add(clip, machine="north" if number % 4 else "south")
    summary.add(failed("x.mkv"), machine="south")
    summary.add(row("of an earlier run.mp4"))
    lines = summary.overview(60.0, None)
    assert lines[1:4] == [
        "north: 9 clips, 9.0 a minute",
        "south: 4 clips, 4.0 a minute, 1 of them could not be read",
        "took long: 7.mp4 (1 min 40 s)",
    ]


def test_no_clip_took_long_where_all_are_alike():
    summary = RunSummary()
    for number in range(5):
        summary.add(replace(row(f"{number}.mp4"), timing={"total_seconds": 2.0}), machine="north")
    assert summary.overview(60.0, None)[1] == "north: 5 clips, 5.0 a minute"
    assert not any("took long" in line for line in summary.overview(60.0, None))


def test_long_lists_are_cut():
    labels = tuple(TaggedLabel(f"cat-{number:02}", number, 0.5) for number in range(12))
    (_, line) = summary_of(replace(row(), labels=labels)).overview(1.0, None)
    assert line.startswith("labels: 1 × cat-00, 1 × cat-01, ")
    assert line.endswith(", 4 more")


def test_problems_are_one_line_and_none_is_empty():
    assert summary_of(row()).problems() == ""
    summary = summary_of(row(), failed("a.mp4"), row(status="truncated", error="ends early"))
    assert summary.problems() == "of 3 clips, 1 could not be read and 1 are truncated"
    assert summary_of(row(), copy_error="disk full").problems().endswith("; 1 annotated copy is missing")


def test_quiet_run_prints_problems_only(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    clips = [str(tmp_path / name) for name in ("a.mp4", "b.mp4")]
    assert run_command("tag", ["--video", *clips, "--quiet", "--out", str(tmp_path / "out")]) == 1
    out, error = capsys.readouterr()
    assert out == ""
    assert error == "of 2 clips, 2 could not be read and 0 are truncated\n"
    assert len((tmp_path / "out" / "results.jsonl").read_text().splitlines()) == 2
    assert run_command("tag", ["--video", *clips]) == 1
    assert "not as they should be: 2 × no such file" in capsys.readouterr().err
