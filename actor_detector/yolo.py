"""The YOLO wrapper: the only file that knows Ultralytics.

As published, the detector is a COCO-trained YOLO at confidence 0.5 and image size 224, of which six classes count (A2D
challenge report, section 3.1); any Ultralytics detection model whose class names feed the taxonomy's actors will do.
"""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from a2d.errors import DetectorError
from a2d.files import sha256_file
from a2d.labels import Taxonomy
from actor_detector.detections import FrameDetections

PUBLISHED_IMAGE_SIZE = 224
PUBLISHED_CONFIDENCE = 0.5
STRIDE = 32  # of the coarsest feature map; YOLO would round other sizes up and leave only a warning behind


@dataclass
class YoloActorDetector:
    """Finds the taxonomy's actors in batches of frames.

    Attributes:
        path: The weights, an Ultralytics `.pt` file. Opened with `weights_only=True`: a file that holds anything but
            Ultralytics' and torch's own layers is refused, since unpickling it could run code.
        taxonomy: Its detector classes are matched with the model's by name.
        image_size: Long side in pixels to which frames are letterboxed.
        confidence: Boxes below it are dropped, in [0, 1].
        device: `cpu` or `cuda:N`.

    Raises:
        DetectorError: If the file is missing, no detection model, or lacks a class that the taxonomy names.
    """

    path: Path
    taxonomy: Taxonomy
    image_size: int = PUBLISHED_IMAGE_SIZE
    confidence: float = PUBLISHED_CONFIDENCE
    device: str = "cpu"
    sha256: str = field(init=False)

    def __post_init__(self) -> None:
        """Hash and load the weights."""
        if not self.path.is_file():
            raise DetectorError(f"{self.path}: no such detector file")
        if not 0 <= self.confidence <= 1:
            raise DetectorError(f"confidence {self.confidence} was given, 0 to 1 is allowed")
        if self.image_size < 1 or self.image_size % STRIDE:
            raise DetectorError(f"image size {self.image_size} was given, multiples of {STRIDE} are allowed")
        self.sha256 = sha256_file(self.path)
        self._model = _load(self.path)
        self._actor_by_class = self.taxonomy.match_detector_classes(self._model.names)

    def detect(self, images: NDArray[np.uint8]) -> list[FrameDetections]:
        """Find the actors in a batch of frames.

        Args:
            images: Shape (B, H, W, 3), uint8, BGR.

        Returns:
            One entry a frame, in order.
        """
        with _torch_threads_kept():
            results = self._model.predict(
                list(images),
                imgsz=self.image_size,
                conf=self.confidence,
                classes=list(self._actor_by_class),
                device=self.device,
                verbose=False,
            )
        return [self._adapt(result.boxes) for result in results]

    def _adapt(self, boxes: Any) -> FrameDetections:
        """Turn Ultralytics' boxes of one frame into ours."""
        classes = boxes.cls.cpu().numpy().astype(int)
        return FrameDetections(
            boxes.xyxy.cpu().numpy().astype(np.float32).reshape(-1, 4),
            boxes.conf.cpu().numpy().astype(np.float32),
            np.array([self._actor_by_class[number] for number in classes], dtype=np.int64),
        )


def _load(path: Path) -> Any:
    """Open an Ultralytics detection model without running code from the file and without asking the network."""
    # Ultralytics reads these once, when it is imported; it would set the last one to 1 for the whole process.
    os.environ.setdefault("YOLO_OFFLINE", "true")
    os.environ.setdefault("YOLO_AUTOINSTALL", "false")
    os.environ.setdefault("YOLO_VERBOSE", "false")
    os.environ.setdefault("OMP_NUM_THREADS", str(os.cpu_count() or 1))
    with redirect_stdout(sys.stderr):  # it logs to what stdout is at its import, and stdout is for results
        from ultralytics import YOLO
        from ultralytics.nn.tasks import torch_safe_load

    if path.suffix != ".pt":
        raise DetectorError(f"{path}: an Ultralytics .pt file was expected")
    try:
        torch_safe_load(str(path), safe_only=True)  # YOLO itself would unpickle anything
        model = YOLO(str(path))
    except Exception as reason:  # Ultralytics raises whatever torch, zipfile and pickle raise
        raise DetectorError(f"{path}: not a YOLO model that can be loaded ({_first_line(reason)})") from None
    if model.task != "detect":
        raise DetectorError(f"{path}: a detection model was expected, this one is for the task '{model.task}'")
    return model


def _first_line(reason: Exception) -> str:
    lines = str(reason).removeprefix("ERROR ❌️ ").strip().splitlines()
    return lines[0] if lines else type(reason).__name__


@contextmanager
def _torch_threads_kept() -> Iterator[None]:
    """Undo what Ultralytics does to torch's thread count when it selects the CPU (one thread fewer than cores)."""
    import torch

    threads = torch.get_num_threads()
    try:
        yield
    finally:
        torch.set_num_threads(threads)
