"""Pseudo-labels: fusion of the boxes of several views, and resuming an interrupted labelling."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from a2d.skipped_samples import SkippedSamples
from actor_detector.detections import FrameDetections
from actor_detector.motion.tracker import pairwise_iou
from actor_detector.training import pseudo_labels
from actor_detector.training.pseudo_labels import fuse_views, label_images
from common.errors import DatasetError


def detections(*rows: tuple[float, float, float, float, float, int]) -> FrameDetections:
    """Detections from rows of x1, y1, x2, y2, confidence, actor."""
    table = np.array(rows, np.float64).reshape(-1, 6)
    return FrameDetections(
        table[:, :4].astype(np.float32), table[:, 4].astype(np.float32), table[:, 5].astype(np.int64)
    )


class BrightSpotDetector:
    """Detects the bright pixels of an image as actor 3, and counts the images."""

    def __init__(self, confidence: float = 0.8) -> None:
        self.confidence = confidence
        self.images = 0

    def detect(self, images):
        self.images += len(images)
        found = []
        for image in images:
            rows, columns = np.nonzero(image[..., 0] > 128)
            corners = (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
            found.append(detections((*corners, self.confidence, 3)))
        return found


@pytest.fixture
def images(tmp_path: Path) -> list[Path]:
    """Three images of different sizes with one bright rectangle each, left of the centre."""
    paths = []
    for number, (height, width) in enumerate([(40, 80), (60, 60), (40, 80)]):
        image = np.zeros((height, width, 3), np.uint8)
        image[10:20, 6 + number : 16 + number] = 255
        paths.append(tmp_path / f"{number}.png")
        cv2.imwrite(str(paths[-1]), image)
    return paths


def test_overlapping_boxes_are_fused_with_the_mean_confidence():
    fused = fuse_views([detections((0, 0, 10, 10, 0.9, 1)), detections((1, 0, 11, 10, 0.3, 1))])
    assert fused.confidence == pytest.approx([0.6])
    assert fused.boxes[0] == pytest.approx([0.25, 0, 10.25, 10])  # weighted 3 to 1


def test_box_in_one_of_three_views_keeps_a_third_of_its_confidence():
    fused = fuse_views([detections((0, 0, 10, 10, 0.9, 1)), detections(), detections()])
    assert fused.confidence == pytest.approx([0.3])


def test_two_boxes_of_one_view_do_not_count_twice():
    fused = fuse_views([detections((0, 0, 10, 10, 0.8, 1), (0, 0, 10, 9, 0.7, 1)), detections()])
    assert fused.confidence == pytest.approx([0.4])


def test_different_actors_and_distant_boxes_are_not_fused():
    fused = fuse_views([detections((0, 0, 10, 10, 0.9, 1), (0, 0, 10, 10, 0.8, 2), (50, 50, 60, 60, 0.7, 1))])
    assert len(fused.boxes) == 3
    assert fused.actor_index.tolist() == [1, 2, 1]


def test_iou_of_boxes_shifted_by_half_is_a_third():
    boxes, others = np.array([[0, 0, 2, 2]], np.float32), np.array([[1, 0, 3, 2], [5, 5, 6, 6]], np.float32)
    assert pairwise_iou(boxes, others)[0] == pytest.approx([1 / 3, 0])


def test_boxes_in_mirror_images_are_mirrored_back(images: list[Path], tmp_path: Path):
    labelled = label_images(images, [BrightSpotDetector()], tmp_path / "labels.jsonl")
    assert [image.path for image in labelled] == images
    for number, (image, (height, width)) in enumerate(zip(labelled, [(40, 80), (60, 60), (40, 80)], strict=True)):
        expected = [(6 + number) / width, 10 / height, (16 + number) / width, 20 / height]
        assert image.boxes[0] == pytest.approx(expected, abs=1e-3)
        assert image.confidence == pytest.approx([0.8], abs=1e-3)  # equal in both views
        assert image.actor_index.tolist() == [3]


def test_interrupted_labelling_is_resumed(images: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    labels = tmp_path / "labels.jsonl"
    complete = label_images(images, [BrightSpotDetector()], labels)
    lines = labels.read_text().splitlines(keepends=True)
    labels.write_text(lines[0] + lines[1][: len(lines[1]) // 2])  # interrupted within the second line
    teacher = BrightSpotDetector()
    monkeypatch.setattr(pseudo_labels, "BATCH_SIZE", 1)
    resumed = label_images(images, [teacher], labels)
    assert teacher.images == 4  # two images, each with its mirror image
    assert [json.loads(line)["file"] for line in labels.read_text().splitlines()] == [
        json.loads(line)["file"] for line in lines
    ]
    for one, other in zip(complete, resumed, strict=True):
        np.testing.assert_allclose(one.boxes, other.boxes, atol=1e-3)


def test_unreadable_image_is_named(tmp_path: Path):
    (tmp_path / "no.png").write_text("no image")
    with pytest.raises(DatasetError, match=r"no\.png: not a readable image"):
        label_images([tmp_path / "no.png"], [BrightSpotDetector()], tmp_path / "labels.jsonl")


def test_unreadable_images_are_skipped_on_request(images: list[Path], tmp_path: Path):
    (tmp_path / "no.png").write_text("no image")
    (tmp_path / "cut.png").write_bytes(images[0].read_bytes()[:40])  # its header can be read
    skipped = SkippedSamples()
    given = [tmp_path / "no.png", *images, tmp_path / "cut.png"]
    for _ in range(2):  # the second time, the others are labelled already
        labelled = label_images(given, [BrightSpotDetector()], tmp_path / "labels.jsonl", skipped=skipped)
        assert [image.path for image in labelled] == images
    assert sorted(reason.rpartition("/")[2] for reason in skipped.reasons) == [
        "cut.png: not a readable image",
        "no.png: not a readable image",
    ]


def test_damaged_label_line_is_named(images: list[Path], tmp_path: Path):
    (tmp_path / "labels.jsonl").write_text('{"file": "0.png"}\n')
    with pytest.raises(DatasetError, match=r"labels\.jsonl:1: not a line of labels"):
        label_images(images, [BrightSpotDetector()], tmp_path / "labels.jsonl")
