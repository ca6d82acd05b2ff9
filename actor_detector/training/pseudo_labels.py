"""Pseudo-labels: the consensus of several trained detectors on unlabelled images.

Each teacher detects in each image and in its mirror image. Overlapping boxes of the same actor are fused into one whose
confidence is the mean over all views: a box that was detected in one of six views keeps a sixth of its confidence
(weighted boxes fusion, Solovyev et al. 2021).
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from a2d.skipped_samples import SkippedSamples
from actor_detector.detections import FrameDetections
from actor_detector.motion.tracker import pairwise_iou
from common.errors import DatasetError
from common.progress import Progress, no_progress
from video.image_files import read_image, read_image_size

FUSION_IOU = 0.55  # intersection over union from which two boxes of one actor are fused
MIN_FUSED_CONFIDENCE = 0.15  # fused boxes with a lower confidence are dropped
BATCH_SIZE = 16  # images per call of a teacher


class ImageDetector(Protocol):
    """Detects actors in images, each (H, W, 3), uint8, BGR."""

    def detect(self, images: Sequence[NDArray[np.uint8]] | NDArray[np.uint8]) -> list[FrameDetections]:
        """Return one entry per image, in order."""


@dataclass(frozen=True)
class PseudoLabelledImage:
    """An image file and its pseudo-labels.

    Attributes:
        path: The image.
        boxes: Corners x1 y1 x2 y2 as fractions of width and height, shape (N, 4), float32, in [0, 1].
        confidence: Mean over the teachers' views, shape (N,), float32, in [0, 1].
        actor_index: Index of the actor in the taxonomy, from 0, shape (N,), int64.
    """

    path: Path
    boxes: NDArray[np.float32]
    confidence: NDArray[np.float32]
    actor_index: NDArray[np.int64]

    def at_confidence(self, confidence: float) -> "PseudoLabelledImage":
        """Drop the boxes below a confidence in [0, 1]."""
        selected = self.confidence >= confidence
        return PseudoLabelledImage(
            self.path, self.boxes[selected], self.confidence[selected], self.actor_index[selected]
        )


def label_images(
    images: Sequence[Path],
    teachers: Sequence[ImageDetector],
    labels: Path,
    progress: Progress = no_progress,
    skipped: SkippedSamples | None = None,
) -> list[PseudoLabelledImage]:
    """Label images with the teachers, except those that the label file contains already.

    Args:
        images: Image files with different names.
        teachers: Detectors of the same taxonomy's actors.
        labels: JSON lines, one per image: `file`, `boxes`, `confidence`, `actors`. Written batch by batch, so that an
            interrupted labelling can be resumed.
        progress: Shows the progress.
        skipped: Collects the images that cannot be read; None raises an error for the first.

    Returns:
        One entry per image that can be read, in order.

    Raises:
        DatasetError: If an image cannot be read and `skipped` is None or strict, or the label file is damaged.
    """
    skipped = SkippedSamples(strict=True) if skipped is None else skipped
    labelled = _load_labels(labels)
    missing = _sort_by_size([path for path in images if path.name not in labelled], skipped)
    labels.parent.mkdir(parents=True, exist_ok=True)
    with labels.open("a", encoding="utf-8") as file:
        for start in progress(range(0, len(missing), BATCH_SIZE), "labelling", "batch"):
            batch = _read_images(missing[start : start + BATCH_SIZE], skipped)
            fused = _detect_and_fuse(list(batch.values()), teachers) if batch else []
            for path, detections in zip(batch, fused, strict=True):
                labelled[path.name] = detections
                file.write(json.dumps({"file": path.name, **_to_lists(detections)}) + "\n")
            file.flush()
    results = [(path, labelled[path.name]) for path in images if path.name in labelled]
    return [PseudoLabelledImage(path, found.boxes, found.confidence, found.actor_index) for path, found in results]


def _sort_by_size(images: Sequence[Path], skipped: SkippedSamples) -> list[Path]:
    """Sort images, because batches of one shape need less padding."""
    sizes = {}
    for path in images:
        try:
            sizes[path] = read_image_size(path)
        except DatasetError as reason:
            skipped.add("", reason)
    return sorted(sizes, key=lambda path: sizes[path])


def _read_images(images: Sequence[Path], skipped: SkippedSamples) -> dict[Path, NDArray[np.uint8]]:
    pixels = {}
    for path in images:
        try:
            pixels[path] = read_image(path)
        except DatasetError as reason:
            skipped.add("", reason)
    return pixels


def fuse_views(views: Sequence[FrameDetections]) -> FrameDetections:
    """Fuse the detections in several views of one image.

    Args:
        views: Boxes in the same coordinates, one entry per view.

    Returns:
        Fused boxes, the most confident first. A box's corners are the mean of its members', weighted by confidence;
        its confidence is the sum over the views of the most confident member, divided by the number of views.
    """
    boxes = np.concatenate([view.boxes for view in views])
    confidence = np.concatenate([view.confidence for view in views])
    actors = np.concatenate([view.actor_index for view in views])
    view_of_box = np.repeat(np.arange(len(views)), [len(view.boxes) for view in views])
    remaining = np.argsort(-confidence, kind="stable")
    fused: list[tuple[NDArray[np.float32], float, int]] = []
    while len(remaining):
        first = remaining[0]
        is_member = (actors[remaining] == actors[first]) & (
            pairwise_iou(boxes[first], boxes[remaining])[0] >= FUSION_IOU
        )
        members, remaining = remaining[is_member], remaining[~is_member]
        _, best = np.unique(view_of_box[members], return_index=True)  # sorted members: each view's first is its best
        total = float(confidence[members[best]].sum()) / len(views)
        fused.append((np.average(boxes[members], axis=0, weights=confidence[members]), total, int(actors[first])))
    fused.sort(key=lambda box: -box[1])
    return FrameDetections(
        np.array([box for box, _, _ in fused], np.float32).reshape(-1, 4),
        np.array([score for _, score, _ in fused], np.float32),
        np.array([actor for _, _, actor in fused], np.int64),
    )


def _detect_and_fuse(images: Sequence[NDArray[np.uint8]], teachers: Sequence[ImageDetector]) -> list[FrameDetections]:
    """Run every teacher on images and their mirror images; the fused boxes are fractions of the image."""
    mirrored = [np.ascontiguousarray(image[:, ::-1]) for image in images]
    views: list[list[FrameDetections]] = [[] for _ in images]
    for teacher in teachers:
        for index, found in enumerate(teacher.detect(images)):
            views[index].append(_to_fractions(found, images[index]))
        for index, found in enumerate(teacher.detect(mirrored)):
            views[index].append(_flip(_to_fractions(found, images[index])))
    fused = [fuse_views(view) for view in views]
    return [found.take_boxes(found.confidence >= MIN_FUSED_CONFIDENCE) for found in fused]


def _to_fractions(found: FrameDetections, image: NDArray[np.uint8]) -> FrameDetections:
    height, width = image.shape[:2]
    boxes = (found.boxes / np.array([width, height, width, height])).clip(0, 1).astype(np.float32)
    return FrameDetections(boxes, found.confidence, found.actor_index)


def _flip(found: FrameDetections) -> FrameDetections:
    boxes = found.boxes[:, [2, 1, 0, 3]].copy()
    boxes[:, [0, 2]] = 1 - boxes[:, [0, 2]]
    return FrameDetections(boxes, found.confidence, found.actor_index)


def _to_lists(found: FrameDetections) -> dict[str, object]:
    return {
        "boxes": [[round(float(x), 4) for x in box] for box in found.boxes],
        "confidence": [round(float(x), 3) for x in found.confidence],
        "actors": found.actor_index.tolist(),
    }


def _load_labels(path: Path) -> dict[str, FrameDetections]:
    """Load the labels of an earlier run; an incomplete last line, from an interrupted run, is removed from the file."""
    labelled: dict[str, FrameDetections] = {}
    if not path.is_file():
        return labelled
    content = path.read_bytes()
    complete = content[: content.rfind(b"\n") + 1]
    if len(complete) < len(content):
        path.write_bytes(complete)
    for number, line in enumerate(complete.decode().splitlines(), 1):
        try:
            row = json.loads(line)
            labelled[row["file"]] = FrameDetections(
                np.array(row["boxes"], np.float32).reshape(-1, 4),
                np.array(row["confidence"], np.float32),
                np.array(row["actors"], np.int64),
            )
        except (ValueError, KeyError, TypeError) as reason:
            raise DatasetError(f"{path}:{number}: not a line of labels ({reason})") from None
    return labelled
