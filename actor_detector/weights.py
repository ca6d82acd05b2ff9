"""Files of detectors that this project trained: safetensors, half precision, with a manifest in the header.

The network's shape is an Ultralytics model YAML beside the file, of the same name.
"""

import json
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from common.errors import DetectorError
from common.files import check_keys, sha256_file, write_atomically

if TYPE_CHECKING:
    from torch import Tensor

FORMAT = "actor-detector/1"
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
    """What a detector's file says about itself.

    Attributes:
        class_names: In the order of its outputs, named as the taxonomy's detector classes are.
        architecture: SHA-256 of the model YAML that it was trained with.
        image_size: Long side in pixels that it was made for.
        start: What it started from.
        teachers: Name and sha256 of each teacher.
        data: Summary: number of images, of those from clips, of boxes by class.
        training: Settings and phases.
        scores: Presence F1 on held-out images by class, and the confidence that they were reached at.
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
    """Where the model YAML of a detector's file lies."""
    return weights.with_suffix(".yaml")


def save_detector(path: Path, state: "dict[str, Tensor]", manifest: DetectorManifest) -> None:
    """Write a detector, atomically; fractions in half precision."""
    import safetensors.torch

    halves = {
        name: (tensor.half() if tensor.is_floating_point() else tensor).cpu().contiguous()
        for name, tensor in state.items()
    }
    # One entry only: safetensors writes several in no fixed order, and the same detector must give the same bytes.
    header = {"manifest": json.dumps({"format": FORMAT, **asdict(manifest)})}
    write_atomically(path, safetensors.torch.save(halves, metadata=header))


def load_detector(path: Path) -> "tuple[dict[str, Tensor], DetectorManifest]":
    """Read a detector's tensors, in single precision, and what it says about itself.

    Raises:
        DetectorError: If there is no such file, it is no detector of ours, or its model YAML is missing or another one.
    """
    import safetensors.torch
    from safetensors import SafetensorError, safe_open

    if not path.is_file():
        raise DetectorError(f"{path}: no such detector file")
    try:
        with safe_open(path, framework="numpy") as file:
            header = file.metadata() or {}
        state = safetensors.torch.load_file(path)
    except (SafetensorError, OSError) as reason:
        raise DetectorError(f"{path}: not a readable safetensors file ({reason})") from None
    manifest = _parse(header.get("manifest"), path)
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
        raise DetectorError(f"{path}: no detector of ours: there is no manifest in its header")
    try:
        content = dict(json.loads(text))
    except ValueError as reason:
        raise DetectorError(f"{path}: the manifest in its header cannot be read ({reason})") from None
    found = content.pop("format", None)
    if found != FORMAT:
        raise DetectorError(f"{path}: format {found!r} was found, {FORMAT!r} was expected")
    check_keys(content, f"{path}: manifest", DetectorError, [field.name for field in fields(DetectorManifest)])
    for name, kind in MANIFEST_TYPES.items():
        if not isinstance(content[name], kind):
            raise DetectorError(f"{path}: manifest: {name}: {kind.__name__} was expected, found {content[name]!r}")
    lists = {name: tuple(content[name]) for name, kind in MANIFEST_TYPES.items() if kind is list}
    return DetectorManifest(**{**content, **lists})
