"""The YOLO detector; the only module that imports Ultralytics.

As published, the detector is a COCO-trained YOLO at confidence 0.5 and image size 224, of which six classes are used
(A2D challenge report, section 3.1). Any Ultralytics detection model that has the taxonomy's detector classes works.
"""

import os
import shutil
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext, redirect_stdout
from copy import deepcopy
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from a2d.taxonomy import Taxonomy
from actor_detector.any_size import accept_any_size
from actor_detector.architecture import MAX_PARAMETERS, read_architecture
from actor_detector.detections import FrameBoxes, FrameDetections
from actor_detector.detector_settings import DetectorSettings
from actor_detector.letterbox import NETWORK_STRIDE, Letterbox
from actor_detector.network_checks import check_network, class_names_of, fold_batch_norm, is_layer
from actor_detector.weights import architecture_path, load_detector, read_detector_manifest
from common.errors import DetectorError
from common.files import sha256_file
from common.paths import ultralytics_folder
from common.torch_files import check_torch_file
from inference.engine_pool import EnginePool
from inference.interfaces import Network, PendingOutput, content_key
from inference.runtime import OPENVINO, Runtime

NETWORK_FORMAT = "yolo/1"  # raise it when the preparation of the network for inference changes
NMS_IOU = 0.7  # intersection over union from which a box suppresses another, Ultralytics' default
PUBLISHED_SETTINGS = DetectorSettings()


class YoloActorDetector:
    """Detects the taxonomy's actors in batches of frames.

    Args:
        path: The weights: an Ultralytics `.pt` file, loaded without running code from it (a file that contains anything
            but Ultralytics' and torch's own layers is refused), or a `.safetensors` file of this project.
        taxonomy: Its detector classes are matched with the model's by name.
        settings: Image size and confidence.
        runtime: Runs the network; PyTorch on the CPU by default.
        batch_size: Frames per forward pass.
        trust_weights: Whether to unpickle a `.pt` file even if that may run code.

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
        trust_weights: bool = False,
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
        self.trust_weights = trust_weights
        self.runtime = runtime or Runtime()
        self.sha256 = sha256_file(path)
        file = _ModelFile(path, trust_weights, self.sha256)
        key = content_key(NETWORK_FORMAT, self.sha256)
        self.network = Network(key, file.build, supports_int8=True, takes_any_size=True)
        facts = self._known_facts() or self.runtime.facts(key, file.facts)
        self._needs_suppression = bool(facts["needs_suppression"])
        names = {int(number): name for number, name in facts["names"].items()}
        self._actor_by_class = np.full(max(names) + 1, -1, np.int64)
        for number, actor in taxonomy.match_detector_classes(names).items():
            self._actor_by_class[number] = actor
        self._engines = EnginePool(partial(self.runtime.engine, self.network))

    def _known_facts(self) -> dict[str, Any] | None:
        """Return what `_ModelFile.facts` does, where that is known without loading the model into this process."""
        if self.path.suffix != ".safetensors" or self.runtime.backend != OPENVINO:
            return None
        return {"names": dict(enumerate(read_detector_manifest(self.path).class_names)), "needs_suppression": False}

    def letterbox(self, frame_size: tuple[int, int]) -> Letterbox:
        """Return how frames of a width and height in pixels are fitted into inputs."""
        return Letterbox.fit(frame_size, self.settings.image_size)

    def submit(self, inputs: NDArray[np.uint8], letterbox: Letterbox) -> PendingOutput:
        """Start a batch of inputs (B, H, W, 3), uint8, BGR, whose output `postprocess` converts to boxes."""
        return self._engines.submit(inputs, letterbox.batch_size(self.batch_size))

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


@dataclass(frozen=True)
class _ModelFile:
    """The file of a detection model, which is loaded when it is needed.

    Attributes:
        path: The file.
        trust_weights: Whether to unpickle a `.pt` file even if that may run code.
        sha256: That the file must have.
    """

    path: Path
    trust_weights: bool
    sha256: str

    @cached_property
    def _loaded(self) -> "_LoadedModel":
        loaded = _load_model(self.path, self.trust_weights)
        if sha256_file(self.path) != self.sha256:
            raise DetectorError(f"{self.path}: the file was changed while it was being read")
        return loaded

    def facts(self) -> dict[str, Any]:
        """Return what is needed of the model besides its network."""
        return {"names": dict(self._loaded.names), "needs_suppression": not self._loaded.model.end2end}

    def build(self) -> Any:
        """Return the network with its preprocessing, a torch module."""
        from inference.torch_engine import Preprocessed

        network = self._loaded.model.eval().fuse(verbose=False)
        accept_any_size(network)
        return Preprocessed(network)


def _suppress(output: NDArray[np.float32], confidence: float) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Apply non-maximum suppression; return the remaining boxes (N, 6) and the frame of each (N,)."""
    import torch

    _import_ultralytics()
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
    content = read_architecture(architecture)
    stem = content.pop("stem", None)
    _import_ultralytics()
    from ultralytics.cfg import get_cfg
    from ultralytics.nn.tasks import DetectionModel, guess_model_scale

    from actor_detector.dense_stem import StemSettings, replace_first_children

    content |= {"scale": guess_model_scale(architecture), "yaml_file": str(architecture)}
    try:
        _check_layers(content, len(class_names))
        network = DetectionModel(content, nc=len(class_names), verbose=False)
        if stem:
            replace_first_children(network, StemSettings.from_dict(stem))
    except Exception as reason:  # Ultralytics raises whatever evaluating the YAML raises
        raise DetectorError(f"{architecture}: not an Ultralytics detection model ({_first_line(reason)})") from None
    network.names = dict(enumerate(class_names))
    network.end2end = True  # inference uses the one-to-one head, which needs no non-maximum suppression
    network.args = get_cfg()
    network.args.epochs = epochs
    network.criterion = network.init_criterion()
    return network


def _check_layers(content: dict[str, Any], class_count: int) -> None:
    """Check that a model consists of layers only, and count its parameters before they are allocated."""
    import torch
    from ultralytics.nn import modules
    from ultralytics.nn.tasks import parse_model

    for _, _, name, _ in [*content["backbone"], *content["head"]]:
        if not name.startswith(("nn.", "torchvision.ops.")) and not hasattr(modules, name):
            raise DetectorError(f"'{name}' is no layer")
    with torch.device("meta"):
        network, _ = parse_model({**deepcopy(content), "nc": class_count}, ch=3, verbose=False)
    count = sum(parameter.numel() for parameter in network.parameters())
    if count > MAX_PARAMETERS:
        raise DetectorError(f"it has {count} parameters, at most {MAX_PARAMETERS} are allowed")


def _import_ultralytics() -> None:
    """Import Ultralytics without network access, installations, output on stdout, or changes to torch's threads."""
    # These are only read during the import; by default, the last one would become 1 for the whole process.
    os.environ["YOLO_OFFLINE"] = "true"
    os.environ["ULTRALYTICS_SAFE_LOAD"] = "true"  # neither unpickle nor evaluate anything but layers
    os.environ.setdefault("YOLO_AUTOINSTALL", "false")
    os.environ.setdefault("YOLO_VERBOSE", "false")
    os.environ.setdefault("YOLO_CONFIG_DIR", str(ultralytics_folder()))
    os.environ.setdefault("OMP_NUM_THREADS", str(os.cpu_count() or 1))
    with redirect_stdout(sys.stderr):  # it logs to the stdout of its import, which is reserved for results
        from ultralytics.nn import tasks
    if not _loads_safely(tasks):  # it was imported by somebody else before
        tasks.SAFE_LOAD = True
    if not _loads_safely(tasks):
        raise DetectorError("this version of PyTorch cannot load models without running code from them; install 2.6")


def _loads_safely(tasks: Any) -> bool:
    return bool(tasks._SafeLoad.restricted())


@dataclass(frozen=True)
class _LoadedModel:
    """A network and what its outputs mean.

    Attributes:
        model: An Ultralytics detection model, in evaluation mode.
        names: Class names by output.
    """

    model: Any
    names: Mapping[int, str]


def _load_model(path: Path, trust: bool = False) -> _LoadedModel:
    """Load a detection model without network access and, unless the file is trusted, without running code from it."""
    if path.suffix == ".safetensors":
        return _load_safetensors(path)
    if path.suffix == ".pt":
        return _load_checkpoint(path, trust)
    raise DetectorError(f"{path}: an Ultralytics .pt file or a .safetensors file of this project was expected")


def _load_safetensors(path: Path) -> _LoadedModel:
    """Load a detector that this project trained."""
    state, manifest = load_detector(path)
    network = build_network(architecture_path(path), manifest.class_names)
    try:
        network.load_state_dict(state)
    except RuntimeError as reason:
        raise DetectorError(f"{path}: does not fit its model YAML ({_first_line(reason)})") from None
    network.eval()
    fold_batch_norm(network.model[0])
    return _LoadedModel(network, network.names)


def _load_checkpoint(path: Path, trust: bool) -> _LoadedModel:
    """Load an Ultralytics `.pt` file.

    Args:
        path: The file. A copy is loaded, since Ultralytics replaces some names by others or by downloads.
        trust: Whether to unpickle it even if that may run code.
    """
    _import_ultralytics()
    from ultralytics.nn import tasks

    def not_loaded(reason: str) -> DetectorError:
        remedy = "" if trust else "; if you trust its source with your account, repeat with --trust-weights"
        return DetectorError(f"{path}: not a YOLO model that can be loaded ({reason}){remedy}")

    with tempfile.TemporaryDirectory() as folder:
        copy = Path(shutil.copyfile(path, Path(folder) / "detector.pt"))
        if not trust:
            check_torch_file(copy, not_loaded, is_layer)
        try:
            with _unrestricted(tasks) if trust else nullcontext():
                network, _ = tasks.load_checkpoint(str(copy))
            check_network(network)
        except Exception as reason:  # Ultralytics raises whatever torch, zipfile and pickle raise
            raise not_loaded(_first_line(reason)) from None
    if network.task != "detect":
        raise DetectorError(f"{path}: a detection model was expected, this one is for the task '{network.task}'")
    return _LoadedModel(network, class_names_of(network, path))


@contextmanager
def _unrestricted(tasks: Any) -> Iterator[None]:
    tasks.SAFE_LOAD = False
    try:
        yield
    finally:
        tasks.SAFE_LOAD = True


def _first_line(reason: Exception) -> str:
    lines = str(reason).removeprefix("ERROR ❌️ ").strip().splitlines()
    return lines[0] if lines else type(reason).__name__
