"""Convolutional networks made by hand and trained from scratch (the tri-layer report, section 3.1): all scores below 5.

The report begins "The goal of this project was to develop a novel neural network design".

`vanilla_cnn`: "a simple, vanilla four-layer CNN", of convolutions, activations and max poolings, "and finally the fully
connected layers for prediction", with a sigmoid. The text names Leaky ReLU among the layers, and says that ReLU was
chosen "instead of a normal Leaky ReLU": ReLU it is here.

`semi_fc_cnn`: "a fully connected layer in the middle of the network [...] as a consequence of each neuron in the
feature map being considered". Here it lies between three convolutions and two, and makes a map of 4x4 again.

What the report leaves open: its figures are not in the text, so that 3x3 convolutions, the numbers of channels, the
widths of the linear layers, and the Leaky ReLU of `semi_fc_cnn`, were chosen here, as was the input, standardized by
the mean and the deviation that pretrained networks expect, and He's initialization, without which the deeper one learns
nothing with some seeds. Loss and optimizer, of which it tried several, the epochs and the learning rates are those of
its final model (`rivals.systems.tri_layer`).
"""

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any

import torch
from torch import nn

from rivals.backbones import IMAGENET_MEAN, IMAGENET_STD
from rivals.recipes import FrameInput, NetworkSettings, Recipe
from rivals.small import SmallRecipe
from rivals.system import PAPER, SMALL, Build, System, systems_by_name
from rivals.systems.tri_layer import REPORT, two_rates

MIDDLE_SIDE = 4  # of the map that the middle layer of `semi_fc_cnn` makes
VANILLA = {"channels": [32, 64, 128, 256], "hidden": 256}
SMALL_VANILLA = {"channels": [16, 32, 64, 64], "hidden": 64}
SEMI_FC = {"channels": [16, 32, 64], "channels_after": [64, 128], "hidden": 256}
SMALL_SEMI_FC = {"channels": [8, 16, 16], "channels_after": [32, 64], "hidden": 64}


class Standardize(nn.Module):
    """Standardizes the channels of pictures, float RGB in [0, 1]."""

    def __init__(self) -> None:
        super().__init__()
        self.mean: torch.Tensor
        self.std: torch.Tensor
        self.register_buffer("mean", torch.tensor(IMAGENET_MEAN).view(3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(IMAGENET_STD).view(3, 1, 1), persistent=False)

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        """Return the standardized pictures."""
        return (pictures - self.mean) / self.std


def _blocks(channels: Sequence[int], activation: type[nn.Module]) -> nn.Sequential:
    """Return a convolution, an activation and a pooling, which halves the side, for each two adjacent numbers."""
    layers: list[nn.Module] = []
    for before, after in pairwise(channels):
        layers += [nn.Conv2d(before, after, kernel_size=3, padding=1), activation(), nn.MaxPool2d(2)]
    return nn.Sequential(*layers)


def _linear(before: int, after: int, activation: type[nn.Module]) -> nn.Sequential:
    return nn.Sequential(nn.Flatten(), nn.Linear(before, after), activation())


def vanilla_cnn(size: int, options: Any, labels: int) -> nn.Sequential:
    """Build the four-layer network.

    Args:
        size: Side of the pictures in pixels.
        options: `channels` of the convolutions, `hidden` width of the linear layers.
        labels: Number of outputs, which are logits.
    """
    channels, hidden = options["channels"], options["hidden"]
    width = channels[-1] * (size >> len(channels)) ** 2
    convolutions = _blocks([3, *channels], nn.ReLU)
    linear = _linear(width, hidden, nn.ReLU)
    return _initialize(nn.Sequential(Standardize(), convolutions, linear, nn.Linear(hidden, labels)))


def semi_fc_cnn(size: int, options: Any, labels: int) -> nn.Sequential:
    """Build the network with a fully connected layer in the middle.

    Args:
        size: Side of the pictures in pixels.
        options: `channels` before the layer, `channels_after` it, `hidden` width of the last linear layers.
        labels: Number of outputs, which are logits.
    """
    before, after, hidden = options["channels"], options["channels_after"], options["hidden"]
    width, middle = before[-1] * (size >> len(before)) ** 2, before[-1] * MIDDLE_SIDE**2
    width_after = after[-1] * (MIDDLE_SIDE >> len(after)) ** 2
    network = nn.Sequential(
        Standardize(),
        _blocks([3, *before], nn.LeakyReLU),
        _linear(width, middle, nn.LeakyReLU),
        nn.Unflatten(1, (before[-1], MIDDLE_SIDE, MIDDLE_SIDE)),
        _blocks([before[-1], *after], nn.LeakyReLU),
        _linear(width_after, hidden, nn.LeakyReLU),
        nn.Linear(hidden, labels),
    )
    return _initialize(network)


def _initialize(network: nn.Sequential) -> nn.Sequential:
    """Draw the weights as He et al. do, so that the signal keeps its size through the layers."""
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
    return network


def _build_vanilla(build: Build) -> nn.Module:
    return vanilla_cnn(build.settings.inputs.size, build.settings.options, build.outputs)


def _build_semi_fc(build: Build) -> nn.Module:
    return semi_fc_cnn(build.settings.inputs.size, build.settings.options, build.outputs)


def _recipes(options: dict[str, Any], small_options: dict[str, Any]) -> dict[str, Recipe]:
    paper = Recipe(PAPER, NetworkSettings("", FrameInput(224), options=options), "random", two_rates("bce"))
    small = SmallRecipe("bce", options=small_options).recipe()
    settings = replace(small.settings, backbone="")
    return {PAPER: paper, SMALL: replace(small, settings=settings, weights="random")}


SYSTEMS = systems_by_name(
    System(
        name="vanilla_cnn",
        title="four convolutions, trained from scratch",
        report=f"{REPORT}, section 3.1: all scores below 5",
        published_f1=None,
        build=_build_vanilla,
        probabilities=torch.sigmoid,
        recipes=_recipes(VANILLA, SMALL_VANILLA),
    ),
    System(
        name="semi_fc_cnn",
        title="convolutions around a fully connected layer, trained from scratch",
        report=f"{REPORT}, section 3.1: all scores below 5",
        published_f1=None,
        build=_build_semi_fc,
        probabilities=torch.sigmoid,
        recipes=_recipes(SEMI_FC, SMALL_SEMI_FC),
    ),
)
