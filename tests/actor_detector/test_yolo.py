"""The YOLO wrapper with real weights, and files that are not what they should be."""

import os
import pickle
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
import torch

from common.paths import A2D_TAXONOMY_FILE
from a2d.taxonomy import Taxonomy, load_taxonomy
from actor_detector.letterbox import Letterbox
from actor_detector.yolo import YoloActorDetector
from common.errors import DetectorError, TaxonomyError
from video.clips import read_frames

CLIPS = {
    "person": "adult-walking__tiger-ai-lab-man-walking.mp4",
    "bird": "bird-walking__lixirui142-flamingo.mp4",
    "car": "car-running__intel-iot-devkit-person-bicycle-car-detection.mp4",
    "cat": "cat-none__yrcong-puff.mp4",
    "dog": "dog-walking__ground-a-video-dog-walking.mp4",
}


@pytest.fixture(scope="module")
def detector(yolo: Path, taxonomy: Taxonomy) -> YoloActorDetector:
    return YoloActorDetector(yolo, taxonomy)


@pytest.mark.parametrize("actor", CLIPS)
def test_a_real_clip_shows_its_actor(detector, kit, taxonomy, actor):
    images = next(iter(read_frames(kit / "clips" / CLIPS[actor], 16))).images
    found = detector.detect(images)
    assert len(found) == len(images)
    boxes = np.concatenate([frame.boxes for frame in found])
    assert taxonomy.actor(actor).index in np.concatenate([frame.actor_index for frame in found])
    assert (boxes[:, :2] < boxes[:, 2:]).all()
    assert (boxes >= 0).all()
    assert (boxes <= [images.shape[2], images.shape[1]] * 2).all()
    assert all((frame.confidence >= 0.5).all() for frame in found)


def test_frames_without_actors_stay(detector):
    blank = np.full((3, 64, 96, 3), 127, np.uint8)
    assert [len(frame.boxes) for frame in detector.detect(blank)] == [0, 0, 0]


@pytest.mark.parametrize("name", ["yolo26n", "yolov8n"])
def test_boxes_are_those_that_ultralytics_predicts(kit, taxonomy, name):
    from ultralytics import YOLO

    path = kit / "weights" / f"{name}.pt"
    clip = kit / "clips" / CLIPS["car"]
    frames = next(iter(read_frames(clip, 4))).images
    own = YoloActorDetector(path, taxonomy, 224, 0.25).detect(frames)
    threads = torch.get_num_threads()
    expected = YOLO(path).predict(list(frames), imgsz=224, conf=0.25, device="cpu", verbose=False)
    torch.set_num_threads(threads)
    wanted = taxonomy.match_detector_classes(YOLO(path).names)
    total = 0
    for found, result in zip(own, expected, strict=True):
        classes = result.boxes.cls.numpy().astype(int)
        kept = np.isin(classes, list(wanted))
        assert found.actor_index.tolist() == [wanted[number] for number in classes[kept]]
        np.testing.assert_allclose(found.boxes, result.boxes.xyxy.numpy()[kept], atol=0.01)
        np.testing.assert_allclose(found.confidence, result.boxes.conf.numpy()[kept], atol=1e-4)
        total += len(found.boxes)
    assert total


@pytest.mark.parametrize("size", [(426, 240), (240, 426), (320, 320), (33, 500), (1920, 1080), (7, 5)], ids=str)
def test_frames_are_laid_out_as_ultralytics_does(size):
    from ultralytics.data.augment import LetterBox
    from ultralytics.utils.ops import scale_boxes

    letterbox = Letterbox.fit(size, 224)
    image = np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3)).astype(np.uint8)
    (inputs,) = letterbox.canvas(1)
    letterbox.place(image, inputs)
    np.testing.assert_array_equal(inputs, LetterBox(224, auto=True, stride=32)(image=image))
    boxes = np.array([[-3, 2, 100, 90], [10, 10, 224, 224]], np.float32)
    expected = scale_boxes(inputs.shape[:2], torch.from_numpy(boxes.copy()), image.shape[:2])
    np.testing.assert_allclose(letterbox.to_frame(boxes), expected, atol=1e-3)


def test_torch_keeps_its_threads(detector):
    before = torch.get_num_threads()
    detector.detect(np.zeros((1, 64, 64, 3), np.uint8))
    assert torch.get_num_threads() == before
    assert threading.active_count() < 50


def test_classes_are_matched_by_name(yolo, tmp_path):
    wrong = tmp_path / "taxonomy.yaml"
    wrong.write_text(A2D_TAXONOMY_FILE.read_text().replace("[sports ball]", "[sport ball]"))
    with pytest.raises(
        TaxonomyError, match=r"'ball' needs the detector class 'sport ball'.*did you mean 'sports ball'"
    ):
        YoloActorDetector(yolo, load_taxonomy(wrong))


class Poisoned:
    """A pickle that would run a command when it is opened."""

    def __init__(self, victim: Path) -> None:
        self.victim = victim

    def __reduce__(self):
        return os.mkdir, (str(self.victim),)


def test_a_pickle_that_runs_code_is_refused_and_does_not_run(taxonomy, tmp_path):
    file, victim = tmp_path / "poisoned.pt", tmp_path / "victim"
    torch.save({"model": Poisoned(victim)}, file)
    with pytest.raises(DetectorError, match=r"poisoned\.pt: not a YOLO model"):
        YoloActorDetector(file, taxonomy)
    assert not victim.exists()
    pickle.loads(pickle.dumps(Poisoned(victim)))
    assert victim.exists()


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        pytest.param("no.pt", None, "no such detector file", id="missing"),
        pytest.param("empty.pt", b"", "not a YOLO model", id="empty"),
        pytest.param("text.pt", b"hello\n", "not a YOLO model", id="text"),
        pytest.param("model.onnx", b"hello\n", r"an Ultralytics \.pt file or a .* was expected", id="other suffix"),
    ],
)
def test_wrong_files_are_one_clear_line(taxonomy, tmp_path, name, content, reason):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(DetectorError, match=reason) as caught:
        YoloActorDetector(tmp_path / name, taxonomy)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("size", "confidence"), [(224, 1.5), (224, -0.1), (0, 0.5), (225, 0.5)])
def test_settings_out_of_range_are_refused(yolo, taxonomy, size, confidence):
    with pytest.raises(DetectorError, match="was given"):
        YoloActorDetector(yolo, taxonomy, size, confidence)


def test_a_first_import_of_ultralytics_says_nothing_on_stdout(yolo, tmp_path):
    code = (
        "from pathlib import Path; from a2d.taxonomy import load_taxonomy; "
        "from actor_detector.yolo import YoloActorDetector; "
        f"YoloActorDetector(Path({str(yolo)!r}), load_taxonomy())"
    )
    environment = {**os.environ, "YOLO_CONFIG_DIR": str(tmp_path)}
    root = Path(__file__).resolve().parents[2]
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=root, env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout == ""
