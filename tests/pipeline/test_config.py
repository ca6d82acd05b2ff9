"""What each detector is used with: its settings, its gates and its file."""

from pathlib import Path

import pytest

from actor_detector.detector_settings import DetectorSettings
from common.errors import DetectorError, GatesError
from pipeline import known_detectors
from pipeline.config import TaggerConfig
from pipeline.known_detectors import KNOWN_DETECTORS, find_detector


@pytest.mark.parametrize(
    ("detector", "settings", "gates"),
    [
        ("embedded", (320, 0.4), "default.yaml"),
        ("yolo26n", (224, 0.5), "yolo26n.yaml"),
        ("yolo11n", (224, 0.5), None),
        ("yolov8n", (224, 0.5), None),
        ("mine/yolo26n.pt", (224, 0.5), None),
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
