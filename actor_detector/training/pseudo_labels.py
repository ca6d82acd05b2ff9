"""Pseudo-labels: what several trained detectors agree on in images that nobody has labelled.

Each teacher looks at each image and at its mirror image; boxes of the same actor that overlap are fused into one, whose
confidence is the mean over all views, so that a box which only one of six views saw keeps a sixth of its confidence
(weighted boxes fusion, Solovyev et al. 2021).
"""

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from actor_detector.detections import FrameDetections
from actor_detector.motion.tracker import pairwise_iou
from common.errors import DatasetError

FUSION_IOU = 0.55  # intersection over union from which two boxes of one actor are the same thing
MIN_FUSED_CONFIDENCE = 0.15  # fused boxes below this confidence are forgotten


class ImageDetector(Protocol):
    """Anything that finds actors in images, each (H, W, 3), uint8, BGR."""

    def detect(self, images: Sequence[NDArray[np.uint8]] | NDArray[np.uint8]) -> list[FrameDetections]:
        """Give one entry an image, in order."""


@dataclass(frozen=True)
class PseudoLabelledImage:
    """An image file and what the teachers see in it.

    Attributes:
        path: The image.
        boxes: Corners x1 y1 x2 y2 as fractions of width and height, shape (N, 4), float32, in [0, 1].
        confidence: Mean over the teachers' views, shape (N,), float32, in [0, 1].
        actor_index: Place of the actor in the taxonomy, from 0, shape (N,), int64.
    """

    path: Path
    boxes: NDArray[np.float32]
    confidence: NDArray[np.float32]
    actor_index: NDArray[np.int64]


def label_images(
    images: Sequence[Path],
    teachers: Sequence[ImageDetector],
    labels: Path,
    batch_size: int = 16,
    progress: Callable[[Iterable[int]], Iterable[int]] = lambda starts: starts,
) -> list[PseudoLabelledImage]:
    """Let the teachers label images; what the file of labels holds already is not asked again.

    Args:
        images: Image files with different names.
        teachers: Detectors of the same taxonomy's actors.
        labels: JSON lines, one an image: `file`, `boxes`, `confidence`, `actors`. Grows batch by batch, so that a
            labelling that is stopped goes on where it was.
        batch_size: Images that a teacher sees at a time.
        progress: Wraps the batches' starts, for a progress bar.

    Returns:
        One entry for each image, in order.

    Raises:
        DatasetError: If an image cannot be read, or the file of labels is damaged.
    """
    known = _read_labels(labels)
    missing = [path for path in images if path.name not in known]
    missing.sort(key=_size)  # detectors pad less where a batch has one shape
    labels.parent.mkdir(parents=True, exist_ok=True)
    with labels.open("a", encoding="utf-8") as file:
        for start in progress(range(0, len(missing), batch_size)):
            paths = missing[start : start + batch_size]
            for path, found in zip(paths, _ask([read_image(path) for path in paths], teachers), strict=True):
                known[path.name] = found
                file.write(json.dumps({"file": path.name, **_to_lists(found)}) + "\n")
            file.flush()
    return [
        PseudoLabelledImage(path, known[path.name].boxes, known[path.name].confidence, known[path.name].actor_index)
        for path in images
    ]


def read_image(path: Path) -> NDArray[np.uint8]:
    """Read an image file as (H, W, 3) uint8 BGR.

    Raises:
        DatasetError: If it cannot be read.
    """
    image = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if image is None:
        raise DatasetError(f"{path}: not a readable image")
    return np.asarray(image, dtype=np.uint8)


def fuse_views(views: Sequence[FrameDetections]) -> FrameDetections:
    """Fuse what several views of one image say.

    Args:
        views: Boxes in the same coordinates, one entry a view.

    Returns:
        Fused boxes, the most confident first. A box's corners are the mean of its members', weighted by confidence;
        its confidence is the sum of each view's best member over the number of views.
    """
    boxes = np.concatenate([view.boxes for view in views])
    confidence = np.concatenate([view.confidence for view in views])
    actors = np.concatenate([view.actor_index for view in views])
    owner = np.repeat(np.arange(len(views)), [len(view.boxes) for view in views])
    left = np.argsort(-confidence, kind="stable")
    fused: list[tuple[NDArray[np.float32], float, int]] = []
    while len(left):
        first = left[0]
        same = (actors[left] == actors[first]) & (pairwise_iou(boxes[first], boxes[left])[0] >= FUSION_IOU)
        members, left = left[same], left[~same]
        _, best = np.unique(owner[members], return_index=True)  # members are sorted: the first of a view is its best
        total = float(confidence[members[best]].sum()) / len(views)
        fused.append((np.average(boxes[members], axis=0, weights=confidence[members]), total, int(actors[first])))
    fused.sort(key=lambda box: -box[1])
    return FrameDetections(
        np.array([box for box, _, _ in fused], np.float32).reshape(-1, 4),
        np.array([score for _, score, _ in fused], np.float32),
        np.array([actor for _, _, actor in fused], np.int64),
    )


def _size(path: Path) -> tuple[int, int]:
    """Read an image's width and height from its header."""
    try:
        with Image.open(path) as image:
            return image.size
    except (OSError, ImportError):  # Ultralytics, once imported, makes Pillow try a package for formats unknown to it
        raise DatasetError(f"{path}: not a readable image") from None


def _ask(images: Sequence[NDArray[np.uint8]], teachers: Sequence[ImageDetector]) -> list[FrameDetections]:
    """Let every teacher look at images and their mirror images; boxes as fractions of the image."""
    mirrored = [np.ascontiguousarray(image[:, ::-1]) for image in images]
    views: list[list[FrameDetections]] = [[] for _ in images]
    for teacher in teachers:
        for place, found in enumerate(teacher.detect(images)):
            views[place].append(_relative(found, images[place]))
        for place, found in enumerate(teacher.detect(mirrored)):
            views[place].append(_mirror(_relative(found, images[place])))
    fused = [fuse_views(view) for view in views]
    return [_keep(found, found.confidence >= MIN_FUSED_CONFIDENCE) for found in fused]


def _relative(found: FrameDetections, image: NDArray[np.uint8]) -> FrameDetections:
    height, width = image.shape[:2]
    boxes = (found.boxes / np.array([width, height, width, height])).clip(0, 1).astype(np.float32)
    return FrameDetections(boxes, found.confidence, found.actor_index)


def _mirror(found: FrameDetections) -> FrameDetections:
    boxes = found.boxes[:, [2, 1, 0, 3]].copy()
    boxes[:, [0, 2]] = 1 - boxes[:, [0, 2]]
    return FrameDetections(boxes, found.confidence, found.actor_index)


def _keep(found: FrameDetections, rows: NDArray[np.bool_]) -> FrameDetections:
    return FrameDetections(found.boxes[rows], found.confidence[rows], found.actor_index[rows])


def _to_lists(found: FrameDetections) -> dict[str, object]:
    return {
        "boxes": [[round(float(x), 4) for x in box] for box in found.boxes],
        "confidence": [round(float(x), 3) for x in found.confidence],
        "actors": found.actor_index.tolist(),
    }


def _read_labels(path: Path) -> dict[str, FrameDetections]:
    """Read the labels of an earlier, perhaps interrupted, labelling; a torn last line is cut off."""
    known: dict[str, FrameDetections] = {}
    if not path.is_file():
        return known
    content = path.read_bytes()
    whole = content[: content.rfind(b"\n") + 1]
    if len(whole) < len(content):
        path.write_bytes(whole)
    for number, line in enumerate(whole.decode().splitlines(), 1):
        try:
            row = json.loads(line)
            known[row["file"]] = FrameDetections(
                np.array(row["boxes"], np.float32).reshape(-1, 4),
                np.array(row["confidence"], np.float32),
                np.array(row["actors"], np.int64),
            )
        except (ValueError, KeyError, TypeError) as reason:
            raise DatasetError(f"{path}:{number}: not a line of labels ({reason})") from None
    return known
