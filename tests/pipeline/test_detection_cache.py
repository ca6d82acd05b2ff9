"""The detection cache: entries are returned as they were saved, and different inputs never share one."""

import io
import tracemalloc
import zipfile
from dataclasses import replace

import numpy as np
import pytest

from a2d.taxonomy import load_taxonomy
from actor_detector.detections import ClipDetections
from actor_detector.detector_settings import DetectorSettings
from actor_detector.speed_options import SpeedOptions
from common.paths import A2D_TAXONOMY_FILE
from pipeline.detection_cache import DetectionCache, DetectionSettings
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


def test_load_returns_what_was_saved(tmp_path, detections):
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


def test_damage_of_a_few_bytes_raises_nothing(tmp_path, detections):
    cache = DetectionCache(tmp_path)
    cache.save("ab" * 32, detections)
    (entry,) = tmp_path.rglob("*.npz")
    whole = entry.read_bytes()
    rng = np.random.default_rng(0)
    for _ in range(300):
        damaged = bytearray(whole)
        for index in rng.integers(len(whole), size=3):
            damaged[index] = rng.integers(256)
        entry.write_bytes(damaged)
        cache.load("ab" * 32)


def test_a_folder_that_cannot_be_written_is_a_warning(tmp_path, detections, caplog):
    (tmp_path / "file").write_text("")
    DetectionCache(tmp_path / "file").save("ab" * 32, detections)
    assert "detections cannot be cached" in caplog.text


def test_without_a_folder_nothing_is_cached(detections):
    cache = DetectionCache(None)
    cache.save("ab" * 32, detections)
    assert cache.load("ab" * 32) is None


@pytest.fixture
def settings(taxonomy):
    return DetectionSettings("d" * 64, DetectorSettings(320, 0.1), taxonomy, "openvino f32", SpeedOptions())


def test_everything_that_determines_detections_changes_the_key(settings, tmp_path):
    other = tmp_path / "taxonomy.yaml"
    other.write_text(A2D_TAXONOMY_FILE.read_text().replace("[car]", "[car, truck]"))
    changes = [
        {"detector_sha256": "e" * 64},
        {"detector": DetectorSettings(224, 0.1)},
        {"detector": DetectorSettings(320, 0.05)},
        {"taxonomy": load_taxonomy(other)},
        {"runtime": "torch f32"},
        {"speed_options": SpeedOptions(stride=2)},
    ]
    keys = {settings.key("c" * 64), settings.key("b" * 64)}
    keys |= {replace(settings, **change).key("c" * 64) for change in changes}
    assert len(keys) == 2 + len(changes)
    assert replace(settings, taxonomy=load_taxonomy()).key("c" * 64) in keys


@pytest.mark.parametrize(
    ("changes", "key"),
    [
        ({}, "0e632be91d7cda1896846900bc9e538152d317e4c8da23284be56d0118c8d7fa"),
        (
            {
                "detector": DetectorSettings(224, 0.1),
                "runtime": "torch f32",
                "speed_options": SpeedOptions(stride=2, reuse_below=1.5, loop_filter=False),
            },
            "7351d72c2f82be0c71f254afc7b7ae8d69e98a17a0392ff9dc979e465afb0d0c",
        ),
    ],
    ids=["defaults", "other settings"],
)
def test_existing_caches_stay_valid(settings, changes, key):
    assert replace(settings, **changes).key("c" * 64) == key


def test_a_folder_of_frames_is_hashed_by_names_and_contents(tmp_path):
    (tmp_path / "00001.png").write_bytes(b"a")
    first = clip_sha256(tmp_path)
    (tmp_path / "00001.png").rename(tmp_path / "00002.png")
    second = clip_sha256(tmp_path)
    (tmp_path / "00002.png").write_bytes(b"b")
    assert len({first, second, clip_sha256(tmp_path)}) == 3


@pytest.mark.parametrize(
    "change",
    [
        {"frame_row": np.array([99])},
        {"frame_row": np.array([True])},
        {"frame_index": np.array([3, 0])},
        {"actor_index": np.array([10**9])},
        {"actor_index": np.array([-3])},
        {"boxes": np.full((1, 4), np.nan, np.float32)},
        {"boxes": np.array([[1, 2, 3, {}]], object)},
        {"confidence": np.array(["a"])},
        {"duration_seconds": np.inf},
        {"stride": 0},
        {"camera": np.full((2, 2), np.inf, np.float32)},
    ],
    ids=str,
)
def test_an_entry_with_impossible_values_counts_as_absent(tmp_path, detections, change):
    cache = DetectionCache(tmp_path)
    cache.save("ab" * 32, detections)
    (entry,) = tmp_path.rglob("*.npz")
    with np.load(entry) as content:
        arrays = dict(content) | change
    np.savez_compressed(entry, **arrays)
    assert cache.load("ab" * 32) is None


def test_the_entry_of_another_clip_counts_as_absent(tmp_path, detections):
    cache = DetectionCache(tmp_path)
    cache.save("ab" * 32, detections)
    cache.save("cd" * 32, detections)
    first, second = sorted(tmp_path.rglob("*.npz"))
    second.write_bytes(first.read_bytes())
    assert cache.load("ab" * 32) is not None
    assert cache.load("cd" * 32) is None


def test_claims_of_an_entry_are_refused_before_they_are_allocated(tmp_path, detections):
    cache = DetectionCache(tmp_path)
    cache.save("ab" * 32, detections)
    (entry,) = tmp_path.rglob("*.npz")
    with zipfile.ZipFile(entry) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    header = io.BytesIO()
    claim = {"descr": "<f4", "fortran_order": False, "shape": (2**40, 4)}
    np.lib.format.write_array_header_1_0(header, claim)
    for changed, claimed_bytes in ((members | {"boxes.npy": header.getvalue() + bytes(16)}, None), (members, 1 << 31)):
        with zipfile.ZipFile(entry, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, content in changed.items():
                archive.writestr(name, content)
            archive.filelist[-1].file_size = claimed_bytes or archive.filelist[-1].file_size
        tracemalloc.start()
        assert cache.load("ab" * 32) is None
        assert tracemalloc.get_traced_memory()[1] < 8 << 20
        tracemalloc.stop()


def test_entries_with_few_frames_say_how_many_each_stands_for(tmp_path, detections):
    few = replace(detections, stride=1, decoded=None, represented=np.array([2, 5]))
    DetectionCache(tmp_path).save("ab" * 32, few)
    loaded = DetectionCache(tmp_path).load("ab" * 32)
    assert loaded.represented.tolist() == [2, 5]
    assert loaded.frames == 7
    assert loaded.presence_ratios(6)[5] == pytest.approx(5 / 7)
    DetectionCache(tmp_path).save("cd" * 32, replace(few, represented=np.array([2, -5])))
    assert DetectionCache(tmp_path).load("cd" * 32) is None


def test_looks_have_keys_of_their_own(taxonomy):
    settings = DetectionSettings("f" * 64, DetectorSettings(), taxonomy, "torch f32", SpeedOptions())
    assert len({settings.key("0" * 64), *(replace(settings, looks=looks).key("0" * 64) for looks in ("a", "b"))}) == 3
