"""Rows of results: their documented format, and a folder of them that survives being killed."""

import csv
import json
from dataclasses import replace
from pathlib import Path

import pytest

from a2d.taxonomy import load_taxonomy
from common.errors import UserError
from pipeline.results import ActorEvidence, ClipResult, TaggedLabel, Timeline, Weights
from pipeline.results_folder import ResultsFolder, format_csv
from pipeline.visualization.text_report import format_result

PERSON_LABELS = load_taxonomy().actor("person").label_names
WEIGHTS = Weights("d" * 64, "7" * 64, {"person": "a" * 64, "dog": "b" * 64})


def row(video: str = "clip.mp4", **changes: object) -> ClipResult:
    result = ClipResult(
        video=video,
        sha256="c" * 64,
        status="ok",
        error=None,
        weights=WEIGHTS,
        frames=74,
        fps=24.0,
        duration_seconds=3.083,
        actors={
            "person": ActorEvidence(0.93, 0.1, True, 0.83, (4, 13)),
            "ball": ActorEvidence(0.0, 0.1, False, -0.1),
            "bird": ActorEvidence(0.02, 0.1, False, -0.08),
            "car": ActorEvidence(0.0, 0.1, False, -0.1),
            "cat": ActorEvidence(0.09, 0.1, False, -0.01),
            "dog": ActorEvidence(0.0, 0.1, False, -0.1),
        },
        labels=(TaggedLabel("adult-walking", 18, 0.81, ((0.0, 1.5), (2.0, 3.083))),),
        scores={name: 0.33 for name in PERSON_LABELS} | {"adult-walking": 0.81},
        timeline={"person": Timeline((0.0, 0.5), {name: (0.2, 0.4) for name in PERSON_LABELS})},
        timing={"total_seconds": 1.5},
    )
    return replace(result, **changes)  # type: ignore[arg-type]


def failed(video: str) -> ClipResult:
    return ClipResult(video, None, "error", f"{video}: no such file", WEIGHTS)


def rows_of(path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_a_row_has_the_documented_format():
    written = json.loads(json.dumps(row().to_dict()))
    assert list(written) == [
        *("schema", "video", "sha256", "status", "error", "frames", "fps", "duration_seconds"),
        *("actors", "labels", "scores", "timeline", "weights", "timing"),
    ]
    assert written["schema"] == 2
    assert written["actors"]["person"] == {
        "presence": 0.93,
        "gate": 0.1,
        "present": True,
        "margin": 0.83,
        "frames": [4, 13],
    }
    assert written["labels"] == [
        {"label": "adult-walking", "id": 18, "score": 0.81, "segments": [[0.0, 1.5], [2.0, 3.083]]}
    ]
    assert set(written["weights"]) == {"detector", "thresholds", "heads"}


@pytest.mark.parametrize("result", [row(), failed("no.mp4")], ids=["ok", "error"])
def test_from_dict_inverts_to_dict(result):
    assert ClipResult.from_dict(json.loads(json.dumps(result.to_dict()))) == result


@pytest.mark.parametrize(
    "change",
    [{"schema": 1}, {"labels": [{"name": "x"}]}, {"weights": {}}, {"more": 1}],
    ids=lambda change: [*change][0],
)
def test_rows_of_another_format_are_refused(change):
    with pytest.raises(ValueError, match="schema|not a row"):
        ClipResult.from_dict(row().to_dict() | change)


def test_the_nearest_miss_is_the_detected_actor_nearest_to_its_gate():
    assert row().nearest_miss == "cat"
    assert replace(row(), actors={"dog": ActorEvidence(0.0, 0.001, False, -0.001)}).nearest_miss is None


def test_format_result_states_the_reasons(taxonomy):
    text = format_result(row(), taxonomy, 0.5)
    assert "74 frames, 3.1 s, 24 frames/s" in text
    assert "93.0 %" in text
    assert "present (+83.0)" in text
    assert "who does what: adult-walking (0.81)" in text
    assert "nearest miss: cat, in 9.0 % of the frames, gate 10.0 %" in text
    assert format_result(failed("no.mp4"), taxonomy, 0.5) == "no.mp4\n  not tagged: no.mp4: no such file"


def folder(path: Path, weights: Weights = WEIGHTS, **settings: object) -> ResultsFolder:
    return ResultsFolder(path, weights, {"label_threshold": 0.5, **settings})


def test_a_second_run_continues_where_the_first_was_killed(tmp_path):
    first = folder(tmp_path)
    first.add(row("a.mp4"))
    first.add(failed("b.mp4"))
    with first.jsonl.open("a") as file:
        file.write('{"schema": 1, "video": "c.m')  # killed in the middle of a line
    second = folder(tmp_path)
    assert second.find("a.mp4") == row("a.mp4")
    assert second.find("b.mp4") is None, "a failure is tried again"
    assert second.find("c.mp4") is None
    assert [entry["status"] for entry in rows_of(second.jsonl)] == ["ok", "error"], "and its row remains until then"
    second.add(row("c.mp4"))
    second.add(row("b.mp4"))
    assert [entry["video"] for entry in rows_of(second.jsonl)] == ["a.mp4", "b.mp4", "c.mp4"]
    assert {entry["status"] for entry in rows_of(second.jsonl)} == {"ok"}


@pytest.mark.parametrize("name", ["b\u2028.mp4", "b\u0085.mp4", "b\udcff.mp4", "b c.mp4", "ünï.mp4"], ids=ascii)
def test_no_file_name_breaks_a_row(tmp_path, name):
    first = folder(tmp_path)
    for video in ("a.mp4", name, "c.mp4"):
        first.add(row(video))
    first.write_csv()
    second = folder(tmp_path)
    assert [second.find(video) for video in ("a.mp4", name, "c.mp4")] == [row("a.mp4"), row(name), row("c.mp4")]
    assert len(rows_of(second.jsonl)) == 3


def test_a_clip_has_one_row_however_its_path_is_spelled(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    results = folder(tmp_path / "out")
    results.add(row("a.mp4"))
    results.add(row(str(tmp_path / "a.mp4"), frames=75))
    assert [entry["frames"] for entry in rows_of(results.jsonl)] == [75]


def test_the_spreadsheet_contains_all_rows(tmp_path):
    first = folder(tmp_path)
    first.add(row("a.mp4"))
    second = folder(tmp_path)
    second.add(row("b.mp4"))
    second.write_csv()
    lines = list(csv.DictReader((tmp_path / "results.csv").read_text().splitlines()))
    assert [line["video"] for line in lines] == ["a.mp4", "b.mp4"]


OTHER_HEAD = replace(WEIGHTS, heads={**WEIGHTS.heads, "dog": "e" * 64})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"weights": OTHER_HEAD}, "weights.heads.dog was bbbbbbbbbbbb, is eeeeeeeeeeee"),
        ({"label_threshold": 0.4}, "settings.label_threshold was 0.5, is 0.4"),
    ],
    ids=["another head", "another setting"],
)
def test_results_of_different_runs_are_never_mixed(tmp_path, change, message):
    folder(tmp_path).add(row("a.mp4"))
    with pytest.raises(UserError, match=rf"another run .{message}.*name another --out"):
        folder(tmp_path, **change)
    assert folder(tmp_path).find("a.mp4"), "refusing must not lose anything"


def test_a_file_that_contains_no_results_is_not_changed(tmp_path):
    (tmp_path / "results.jsonl").write_text("my notes\n")
    with pytest.raises(UserError, match=r"results.jsonl:1: not a row of results"):
        folder(tmp_path)
    assert (tmp_path / "results.jsonl").read_text() == "my notes\n"


def test_the_spreadsheet_has_one_line_per_clip():
    lines = list(csv.DictReader(format_csv([row(), failed("b, c.mp4")]).splitlines()))
    assert lines[0]["labels"] == "adult-walking"
    assert lines[0]["presence_person"] == "0.93"
    assert (lines[1]["video"], lines[1]["status"], lines[1]["presence_dog"]) == ("b, c.mp4", "error", "")
