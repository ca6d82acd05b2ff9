"""The YOLO wrapper: the only file that knows Ultralytics.

As published, the detector is a COCO-trained YOLO at confidence 0.5 and image size 224, of which six classes count (A2D
challenge report, section 3.1); any Ultralytics detection model whose class names feed the taxonomy's actors will do.
"""

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from a2d.errors import DetectorError
from a2d.files import sha256_file
from a2d.labels import Taxonomy
from a2d.places import ultralytics_folder
from actor_detector.detections import FrameDetections
from actor_detector.weights import architecture_path, load_detector

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

    def detect(self, images: Sequence[NDArray[np.uint8]] | NDArray[np.uint8]) -> list[FrameDetections]:
        """Find the actors in a batch of frames.

        Args:
            images: Each of shape (H, W, 3), uint8, BGR; together (B, H, W, 3) where all have one size.

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
                nms=None if self.path.suffix == ".pt" else False,  # ours have a head that needs no suppression
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


def build_network(architecture: Path, class_names: Sequence[str], epochs: int = 1) -> Any:
    """Make an untrained Ultralytics detection model, ready to be trained.

    Args:
        architecture: Its model YAML.
        class_names: One an output.
        epochs: Over which its loss, `criterion`, moves from the one-to-many to the one-to-one head.

    Returns:
        The model, a torch module.

    Raises:
        DetectorError: If the YAML is no detection model.
    """
    _import_ultralytics()
    from ultralytics.cfg import get_cfg
    from ultralytics.nn.tasks import DetectionModel

    try:
        network = DetectionModel(str(architecture), nc=len(class_names), verbose=False)
    except Exception as reason:  # Ultralytics raises whatever evaluating the YAML raises
        raise DetectorError(f"{architecture}: not an Ultralytics detection model ({_first_line(reason)})") from None
    network.names = dict(enumerate(class_names))
    network.end2end = True  # at work it reads the one-to-one head, which needs no non-maximum suppression
    network.args = get_cfg()
    network.args.epochs = epochs
    network.criterion = network.init_criterion()
    return network


def _import_ultralytics() -> None:
    """Import Ultralytics so that it asks nobody, installs nothing, and leaves stdout and torch's threads alone."""
    # It reads these once, when it is imported; it would set the last one to 1 for the whole process.
    os.environ["YOLO_OFFLINE"] = "true"
    os.environ.setdefault("YOLO_AUTOINSTALL", "false")
    os.environ.setdefault("YOLO_VERBOSE", "false")
    os.environ.setdefault("YOLO_CONFIG_DIR", str(ultralytics_folder()))
    os.environ.setdefault("OMP_NUM_THREADS", str(os.cpu_count() or 1))
    with redirect_stdout(sys.stderr):  # it logs to what stdout is at its import, and stdout is for results
        import ultralytics  # noqa: F401


def _load(path: Path) -> Any:
    """Open a detection model without running code from the file and without asking the network."""
    if path.suffix == ".safetensors":
        return _load_own(path)
    if path.suffix == ".pt":
        return _load_checkpoint(path)
    raise DetectorError(f"{path}: an Ultralytics .pt file or a .safetensors file of this project was expected")


def _load_own(path: Path) -> Any:
    """Open a detector that this project trained."""
    import torch
    from torch.nn.utils.fusion import fuse_conv_bn_eval

    state, manifest = load_detector(path)
    network = build_network(architecture_path(path), manifest.class_names)
    try:
        network.load_state_dict(state)
    except RuntimeError as reason:
        raise DetectorError(f"{path}: does not fit its model YAML ({_first_line(reason)})") from None
    network.eval()
    # Ultralytics folds batch normalisation into its own convolutions only; the backbone is torchvision's.
    for block in network.model[0].modules():
        children = list(getattr(block, "_modules", {}).items())
        for (name, conv), (next_name, norm) in pairwise(children):
            if isinstance(conv, torch.nn.Conv2d) and isinstance(norm, torch.nn.BatchNorm2d):
                setattr(block, name, fuse_conv_bn_eval(conv, norm))
                setattr(block, next_name, torch.nn.Identity())
    from ultralytics import YOLO

    model = YOLO(str(architecture_path(path)), task="detect")
    model.model = network
    return model


def _load_checkpoint(path: Path) -> Any:
    """Open an Ultralytics `.pt` file."""
    _import_ultralytics()
    from ultralytics import YOLO
    from ultralytics.nn.tasks import torch_safe_load

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
