"""Benchmark of the speed options."""

import json

import numpy as np
import pytest

from benchmarks import bench_speed_options
from benchmarks.bench_speed_options import BASELINE, ULTRALYTICS, measure_changes
from benchmarks.expected_changes import expected_of_stride
from experiments.until_sure import KnownClip


def test_changes_of_presence_ratios_are_summarized():
    baseline = np.array([[0.5, 0.0], [0.2, 1.0]])
    ratios = np.array([[0.505, 0.0], [0.1, 1.0]])
    assert measure_changes(ratios, baseline, np.array([0.15, 0.5])) == {
        "mean_change": pytest.approx(0.0262, abs=1e-4),
        "max_change": 0.1,
        "share_within_0.01": 0.75,
        "gate_decisions_changed": 1,
        "share_changed": 0.25,
    }


def test_speed_options_are_measured(people_clip, tmp_path, monkeypatch):
    (tmp_path / "clips.csv").write_text(f"file,labels,split\n{people_clip},adult-walking,test\n")
    make_configs = bench_speed_options.make_configs
    monkeypatch.setattr(
        bench_speed_options,
        "make_configs",
        lambda *given: {name: make_configs(*given)[name] for name in (BASELINE, "--stride 5", "--until-sure 0.01")},
    )
    command = ["--data", str(tmp_path / "clips.csv"), "--repeats", "1", "--calibrate-on", "test", "--seeds", "2"]
    assert bench_speed_options.main([*command, "--out", str(tmp_path / "report.json")]) == 0
    report = json.loads((tmp_path / "report.json").read_text())
    assert (report["detector"], report["clips"], report["timed_clips"]) == ("embedded", 1, 1)
    assert list(report["rows"]) == [BASELINE, "--stride 5", "--until-sure 0.01"]
    baseline = report["rows"][BASELINE]
    assert (baseline["speedup"], baseline["mean_change"], baseline["share_within_0.01"]) == (1, 0, 1)
    assert baseline["frames_processed"] == 1 > report["rows"]["--until-sure 0.01"]["frames_processed"]
    assert "share_expected" not in baseline
    assert [row["share_expected"] for row in report["rows"].values() if row is not baseline] == [0, 0]
    for row in report["rows"].values():  # people are in all frames
        assert (row["max_change"], row["gate_decisions_changed"], row["gates_f1"]) == (0, 0, 1)


def test_a_stride_is_expected_to_change_what_it_does_from_all_its_beginnings():
    confidence = np.zeros((2, 10), np.float32)
    confidence[0] = 1  # in all frames: every stride finds it
    confidence[1, 3] = 1  # in one of ten, which is enough: one of four strides finds it
    clip = KnownClip(np.arange(10) / 10, confidence, np.ones((2, 10), bool), 0.5)
    gates = np.array([0.5, 0.1])
    assert expected_of_stride([clip], gates, 4) == pytest.approx((3 / 4) / 2)
    assert expected_of_stride([clip], gates, 1) == 0


def test_ultralytics_is_compared_with_its_own_answer_for_every_frame(people_clip, yolo, tmp_path):
    (tmp_path / "clips.csv").write_text(f"file,labels,split\n{people_clip},adult-walking,test\n")
    command = ["--data", str(tmp_path / "clips.csv"), "--repeats", "1", "--calibrate-on", "test"]
    command += ["--detector", str(yolo), "--only", "stride 5", "--ultralytics", "5"]
    assert bench_speed_options.main([*command, "--out", str(tmp_path / "report.json")]) == 0
    rows = json.loads((tmp_path / "report.json").read_text())["rows"]
    assert list(rows) == [BASELINE, "--stride 5", f"{ULTRALYTICS} 1", f"{ULTRALYTICS} 5"]
    every, strided = rows[f"{ULTRALYTICS} 1"], rows[f"{ULTRALYTICS} 5"]
    assert (every["frames_processed"], every["mean_change"], every["gates_f1"]) == (1, 0, 1)
    assert 0 < strided["frames_processed"] <= 0.25


def test_unreadable_clips_are_errors(tmp_path):
    from common.errors import ClipError
    from pipeline.config import TaggerConfig

    with pytest.raises(ClipError, match="absent"):
        bench_speed_options.presence_ratios(TaggerConfig(device="cpu"), [tmp_path / "absent.mp4"])
