"""Every default of a run, in one place."""

import re
from dataclasses import dataclass
from pathlib import Path

from a2d.errors import DetectorError, UserError
from a2d.labels import A2D_TAXONOMY_FILE
from a2d.places import PROJECT, kit_folder, weights_folder
from action_heads.readout import LABEL_THRESHOLD
from actor_detector.yolo import PUBLISHED_CONFIDENCE, PUBLISHED_IMAGE_SIZE

KNOWN_DETECTORS = ("yolo26n", "yolo11n", "yolov8n")


@dataclass(frozen=True)
class TaggerConfig:
    """What a run uses.

    Attributes:
        detector: A `.pt` file, or a known name that is looked for in the weights folder and then in the kit.
        heads: Folder with one `<actor>.safetensors` an actor.
        thresholds: The gates' file.
        taxonomy: The taxonomy's file.
        image_size: Long side in pixels of what the detector sees; published: 224.
        confidence: From which confidence a box counts, in [0, 1]; published: 0.5.
        device: `auto`, `cpu`, `cuda` or `cuda:N`.
        batch_size: Frames in one forward pass of the detector.
        frames_per_actor: Frames of a clip that a present actor's head looks at.
        label_threshold: From which probability an action is said, in [0, 1].
        cache: Folder of kept detections; None keeps none.
        force: Use gates that were made for another detector or other settings.
    """

    detector: str = "yolo26n"
    heads: Path = PROJECT / "models" / "heads"
    thresholds: Path = PROJECT / "thresholds" / "yolo26n.yaml"
    taxonomy: Path = A2D_TAXONOMY_FILE
    image_size: int = PUBLISHED_IMAGE_SIZE
    confidence: float = PUBLISHED_CONFIDENCE
    device: str = "auto"
    batch_size: int = 32
    frames_per_actor: int = 8
    label_threshold: float = LABEL_THRESHOLD
    cache: Path | None = None
    force: bool = False


def find_detector(spec: str) -> Path:
    """Find the detector's weights.

    Args:
        spec: A file, or one of `KNOWN_DETECTORS`.

    Returns:
        The file.

    Raises:
        DetectorError: If there is none, naming the places that were looked into. Nothing is downloaded.
    """
    if spec not in KNOWN_DETECTORS:
        if not Path(spec).is_file():
            raise DetectorError(f"detector {spec!r}: no such file (known names: {', '.join(KNOWN_DETECTORS)})")
        return Path(spec)
    places = [weights_folder() / f"{spec}.pt", kit_folder() / "weights" / f"{spec}.pt"]
    for place in places:
        if place.is_file():
            return place
    raise DetectorError(
        f"detector {spec!r}: not found as {' or '.join(map(str, places))}; copy Ultralytics' {spec}.pt there, "
        "or name a file with --detector FILE"
    )


def find_device(name: str) -> str:
    """Turn a device's name into one that torch knows and this machine has.

    Args:
        name: `auto` (CUDA where there is one, else the CPU), `cpu`, `cuda` or `cuda:N`.

    Returns:
        `cpu` or `cuda:N`.

    Raises:
        UserError: If there is no such device.
    """
    if not re.fullmatch(r"auto|cpu|cuda(:[0-9]+)?", name):
        raise UserError(f"device {name!r} was given, allowed: auto, cpu, cuda, cuda:N")
    kind, _, number = name.partition(":")
    if kind == "cpu":
        return "cpu"
    import torch

    devices = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if kind == "auto":
        return "cuda:0" if devices else "cpu"
    if int(number or 0) >= devices:
        raise UserError(f"device {name!r} was given, this machine has {devices} CUDA devices")
    return f"cuda:{number or 0}"
