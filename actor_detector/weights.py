"""Files of detectors that this project trained: safetensors, half precision, with a manifest in the header.

The architecture is an Ultralytics model YAML of the same name beside the file.
"""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from common.errors import DetectorError
from common.files import check_fields, sha256_file, shorten, write_atomically
from common.safetensors_files import parse_json, read_safetensors_header

if TYPE_CHECKING:
    from torch import Tensor

FORMAT = "actor-detector/1"
MAX_CLASSES = 1000
MANIFEST_TYPES = {
    "class_names": list,
    "architecture": str,
    "image_size": int,
    "start": str,
    "teachers": list,
    "data": dict,
    "training": dict,
    "scores": dict,
}


@dataclass(frozen=True)
class DetectorManifest:
    """The metadata in a detector's file.

    Attributes:
        class_names: In the order of the outputs; they match the taxonomy's detector classes.
        architecture: SHA-256 of the model YAML with which the detector was trained.
        image_size: Long side in pixels for which the detector was trained.
        start: The initial weights.
        teachers: Name and SHA-256 of each teacher.
        data: Number of training images, how many of them are frames of clips, number of boxes by class, and sha256 of
            the lists of known boxes by actor.
        training: Settings and phases.
        scores: Presence F1 by class on the held-out images, and the confidence threshold at which it was measured.
    """

    class_names: tuple[str, ...]
    architecture: str
    image_size: int
    start: str
    teachers: tuple[dict[str, str], ...]
    data: dict[str, Any]
    training: dict[str, Any]
    scores: dict[str, Any]


def architecture_path(weights: Path) -> Path:
    """Return the path of the model YAML that belongs to a detector's file."""
    return weights.with_suffix(".yaml")


def save_detector(path: Path, state: "dict[str, Tensor]", manifest: DetectorManifest) -> None:
    """Write a detector atomically, with floating-point tensors in half precision."""
    import safetensors.torch

    tensors = {
        name: (tensor.half() if tensor.is_floating_point() else tensor).cpu().contiguous()
        for name, tensor in state.items()
    }
    # A single entry, since safetensors writes several in no fixed order, and equal detectors must give equal bytes.
    header = {"manifest": json.dumps({"format": FORMAT, **asdict(manifest)})}
    write_atomically(path, safetensors.torch.save(tensors, metadata=header))


def read_detector_manifest(path: Path) -> DetectorManifest:
    """Read a detector's manifest alone.

    Raises:
        DetectorError: If there is no such file, or it was not written by this project.
    """
    if not path.is_file():
        raise DetectorError(f"{path}: no such detector file")
    header = read_safetensors_header(
        path, lambda reason: DetectorError(f"{path}: not a readable safetensors file ({reason})")
    )
    return _parse(header.metadata.get("manifest"), path)


def load_detector(path: Path) -> "tuple[dict[str, Tensor], DetectorManifest]":
    """Load a detector's tensors, in single precision, and its manifest.

    Raises:
        DetectorError: If there is no such file, it was not written by this project, or its model YAML is missing or
            not the one with which it was trained.
    """
    import safetensors.torch
    from safetensors import SafetensorError

    manifest = read_detector_manifest(path)
    try:
        state = safetensors.torch.load_file(path)
    except (SafetensorError, OSError) as reason:
        raise DetectorError(f"{path}: not a readable safetensors file ({reason})") from None
    for name, tensor in state.items():
        if tensor.is_floating_point() and not tensor.isfinite().all():
            raise DetectorError(f"{path}: '{name}' contains values that are not finite")
    architecture = architecture_path(path)
    if not architecture.is_file():
        raise DetectorError(f"{path}: its model YAML is missing: {architecture}")
    found = sha256_file(architecture)
    if found != manifest.architecture:
        raise DetectorError(
            f"{path}: was trained with another model YAML ({manifest.architecture[:8]}…) than "
            f"{architecture} ({found[:8]}…)"
        )
    return {name: tensor.float() if tensor.is_floating_point() else tensor for name, tensor in state.items()}, manifest


def _parse(text: str | None, path: Path) -> DetectorManifest:
    if text is None:
        raise DetectorError(f"{path}: not a detector of this project: its header has no manifest")
    try:
        content = dict(parse_json(text))
    except (ValueError, TypeError) as reason:
        raise DetectorError(f"{path}: the manifest in its header cannot be read ({reason})") from None
    found = content.pop("format", None)
    if found != FORMAT:
        raise DetectorError(f"{path}: format {FORMAT!r} was expected, found {shorten(found)}")
    content = check_fields(content, f"{path}: manifest", DetectorError, MANIFEST_TYPES)
    names = content["class_names"]
    if not 0 < len(names) <= MAX_CLASSES or not all(isinstance(name, str) for name in names):
        raise DetectorError(
            f"{path}: manifest: class_names: 1 to {MAX_CLASSES} names were expected, found {shorten(names)}"
        )
    lists = {name: tuple(content[name]) for name, kind in MANIFEST_TYPES.items() if kind is list}
    return DetectorManifest(**{**content, **lists})
