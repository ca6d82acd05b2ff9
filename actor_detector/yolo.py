"""The YOLO detector; the only module that imports Ultralytics.

As published, the detector is a COCO-trained YOLO at confidence 0.5 and image size 224, of which six classes are used
(A2D challenge report, section 3.1). Any Ultralytics detection model that has the taxonomy's detector classes works.
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
from actor_detector.detector_settings import DetectorSettings
from actor_detector.letterbox import NETWORK_STRIDE, Letterbox
from actor_detector.weights import architecture_path, load_detector
from common.errors import DetectorError
from common.files import sha256_file
from common.paths import ultralytics_folder
from inference.interfaces import Engine, Network, PendingOutput, content_key
from inference.runtime import Runtime

NETWORK_FORMAT = "yolo/1"  # raise it when the preparation of the network for inference changes
NMS_IOU = 0.7  # intersection over union from which a box suppresses another, Ultralytics' default
PUBLISHED_SETTINGS = DetectorSettings()


class YoloActorDetector:
    """Detects the taxonomy's actors in batches of frames.

    Args:
        path: The weights: an Ultralytics `.pt` file, opened with `weights_only=True` (a file that contains anything but
            Ultralytics' and torch's own layers is refused, since unpickling it could run code), or a `.safetensors`
            file of this project.
        taxonomy: Its detector classes are matched with the model's by name.
        settings: Image size and confidence.
        runtime: Runs the network; PyTorch on the CPU by default.
        batch_size: Frames per forward pass.

    Raises:
        DetectorError: If the file is missing, is not a detection model, or lacks a class that the taxonomy names.
    """

    def __init__(
        self,
        path: Path,
        taxonomy: Taxonomy,
        settings: DetectorSettings = PUBLISHED_SETTINGS,
        runtime: Runtime | None = None,
        batch_size: int = 8,
    ) -> None:
        if not path.is_file():
            raise DetectorError(f"{path}: no such detector file")
        if not 0 <= settings.confidence <= 1:
            raise DetectorError(f"confidence {settings.confidence} was given, 0 to 1 is allowed")
        if settings.image_size < 1 or settings.image_size % NETWORK_STRIDE:
            raise DetectorError(
                f"image size {settings.image_size} was given, multiples of {NETWORK_STRIDE} are allowed"
            )
        self.path, self.settings, self.batch_size = path, settings, batch_size
        self.runtime = runtime or Runtime()
        self.sha256 = sha256_file(path)
        self._network = Network(content_key(NETWORK_FORMAT, self.sha256), self._build, supports_int8=True)
        facts = self.runtime.facts(self._network.key, lambda: _model_facts(self._model))
        self._needs_suppression = bool(facts["needs_suppression"])
        names = {int(number): name for number, name in facts["names"].items()}
        self._actor_by_class = np.full(max(names) + 1, -1, np.int64)
        for number, actor in taxonomy.match_detector_classes(names).items():
            self._actor_by_class[number] = actor
        self._engines: dict[tuple[int, int], Engine] = {}

    @cached_property
    def _model(self) -> Any:
        return _load_model(self.path)

    def _build(self) -> Any:
        from inference.torch_engine import Preprocessed

        return Preprocessed(self._model.model.eval().fuse(verbose=False))

    def letterbox(self, frame_size: tuple[int, int]) -> Letterbox:
        """Return how frames of a width and height in pixels are fitted into inputs."""
        return Letterbox.fit(frame_size, self.settings.image_size)

    def submit(self, inputs: NDArray[np.uint8], letterbox: Letterbox) -> PendingOutput:
        """Start a batch of inputs (B, H, W, 3), uint8, BGR, whose output `postprocess` converts to boxes."""
        if letterbox.input_size not in self._engines:
            width, height = letterbox.input_size
            self._engines[letterbox.input_size] = self.runtime.engine(self._network, (height, width), self.batch_size)
        return self._engines[letterbox.input_size].submit(inputs)

    def postprocess(self, output: NDArray[np.float32], letterbox: Letterbox) -> FrameBoxes:
        """Convert the network's output for a batch to boxes.

        Args:
            output: Of a model that needs no non-maximum suppression, shape (B, K, 6): corners, confidence, class; of
                another, shape (B, 4 + C, K): centre, size, and the confidence in each class.
            letterbox: How the frames are fitted into the inputs.

        Returns:
            The boxes, in pixels of the frames.
        """
        if self._needs_suppression:
            found, row = _suppress(output, self.settings.confidence)
        else:
            row, candidate = np.nonzero(output[:, :, 4] >= self.settings.confidence)
            found = output[row, candidate]
        actor_index = self._actor_by_class[found[:, 5].astype(np.int64)]
        is_actor = actor_index >= 0
        return FrameBoxes(
            len(output),
            row[is_actor].astype(np.int64),
            letterbox.to_frame(found[is_actor, :4]),
            found[is_actor, 4].astype(np.float32),
            actor_index[is_actor],
        )

    def detect(self, images: Sequence[NDArray[np.uint8]] | NDArray[np.uint8]) -> list[FrameDetections]:
        """Detect the actors in images that are in memory.

        Args:
            images: Each of shape (H, W, 3), uint8, BGR; an array (B, H, W, 3) if all have the same size.

        Returns:
            One entry per image, in order.
        """
        found: dict[int, FrameDetections] = {}
        indices_by_letterbox: dict[Letterbox, list[int]] = defaultdict(list)
        for index, image in enumerate(images):
            indices_by_letterbox[self.letterbox((image.shape[1], image.shape[0]))].append(index)
        for letterbox, indices in indices_by_letterbox.items():
            inputs = letterbox.canvas(len(indices))
            for row, index in enumerate(indices):
                letterbox.paste(images[index], inputs[row])
            boxes = self.postprocess(self.submit(inputs, letterbox).result(), letterbox)
            found |= dict(zip(indices, boxes.split(), strict=True))
        return [found[index] for index in range(len(images))]


def _model_facts(model: Any) -> dict[str, Any]:
    """Return what is needed of a model besides its network."""
    return {"names": dict(model.names), "needs_suppression": not model.model.end2end}


def _suppress(output: NDArray[np.float32], confidence: float) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Apply non-maximum suppression; return the remaining boxes (N, 6) and the frame of each (N,)."""
    import torch
    from ultralytics.utils.nms import non_max_suppression

    boxes = non_max_suppression(torch.from_numpy(output), confidence, NMS_IOU)
    rows = np.repeat(np.arange(len(boxes)), [len(of_frame) for of_frame in boxes])
    return torch.cat(boxes).numpy(), rows


def build_network(architecture: Path, class_names: Sequence[str], epochs: int = 1) -> Any:
    """Build an Ultralytics detection model with random weights, ready for training.

    Args:
        architecture: Its model YAML.
        class_names: One per output.
        epochs: Over which its loss, `criterion`, shifts from the one-to-many to the one-to-one head.

    Returns:
        The model, a torch module.

    Raises:
        DetectorError: If the YAML does not describe a detection model.
    """
    _import_ultralytics()
    from ultralytics.cfg import get_cfg
    from ultralytics.nn.tasks import DetectionModel

    try:
        network = DetectionModel(str(architecture), nc=len(class_names), verbose=False)
    except Exception as reason:  # Ultralytics raises whatever evaluating the YAML raises
        raise DetectorError(f"{architecture}: not an Ultralytics detection model ({_first_line(reason)})") from None
    network.names = dict(enumerate(class_names))
    network.end2end = True  # inference uses the one-to-one head, which needs no non-maximum suppression
    network.args = get_cfg()
    network.args.epochs = epochs
    network.criterion = network.init_criterion()
    return network


def _import_ultralytics() -> None:
    """Import Ultralytics without network access, installations, output on stdout, or changes to torch's threads."""
    # These are only read during the import; by default, the last one would become 1 for the whole process.
    os.environ["YOLO_OFFLINE"] = "true"
    os.environ.setdefault("YOLO_AUTOINSTALL", "false")
    os.environ.setdefault("YOLO_VERBOSE", "false")
    os.environ.setdefault("YOLO_CONFIG_DIR", str(ultralytics_folder()))
    os.environ.setdefault("OMP_NUM_THREADS", str(os.cpu_count() or 1))
    with redirect_stdout(sys.stderr):  # it logs to the stdout of its import, which is reserved for results
        import ultralytics  # noqa: F401


def _load_model(path: Path) -> Any:
    """Load a detection model without running code from the file and without network access."""
    if path.suffix == ".safetensors":
        return _load_safetensors(path)
    if path.suffix == ".pt":
        return _load_checkpoint(path)
    raise DetectorError(f"{path}: an Ultralytics .pt file or a .safetensors file of this project was expected")


def _load_safetensors(path: Path) -> Any:
    """Load a detector that this project trained."""
    state, manifest = load_detector(path)
    network = build_network(architecture_path(path), manifest.class_names)
    try:
        network.load_state_dict(state)
    except RuntimeError as reason:
        raise DetectorError(f"{path}: does not fit its model YAML ({_first_line(reason)})") from None
    network.eval()
    _fold_batch_norm(network.model[0])
    from ultralytics import YOLO

    model = YOLO(str(architecture_path(path)), task="detect")
    model.model = network
    return model


def _fold_batch_norm(backbone: Any) -> None:
    """Fold batch normalization into torchvision's convolutions; Ultralytics' `fuse` only covers its own."""
    import torch
    from torch.nn.utils.fusion import fuse_conv_bn_eval

    for block in backbone.modules():
        children = list(getattr(block, "_modules", {}).items())
        for (name, conv), (next_name, norm) in pairwise(children):
            if isinstance(conv, torch.nn.Conv2d) and isinstance(norm, torch.nn.BatchNorm2d):
                setattr(block, name, fuse_conv_bn_eval(conv, norm))
                setattr(block, next_name, torch.nn.Identity())


def _load_checkpoint(path: Path) -> Any:
    """Load an Ultralytics `.pt` file."""
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
