"""Which detector runs with what: names, files, and what the command line says."""

from pathlib import Path

import pytest

from common.errors import DetectorError, GatesError
from pipeline import known_detectors
from pipeline.config import TaggerConfig
from pipeline.known_detectors import EMBEDDED_CONFIDENCE, KNOWN_DETECTORS, find_detector


@pytest.mark.parametrize(
    ("detector", "settings", "gates"),
    [
        ("embedded", (320, EMBEDDED_CONFIDENCE), "default.yaml"),
        ("yolo26n", (224, 0.5), "yolo26n.yaml"),
        ("yolo11n", (224, 0.5), None),
        ("yolov8n", (224, 0.5), None),
        ("mine/yolo26n.pt", (224, 0.5), None),
        ("mine.safetensors", (320, EMBEDDED_CONFIDENCE), None),
    ],
)
def test_a_detector_brings_its_settings_and_gates(detector, settings, gates):
    config = TaggerConfig(detector=detector)
    assert config.detector_settings == settings
    if gates:
        assert config.gates_file.name == gates
    else:
        with pytest.raises(GatesError, match=rf"no gates were tuned for detector '{detector}': name their file with"):
            _ = config.gates_file


def test_the_default_is_embedded():
    assert TaggerConfig().detector == "embedded" == next(iter(KNOWN_DETECTORS))


def test_what_is_asked_for_counts():
    config = TaggerConfig(image_size=640, confidence=0.0, thresholds=Path("mine.yaml"))
    assert config.detector_settings == (640, 0.0)
    assert config.gates_file == Path("mine.yaml")


def test_a_copy_without_the_embedded_detector_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr(known_detectors, "EMBEDDED_FILE", tmp_path / "actor_detector.safetensors")
    with pytest.raises(DetectorError, match="missing from this copy of the project: get it anew, or use --detector"):
        find_detector("embedded")
    (tmp_path / "actor_detector.safetensors").write_bytes(b"weights")
    assert find_detector("embedded") == tmp_path / "actor_detector.safetensors"
