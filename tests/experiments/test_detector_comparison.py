"""Comparison of a detector with its teacher."""

import json

import pytest

from common.files import sha256_file
from experiments import detector_comparison
from pipeline.commands.console import DONE
from pipeline.known_detectors import EMBEDDED_FILE


def test_detector_is_compared_with_itself_at_other_confidences(cat_clip, cache, tmp_path, capsys):
    (tmp_path / "clips.csv").write_text(f"file,labels,split\n{cat_clip},cat-walking,test\n")
    command = ["--data", str(tmp_path / "clips.csv"), "--teacher", "embedded", "--cache", str(cache)]
    command += ["--teacher-at", "320:0.4", "--conf", "0.4", "1", "--out", str(tmp_path / "detector.json")]
    assert detector_comparison.main(command) == DONE
    report = json.loads((tmp_path / "detector.json").read_text())
    same, blind = report["frames"]
    perfect = {"precision": 1, "recall": 1, "f1": 1, "f1_interval": [1, 1], "frames": 7}
    nothing = {"precision": 0, "recall": 0, "f1": 0, "f1_interval": [0, 0], "frames": 0}
    assert same["actors"]["cat"] == perfect
    assert same["actors"]["dog"] == nothing
    assert same["macro_f1"] == pytest.approx(1 / 6)
    assert blind["actors"]["cat"] == nothing | {"frames": 7}
    assert report["gates"]["embedded"]["f1"] == 1
    assert report["gates"]["embedded"]["actors"] == {"cat": {"f1": 1, "f1_interval": [1, 1], "true": 1, "predicted": 1}}
    printed = capsys.readouterr().out
    assert (
        f"confidence 1, against embedded {sha256_file(EMBEDDED_FILE)[:8]}… at image size 320, confidence 0.4, test:"
        in printed
    )
    assert "gates of embedded: precision 100.0, recall 100.0, f1 100.0" in printed
