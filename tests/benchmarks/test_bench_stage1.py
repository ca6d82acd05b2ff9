"""Benchmark of stage 1."""

import argparse
import json

from benchmarks import bench_stage1
from benchmarks.bench_stage1 import DECODER, NETWORK_PREFIX, ULTRALYTICS, make_rows
from benchmarks.interleaved import Timing
from common.system import available_cores
from pipeline.known_detectors import EMBEDDED_FILE


def test_rates_are_related_to_ultralytics_and_to_the_bound():
    timings = {
        ULTRALYTICS: Timing([10.0], 0),
        DECODER: Timing([1.0], 0),
        "OpenVINO f32": Timing([5.0, 4.0, 8.0], 0),
        NETWORK_PREFIX + "OpenVINO f32": Timing([3.0], 0),
    }
    rows = make_rows(timings, frames=100)
    assert rows["OpenVINO f32"] == {
        "frames_per_second": 20.0,
        "slowest": 12.5,
        "fastest": 25.0,
        "speedup_over_ultralytics": 2.0,
        "share_of_bound": 0.8,  # decoder and network alone take 4 of 5 seconds
    }
    assert "share_of_bound" not in rows[DECODER]


def test_rates_without_references_have_no_relations():
    assert make_rows({"OpenVINO f32": Timing([2.0], 0)}, frames=10) == {
        "OpenVINO f32": {"frames_per_second": 5.0, "slowest": 5.0, "fastest": 5.0}
    }


def test_selected_candidates_are_measured(people_clip, tmp_path, capsys):
    names = [DECODER, "OpenVINO f32", NETWORK_PREFIX + "OpenVINO f32"]
    command = ["--clips", str(people_clip), "--detector", str(EMBEDDED_FILE), "--imgsz", "320", "--repeats", "2"]
    assert bench_stage1.main([*command, "--out", str(tmp_path / "stage1.json"), "--only", *names]) == 0
    report = json.loads((tmp_path / "stage1.json").read_text())
    assert (report["frames"], report["clips"], report["image_size"], report["repeats"]) == (8, 1, 320, 2)
    assert report["machine"]["cores"] == available_cores()
    assert list(report["rows"]) == names
    assert [name for name in names if "share_of_bound" in report["rows"][name]] == ["OpenVINO f32"]
    assert "share of bound" in capsys.readouterr().out


def test_candidates_include_every_backend_and_its_network():
    arguments = argparse.Namespace(**dict.fromkeys(("imgsz", "detector", "batch_size", "calibration")))
    candidates = bench_stage1.make_candidates(arguments, [])
    expected = {ULTRALYTICS, DECODER, *bench_stage1.OURS, *(NETWORK_PREFIX + name for name in bench_stage1.OURS)}
    assert set(candidates) - {bench_stage1.MOSAIX} == expected
