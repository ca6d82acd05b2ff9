"""A dense stem in place of a backbone's first children.

MobileNetV2's first inverted bottlenecks widen images of half and a quarter of the resolution to 96 and 144 channels. On
a CPU they are bound by memory: a third of the time for a sixth of the multiplications. Dense convolutions of few
channels, as in the fused blocks of EfficientNetV2 (Tan and Le 2021), give the same features in half the time, once they
are taught to, see `actor_detector.training.stem_distillation`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torchvision.ops import Conv2dNormActivation


@dataclass(frozen=True)
class StemSettings:
    """A stem, as the key `stem` of a model YAML describes it.

    Attributes:
        children: Number of the backbone's first children that it replaces.
        first: Channels of its first convolution, 3 x 3 with stride 2.
        blocks: Hidden channels, channels and stride of each of the fused blocks that follow.
    """

    children: int
    first: int
    blocks: tuple[tuple[int, int, int], ...]

    @classmethod
    def from_dict(cls, stem: Mapping[str, Any]) -> "StemSettings":
        """Read the key of a model YAML that `actor_detector.architecture` has checked."""
        blocks = tuple((hidden, outputs, stride) for hidden, outputs, stride in stem["blocks"])
        return cls(stem["children"], stem["first"], blocks)


class FusedBlock(nn.Module):
    """A dense 3 x 3 convolution and a linear 1 x 1 convolution, with a residual connection where the shapes allow.

    Args:
        inputs: Channels of the input.
        hidden: Channels in between.
        outputs: Channels of the output.
        stride: Of the first convolution.
    """

    def __init__(self, inputs: int, hidden: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.wide = Conv2dNormActivation(inputs, hidden, 3, stride, activation_layer=nn.ReLU6)
        self.narrow = Conv2dNormActivation(hidden, outputs, 1, activation_layer=None)
        self.is_residual = stride == 1 and inputs == outputs

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Return features (B, outputs, H / stride, W / stride) of features (B, inputs, H, W)."""
        features: torch.Tensor = self.narrow(self.wide(images))
        return images + features if self.is_residual else features


def make_stem(first: int, blocks: Sequence[tuple[int, int, int]]) -> nn.Sequential:
    """Build a stem with random weights, see `StemSettings`."""
    layers: list[nn.Module] = [Conv2dNormActivation(3, first, 3, 2, activation_layer=nn.ReLU6)]
    channels = first
    for hidden, outputs, stride in blocks:
        layers.append(FusedBlock(channels, hidden, outputs, stride))
        channels = outputs
    return nn.Sequential(*layers)


def start_from_statistics(stem: nn.Sequential, mean: torch.Tensor, variance: torch.Tensor) -> None:
    """Set a stem's last normalizations so that its output has the mean and variance of what it is to learn.

    Args:
        stem: With random weights; residual blocks at its end add nothing at first.
        mean: Of each channel, shape (C,).
        variance: Likewise.
    """
    for block in reversed(stem):
        if not isinstance(block, FusedBlock):
            return
        normalization = block.narrow[1]
        if block.is_residual:
            nn.init.zeros_(normalization.weight)
            continue
        with torch.no_grad():
            normalization.weight.copy_(variance.sqrt())
            normalization.bias.copy_(mean)
        return


def replace_first_children(network: Any, settings: StemSettings) -> None:
    """Replace the first children of a network's backbone by a stem with random weights.

    The stem takes the place of the first one, and the others become identities, so that the indices of all children
    mean the same with a stem and without.

    Args:
        network: An Ultralytics model whose layer 0 is a `TorchVision` backbone that returns all children's outputs.
        settings: The stem.

    Raises:
        ValueError: If the backbone has too few children, or the stem's output has not the shape of theirs.
    """
    backbone = network.model[0].m
    if settings.children >= len(backbone):
        raise ValueError(f"stem: children: {settings.children} of {len(backbone)} cannot be replaced")
    stem = make_stem(settings.first, settings.blocks)
    image = torch.zeros(1, 3, 64, 64)
    with torch.no_grad():
        expected, found = backbone[: settings.children].eval()(image).shape[1:], stem.eval()(image).shape[1:]
    if expected != found:
        raise ValueError(f"stem: its output for 64 x 64 pixels has the shape {tuple(found)}, not {tuple(expected)}")
    backbone.train()
    backbone[0] = stem.train()
    for index in range(1, settings.children):
        backbone[index] = nn.Identity()
