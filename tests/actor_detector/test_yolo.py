"""The YOLO detector with real weights, and with files that are not detectors."""

import os
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from a2d.taxonomy import Taxonomy, load_taxonomy
from actor_detector.detector_settings import DetectorSettings
from actor_detector.yolo import YoloActorDetector
from common.errors import DetectorError, TaxonomyError
from common.paths import A2D_TAXONOMY_FILE, MODELS, PROJECT
from video.clips import read_frames

CLIPS = {
    "person": "adult-walking__tiger-ai-lab-man-walking.mp4",
    "bird": "bird-walking__lixirui142-flamingo.mp4",
    "car": "car-running__intel-iot-devkit-person-bicycle-car-detection.mp4",
    "cat": "cat-none__yrcong-puff.mp4",
    "dog": "dog-walking__ground-a-video-dog-walking.mp4",
}


EMBEDDED_FILE = MODELS / "actor_detector.safetensors"


@pytest.fixture(scope="module")
def detector(taxonomy: Taxonomy) -> YoloActorDetector:
    return YoloActorDetector(EMBEDDED_FILE, taxonomy, DetectorSettings(320, 0.5))


@pytest.fixture(scope="module")
def pt_detector(yolo: Path, taxonomy: Taxonomy) -> YoloActorDetector:
    return YoloActorDetector(yolo, taxonomy)


@pytest.mark.parametrize(("name", "actor"), [("people_clip", "person"), ("cat_clip", "cat")])
def test_clip_contains_its_actor(detector, request, taxonomy, name, actor):
    check_actor(detector, request.getfixturevalue(name), taxonomy.actor(actor).index)


@pytest.mark.parametrize("actor", CLIPS)
def test_real_clip_contains_its_actor(pt_detector, kit, taxonomy, actor):
    check_actor(pt_detector, kit / "clips" / CLIPS[actor], taxonomy.actor(actor).index)


def check_actor(detector, clip, actor_index):
    """Check the detections in the first frames of a clip that shows an actor."""
    images = next(iter(read_frames(clip, 16))).images
    found = detector.detect(images)
    assert len(found) == len(images)
    boxes = np.concatenate([frame.boxes for frame in found])
    assert actor_index in np.concatenate([frame.actor_index for frame in found])
    assert (boxes[:, :2] < boxes[:, 2:]).all()
    assert (boxes >= 0).all()
    assert (boxes <= [images.shape[2], images.shape[1]] * 2).all()
    assert all((frame.confidence >= 0.5).all() for frame in found)


def test_frames_without_actors_have_empty_entries(detector):
    blank = np.full((3, 64, 96, 3), 127, np.uint8)
    assert [len(frame.boxes) for frame in detector.detect(blank)] == [0, 0, 0]


@pytest.mark.parametrize("name", ["yolo26n", "yolov8n"])
def test_boxes_equal_ultralytics(kit, taxonomy, name):
    from ultralytics import YOLO

    path = kit / "weights" / f"{name}.pt"
    clip = kit / "clips" / CLIPS["car"]
    frames = next(iter(read_frames(clip, 4))).images
    detections = YoloActorDetector(path, taxonomy, DetectorSettings(224, 0.25)).detect(frames)
    threads = torch.get_num_threads()
    expected = YOLO(path).predict(list(frames), imgsz=224, conf=0.25, device="cpu", verbose=False)
    torch.set_num_threads(threads)
    actor_of_class = taxonomy.match_detector_classes(YOLO(path).names)
    total = 0
    for found, result in zip(detections, expected, strict=True):
        classes = result.boxes.cls.numpy().astype(int)
        is_actor = np.isin(classes, list(actor_of_class))
        assert found.actor_index.tolist() == [actor_of_class[number] for number in classes[is_actor]]
        np.testing.assert_allclose(found.boxes, result.boxes.xyxy.numpy()[is_actor], atol=0.01)
        np.testing.assert_allclose(found.confidence, result.boxes.conf.numpy()[is_actor], atol=1e-4)
        total += len(found.boxes)
    assert total


def test_number_of_torch_threads_is_unchanged(detector):
    before = torch.get_num_threads()
    detector.detect(np.zeros((1, 64, 64, 3), np.uint8))
    assert torch.get_num_threads() == before


@pytest.mark.skipif(os.cpu_count() == 1, reason="needs several cores")
def test_import_of_ultralytics_leaves_torch_all_cores(tmp_path):
    def count_threads(statements: str, **variables: str) -> int:
        environment = {name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"}
        environment |= {"YOLO_CONFIG_DIR": str(tmp_path), **variables}
        command = [sys.executable, "-c", f"{statements}; import torch; print(torch.get_num_threads())"]
        done = subprocess.run(command, cwd=PROJECT, env=environment, capture_output=True, text=True, check=True)
        return int(done.stdout)

    after_import = count_threads("from actor_detector import yolo; yolo._import_ultralytics()")
    assert after_import == count_threads("pass", OMP_NUM_THREADS=str(os.cpu_count())) > 1


def test_missing_detector_class_is_named(tmp_path):
    wrong = tmp_path / "taxonomy.yaml"
    wrong.write_text(A2D_TAXONOMY_FILE.read_text().replace("[sports ball]", "[sport ball]"))
    with pytest.raises(
        TaxonomyError, match=r"'ball' needs the detector class 'sport ball'.*did you mean 'sports ball'"
    ):
        YoloActorDetector(EMBEDDED_FILE, load_taxonomy(wrong))


class MaliciousPickle:
    """A pickle that creates a folder when it is loaded."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self):
        return os.mkdir, (str(self.folder),)


def test_pickle_with_code_is_refused_without_running_it(taxonomy, tmp_path):
    file, folder = tmp_path / "malicious.pt", tmp_path / "created"
    torch.save({"model": MaliciousPickle(folder)}, file)
    with pytest.raises(DetectorError, match=r"malicious\.pt: not a YOLO model"):
        YoloActorDetector(file, taxonomy)
    assert not folder.exists()
    pickle.loads(pickle.dumps(MaliciousPickle(folder)))
    assert folder.exists()


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        pytest.param("no.pt", None, "no such detector file", id="missing"),
        pytest.param("empty.pt", b"", "not a YOLO model", id="empty"),
        pytest.param("text.pt", b"hello\n", "not a YOLO model", id="text"),
        pytest.param("model.onnx", b"hello\n", r"an Ultralytics \.pt file or a .* was expected", id="other suffix"),
    ],
)
def test_wrong_file_is_refused_in_one_line(taxonomy, tmp_path, name, content, reason):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(DetectorError, match=reason) as caught:
        YoloActorDetector(tmp_path / name, taxonomy)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("size", "confidence"), [(224, 1.5), (224, -0.1), (0, 0.5), (225, 0.5)])
def test_settings_out_of_range_are_refused(taxonomy, size, confidence):
    with pytest.raises(DetectorError, match="was given"):
        YoloActorDetector(EMBEDDED_FILE, taxonomy, DetectorSettings(size, confidence))


def test_first_import_of_ultralytics_prints_nothing_on_stdout(tmp_path):
    code = (
        "from pathlib import Path; from a2d.taxonomy import load_taxonomy; "
        "from actor_detector.yolo import YoloActorDetector; "
        f"YoloActorDetector(Path({str(EMBEDDED_FILE)!r}), load_taxonomy())"
    )
    environment = {**os.environ, "YOLO_CONFIG_DIR": str(tmp_path)}
    root = Path(__file__).resolve().parents[2]
    process = subprocess.run(
        [sys.executable, "-c", code], cwd=root, env=environment, capture_output=True, text=True, check=True
    )
    assert process.stdout == ""
