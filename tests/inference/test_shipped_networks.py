"""Networks that are shipped converted: a fresh machine converts nothing, and computes what it would otherwise."""

import numpy as np
import pytest

from a2d.taxonomy import load_taxonomy
from inference import openvino_engine
from pipeline.cached_detector import CachedDetector
from pipeline.config import TaggerConfig

IMAGE = np.random.default_rng(0).integers(0, 256, (1, 224, 224, 3), np.uint8)


def outputs(cache):
    """Return what the embedded detector and the heads' trunk make of an image, with a cache of converted networks."""
    config = TaggerConfig(device="cpu", backend="openvino", engines=cache)
    detector = CachedDetector.from_config(config, load_taxonomy())
    model, trunk = detector.model, detector.confirmer.engine
    frame = IMAGE[:, :192]
    return model.submit(frame, model.letterbox((224, 192))).result(), trunk.submit(IMAGE).result()


@pytest.fixture
def no_conversion(monkeypatch):
    def fail(_):
        raise AssertionError("a network is converted: run python -m experiments.converted_networks")

    monkeypatch.setattr(openvino_engine, "run_separately", fail)


def test_a_fresh_machine_converts_nothing(tmp_path, no_conversion):
    detected, features = outputs(tmp_path)
    assert detected.shape[2] == 6
    assert features.shape == (1, 1280)
    assert not list(tmp_path.rglob("*.bin"))


def test_they_are_what_would_be_converted(tmp_path, monkeypatch):
    shipped = outputs(tmp_path)
    monkeypatch.setattr(openvino_engine, "SHIPPED", tmp_path / "none")
    converted = outputs(tmp_path)
    assert len(list(tmp_path.rglob("*.bin"))) == 2
    for one, other in zip(shipped, converted, strict=True):
        np.testing.assert_array_equal(one, other)


def test_one_that_this_version_cannot_read_is_converted(tmp_path):
    graph, weights = b"<net version='99'><layers/></net>", b""
    (tmp_path / "x.xml").write_bytes(graph + openvino_engine._digest(graph, weights))
    (tmp_path / "x.bin").write_bytes(weights)
    assert openvino_engine._read(tmp_path / "x") is None
