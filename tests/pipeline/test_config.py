"""What each detector is used with: its settings, its gates and its file."""

import argparse
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from actor_detector.detector_settings import DetectorSettings
from common.errors import DetectorError, GatesError
from pipeline import known_detectors
from pipeline.commands.arguments import add_tagger_arguments, config_from
from pipeline.config import TaggerConfig
from pipeline.known_detectors import EMBEDDED_FILE, KNOWN_DETECTORS, find_detector
from thresholds.gates import PAPER_GATES_FILE, load_gates


@pytest.mark.parametrize(
    ("detector", "settings", "gates"),
    [
        ("embedded", (320, 0.4), "default.yaml"),
        ("yolo26n", (320, 0.3), "yolo26n.yaml"),
        ("yolo11n", (320, 0.3), "yolo11n.yaml"),
        ("yolov8n", (320, 0.3), "yolov8n.yaml"),
        ("yolov3u", (320, 0.3), None),
        ("mine/yolo26n.pt", (320, 0.3), None),
        ("mine.safetensors", (320, 0.4), None),
    ],
)
def test_each_detector_has_default_settings_and_gates(detector, settings, gates):
    config = TaggerConfig(detector=detector)
    assert config.detector_settings == DetectorSettings(*settings)
    if gates:
        assert config.gates_file.name == gates
    else:
        with pytest.raises(GatesError, match=rf"no gates were tuned for detector '{detector}': name a gate file with"):
            _ = config.gates_file


def test_a_copy_of_a_known_file_is_recognized_by_its_content(tmp_path):
    copy = tmp_path / "copy.safetensors"
    shutil.copy(EMBEDDED_FILE, copy)
    config = TaggerConfig(detector=str(copy))
    assert config.gates_file == TaggerConfig().gates_file
    assert config.confirmation_file == TaggerConfig().confirmation_file
    copy.write_bytes(copy.read_bytes() + b"changed")
    with pytest.raises(GatesError, match="no gates were tuned for detector"):
        _ = TaggerConfig(detector=str(copy)).gates_file


def test_the_kits_yolo_has_its_gates_under_any_name(yolo, tmp_path):
    copy = tmp_path / "mine.pt"
    shutil.copy(yolo, copy)
    assert TaggerConfig(detector=str(copy)).gates_file.name == "yolo26n.yaml"


def test_the_default_detector_is_the_embedded_one():
    assert TaggerConfig().detector == "embedded" == next(iter(KNOWN_DETECTORS))


def test_requested_settings_override_the_defaults():
    config = TaggerConfig(image_size=640, confidence=0.0, thresholds=Path("mine.yaml"))
    assert config.detector_settings == DetectorSettings(640, 0.0)
    assert config.gates_file == Path("mine.yaml")


def test_a_missing_embedded_detector_is_reported(tmp_path, monkeypatch):
    monkeypatch.setattr(known_detectors, "EMBEDDED_FILE", tmp_path / "actor_detector.safetensors")
    message = "missing from this copy of the project: install it again, or use --detector"
    with pytest.raises(DetectorError, match=message):
        find_detector("embedded")
    (tmp_path / "actor_detector.safetensors").write_bytes(b"weights")
    assert find_detector("embedded") == tmp_path / "actor_detector.safetensors"


@pytest.mark.parametrize("detector", [name for name, known in KNOWN_DETECTORS.items() if known.thresholds])
def test_detectors_are_used_as_their_gates_were_tuned(detector):
    tuned_for = load_gates(KNOWN_DETECTORS[detector].thresholds).detector
    assert KNOWN_DETECTORS[detector].settings == DetectorSettings(tuned_for.image_size, tuned_for.confidence)


def test_named_gates_bring_their_settings_unless_they_are_forced():
    config = TaggerConfig(thresholds=PAPER_GATES_FILE)
    assert config.detector_settings == DetectorSettings(224, 0.5)
    assert replace(config, confidence=0.3).detector_settings == DetectorSettings(224, 0.3)
    assert replace(config, force=True).detector_settings == KNOWN_DETECTORS["embedded"].settings


@pytest.mark.parametrize(
    ("arguments", "settings", "gates"),
    [
        ([], (224, 0.5), "paper.yaml"),
        (["--confidence", "0"], (224, 0.0), "paper.yaml"),
        (["--image-size", "320"], (320, 0.5), "paper.yaml"),
        (["--thresholds", "mine.yaml"], (224, 0.5), "mine.yaml"),
    ],
)
def test_published_settings(arguments, settings, gates):
    parser = argparse.ArgumentParser()
    add_tagger_arguments(parser)
    config = config_from(parser.parse_args(["--published", *arguments]))
    assert config.detector_settings == DetectorSettings(*settings)
    assert config.gates_file.name == gates
    assert config.force == (gates == "paper.yaml")
