"""The YOLO wrapper: the only file that knows Ultralytics.

As published, the detector is a COCO-trained YOLO at confidence 0.5 and image size 224, of which six classes count (A2D
challenge report, section 3.1); any Ultralytics detection model whose class names feed the taxonomy's actors will do.
"""

import os
import sys
from collections import defaultdict
from collections.abc import Sequence
from contextlib import redirect_stdout
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from a2d.taxonomy import Taxonomy
from actor_detector.detections import FrameBoxes, FrameDetections
from actor_detector.letterbox import STRIDE, Letterbox
from actor_detector.weights import architecture_path, load_detector
from common.errors import DetectorError
from common.files import sha256_file
from common.paths import ultralytics_folder
from inference.interfaces import Engine, Network, PendingOutput, content_key
from inference.runtime import Runtime

PUBLISHED_IMAGE_SIZE = 224
PUBLISHED_CONFIDENCE = 0.5
NETWORK_FORMAT = "yolo/1"  # raise it when what is done to the network before it runs changes
NMS_IOU = 0.7  # intersection over union from which a box suppresses another, Ultralytics' default


class YoloActorDetector:
    """Finds the taxonomy's actors in batches of frames.

    Args:
        path: The weights: an Ultralytics `.pt` file, opened with `weights_only=True` (a file that holds anything but
            Ultralytics' and torch's own layers is refused, since unpickling it could run code), or a `.safetensors`
            file of this project.
        taxonomy: Its detector classes are matched with the model's by name.
        image_size: Long side in pixels to which frames are letterboxed.
        confidence: Boxes below it are dropped, in [0, 1].
        runtime: What runs the network.
        batch_size: Frames in one forward pass.

    Raises:
        DetectorError: If the file is missing, no detection model, or lacks a class that the taxonomy names.
    """

    def __init__(
        self,
        path: Path,
        taxonomy: Taxonomy,
        image_size: int = PUBLISHED_IMAGE_SIZE,
        confidence: float = PUBLISHED_CONFIDENCE,
        runtime: Runtime | None = None,
        batch_size: int = 8,
    ) -> None:
        if not path.is_file():
            raise DetectorError(f"{path}: no such detector file")
        if not 0 <= confidence <= 1:
            raise DetectorError(f"confidence {confidence} was given, 0 to 1 is allowed")
        if image_size < 1 or image_size % STRIDE:
            raise DetectorError(f"image size {image_size} was given, multiples of {STRIDE} are allowed")
        self.path, self.image_size, self.confidence, self.batch_size = path, image_size, confidence, batch_size
        self.runtime = runtime or Runtime()
        self.sha256 = sha256_file(path)
        self._network = Network(content_key(NETWORK_FORMAT, self.sha256), self._build, supports_int8=True)
        facts = self.runtime.facts(self._network.key, lambda: _describe(self._module))
        self._needs_suppression = bool(facts["needs_suppression"])
        names = {int(number): name for number, name in facts["names"].items()}
        self._actor_by_class = np.full(max(names) + 1, -1, np.int64)
        for number, actor in taxonomy.match_detector_classes(names).items():
            self._actor_by_class[number] = actor
        self._engines: dict[tuple[int, int], Engine] = {}

    @cached_property
    def _module(self) -> Any:
        return _load(self.path)

    def _build(self) -> Any:
        from inference.torch_engine import Preprocessed

        return Preprocessed(self._module.model.eval().fuse(verbose=False))

    def letterbox(self, frame: tuple[int, int]) -> Letterbox:
        """Say how frames of a width and height in pixels become inputs."""
        return Letterbox.fit(frame, self.image_size)

    def submit(self, inputs: NDArray[np.uint8], letterbox: Letterbox) -> PendingOutput:
        """Start on inputs (B, H, W, 3), uint8, BGR; the answer is for `read`."""
        if letterbox.outer not in self._engines:
            width, height = letterbox.outer
            self._engines[letterbox.outer] = self.runtime.engine(self._network, (height, width), self.batch_size)
        return self._engines[letterbox.outer].submit(inputs)

    def read(self, output: NDArray[np.float32], letterbox: Letterbox) -> FrameBoxes:
        """Read the boxes out of what the network said.

        Args:
            output: Of a head that needs no suppression (B, K, 6): corners, confidence, class; else (B, 4 + C, K):
                centre, size, and the confidence in each class.
            letterbox: How the frames lie in the inputs.

        Returns:
            The boxes, in pixels of the frames.
        """
        if self._needs_suppression:
            found, row = _suppress(output, self.confidence)
        else:
            row, place = np.nonzero(output[:, :, 4] >= self.confidence)
            found = output[row, place]
        actor_index = self._actor_by_class[found[:, 5].astype(np.int64)]
        kept = actor_index >= 0
        return FrameBoxes(
            len(output),
            row[kept].astype(np.int64),
            letterbox.to_frame(found[kept, :4]),
            found[kept, 4].astype(np.float32),
            actor_index[kept],
        )

    def detect(self, images: Sequence[NDArray[np.uint8]] | NDArray[np.uint8]) -> list[FrameDetections]:
        """Find the actors in images that are at hand.

        Args:
            images: Each of shape (H, W, 3), uint8, BGR; together (B, H, W, 3) where all have one size.

        Returns:
            One entry an image, in order.
        """
        found: dict[int, FrameDetections] = {}
        places: dict[Letterbox, list[int]] = defaultdict(list)
        for place, image in enumerate(images):
            places[self.letterbox((image.shape[1], image.shape[0]))].append(place)
        for letterbox, own in places.items():
            inputs = letterbox.canvas(len(own))
            for row, place in enumerate(own):
                letterbox.place(images[place], inputs[row])
            boxes = self.read(self.submit(inputs, letterbox).result(), letterbox)
            found |= dict(zip(own, boxes.split(), strict=True))
        return [found[place] for place in range(len(images))]


def _describe(model: Any) -> dict[str, Any]:
    """Say what must be known of a model beside its network."""
    return {"names": dict(model.names), "needs_suppression": not model.model.end2end}


def _suppress(output: NDArray[np.float32], confidence: float) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Keep the best of boxes that overlap, (N, 6), and say in which frame each is, (N,)."""
    import torch
    from ultralytics.utils.nms import non_max_suppression

    kept = non_max_suppression(torch.from_numpy(output), confidence, NMS_IOU)
    rows = np.repeat(np.arange(len(kept)), [len(boxes) for boxes in kept])
    return torch.cat(kept).numpy(), rows


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
