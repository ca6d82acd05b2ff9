"""Rows of results: their documented format."""

import csv
import io
import json
from dataclasses import replace

import pytest
from result_rows import failed, row

from pipeline.results import ActorEvidence, ClipResult, absolute_path
from pipeline.results_folder import format_csv
from pipeline.visualization.text_report import format_result


def test_a_row_has_the_documented_format():
    written = json.loads(json.dumps(row().to_dict()))
    assert list(written) == [
        *("schema", "video", "path", "sha256", "status", "error", "frames", "fps", "duration_seconds"),
        *("actors", "labels", "scores", "timeline", "weights", "timing", "looks"),
    ]
    assert written["schema"] == 2
    assert written["actors"]["person"] == {
        "presence": 0.93,
        "gate": 0.1,
        "present": True,
        "margin": 0.83,
        "frames": [4, 13],
        "windows": [],
        "detected": None,
        "boxes": [],
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


@pytest.mark.parametrize("name", ["=1+1.mp4", "+cmd|x.mp4", "-2.mp4", "@SUM(1).mp4", "\tx.mp4"])
def test_no_cell_of_the_spreadsheet_is_a_formula(name: str):
    """And the path is still one of the same file."""
    (line,) = csv.DictReader(io.StringIO(format_csv([replace(failed(name), error=f"{name}: no such file")])))
    assert not [cell for cell in line.values() if cell.startswith(("=", "+", "-", "@", "\t"))]
    assert absolute_path(line["video"]) == absolute_path(name)
    assert line["error"].endswith(f"{name}: no such file")


def test_the_spreadsheet_has_one_line_per_clip():
    lines = list(csv.DictReader(format_csv([row(), failed("b, c.mp4")]).splitlines()))
    assert lines[0]["labels"] == "adult-walking"
    assert lines[0]["presence_person"] == "0.93"
    assert (lines[1]["video"], lines[1]["status"], lines[1]["presence_dog"]) == ("b, c.mp4", "error", "")
