"""The detection cache: what goes in comes out, and a different question never gets another's answer."""

from dataclasses import replace

import numpy as np
import pytest

from common.paths import A2D_TAXONOMY_FILE
from a2d.taxonomy import load_taxonomy
from actor_detector.detections import ClipDetections
from actor_detector.speed_options import SpeedOptions
from pipeline.detection_cache import DetectionCache, detection_key
from video.clips import clip_sha256


@pytest.fixture
def detections():
    boxes = np.array([[1, 2, 3, 4]], np.float32)
    return ClipDetections(
        frame_index=np.array([0, 3]),
        time_seconds=np.array([0.0, 0.12]),
        frame_row=np.array([1]),
        boxes=boxes,
        confidence=np.array([0.75], np.float32),
        actor_index=np.array([5]),
        duration_seconds=0.2,
        truncated="cut off",
        stride=3,
        decoded=5,
    )


def test_round_trip(tmp_path, detections):
    cache = DetectionCache(tmp_path)
    assert cache.load("ab" * 32) is None
    cache.save("ab" * 32, detections)
    loaded = cache.load("ab" * 32)
    for name in ("frame_index", "time_seconds", "frame_row", "boxes", "confidence", "actor_index"):
        np.testing.assert_array_equal(getattr(loaded, name), getattr(detections, name))
    assert (loaded.duration_seconds, loaded.truncated) == (0.2, "cut off")
    assert (loaded.stride, loaded.frames) == (3, 5)
    np.testing.assert_array_equal(loaded.presence_ratios(6), detections.presence_ratios(6))
    assert loaded.camera is None
    panned = replace(detections, camera=np.array([[0, 0], [-3.5, 1]], np.float32))
    cache.save("cd" * 32, panned)
    np.testing.assert_array_equal(cache.load("cd" * 32).camera, panned.camera)


@pytest.mark.parametrize("damage", [b"", b"no zip", None], ids=["empty", "text", "cut"])
def test_a_damaged_entry_counts_as_absent(tmp_path, detections, damage):
    cache = DetectionCache(tmp_path)
    cache.save("ab" * 32, detections)
    (entry,) = tmp_path.rglob("*.npz")
    entry.write_bytes(entry.read_bytes()[:200] if damage is None else damage)
    assert cache.load("ab" * 32) is None


def test_no_damage_of_a_few_bytes_goes_further_than_the_cache(tmp_path, detections):
    cache = DetectionCache(tmp_path)
    cache.save("ab" * 32, detections)
    (entry,) = tmp_path.rglob("*.npz")
    whole = entry.read_bytes()
    rng = np.random.default_rng(0)
    for _ in range(300):
        damaged = bytearray(whole)
        for place in rng.integers(len(whole), size=3):
            damaged[place] = rng.integers(256)
        entry.write_bytes(damaged)
        cache.load("ab" * 32)


def test_a_folder_that_cannot_be_written_costs_a_warning(tmp_path, detections, caplog):
    (tmp_path / "file").write_text("")
    DetectionCache(tmp_path / "file").save("ab" * 32, detections)
    assert "detections cannot be kept" in caplog.text


def test_without_a_folder_nothing_is_kept(detections):
    cache = DetectionCache(None)
    cache.save("ab" * 32, detections)
    assert cache.load("ab" * 32) is None


def test_every_ingredient_changes_the_key(taxonomy, tmp_path):
    other = tmp_path / "taxonomy.yaml"
    other.write_text(A2D_TAXONOMY_FILE.read_text().replace("[car]", "[car, truck]"))
    first = ("clip", "detector", 224, 0.5, taxonomy, "torch f32", SpeedOptions())
    changes = ("other clip", "other detector", 320, 0.4, load_taxonomy(other), "openvino f32", SpeedOptions(stride=2))
    keys = {detection_key(*first)}
    keys |= {detection_key(*first[:place], change, *first[place + 1 :]) for place, change in enumerate(changes)}
    assert len(keys) == 1 + len(changes)
    assert detection_key("clip", "detector", 224, 0.5, load_taxonomy(), "torch f32", SpeedOptions()) in keys


def test_a_folder_of_frames_is_hashed_by_names_and_contents(tmp_path):
    (tmp_path / "00001.png").write_bytes(b"a")
    first = clip_sha256(tmp_path)
    (tmp_path / "00001.png").rename(tmp_path / "00002.png")
    second = clip_sha256(tmp_path)
    (tmp_path / "00002.png").write_bytes(b"b")
    assert len({first, second, clip_sha256(tmp_path)}) == 3
