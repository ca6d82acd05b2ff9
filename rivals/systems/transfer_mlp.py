"""Transfer learning with ResNet-152 and several fully connected layers.

The report begins "We propose a method for the classification of A2D data-set using transfer learning".

"The input images were 2D batch normalized before feeding into the Resnet-152 network", which therefore does not
standardize them again. Its last layer "was chopped off and a new feed forward linear layer was introduced", which makes
1,000 features; "a series of fully connected layers with decreasing number of nodes" makes 256 of them, which are "batch
normalized along a single dimension and passed on to the final fully connected layer". The series is 1,000 to 512 to 256
here, with ReLU; the report names neither. "Frozen up to layer5", the "initial five frozen layers", are read as the
network's children in order, as for `transfer_resnet`: convolution, normalization, ReLU, pooling and layer1. SGD has no
momentum. Published F1: 55.2 on the validation frames, 49.6 on the test frames.

Its alternatives are recipes. For `paper_vgg16` and `paper_alexnet`, the first five layers are those of their features:
the two convolutions before VGG-16's first pooling, and AlexNet's first two. `paper_autoencoder` has one "post
pre-trained network, before mapping the output to labels", of which the report says no more: here, the series is its
encoder, a mirrored series reconstructs the 1,000 features, and the mean squared error is added to the loss.
`paper_four_layer_cnn` is "a simple deep convolutional neural network with four layers, followed by two FCN layers",
trained from scratch: 3×3 convolutions of 32, 64, 128 and 256 channels here, each with ReLU and pooling.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from rivals.losses import bce
from rivals.recipes import FrameInput, NetworkSettings, Optimizer, Phase, Recipe
from rivals.small import SmallRecipe
from rivals.stages import STAGES, StagedTrunk
from rivals.system import PAPER, Build, System, systems_by_name
from rivals.weights import load_trunk

OPTIONS = {"widths": [1000, 512, 256], "autoencoder": False}
WITH_AUTOENCODER = {**OPTIONS, "autoencoder": True}
CHANNELS = {"channels": [32, 64, 128, 256], "hidden": 256}
FROZEN = ("trunk.stem", "trunk.layer1")
OPTIMIZER = Optimizer("sgd", 0.05)


def fully_connected(widths: Sequence[int]) -> nn.Sequential:
    """Return fully connected layers from each width to the next, with ReLU between them."""
    layers: list[nn.Module] = []
    for before, after in pairwise(widths):
        layers += [nn.ReLU(), nn.Linear(before, after)]
    return nn.Sequential(*layers[1:])


class TransferPerceptron(nn.Module):
    """A trunk behind a normalization of the pictures, a new layer, and a series of fully connected layers.

    Args:
        trunk: From pictures (B, 3, S, S) to feature vectors (B, D).
        widths: Outputs of the new layer and of each of the series.
        labels: Number of outputs of the last layer.
        autoencoder: Whether the new layer's outputs are to be reconstructed from those of the series.
    """

    def __init__(self, trunk: StagedTrunk, widths: Sequence[int], labels: int, autoencoder: bool) -> None:
        super().__init__()
        self.input_norm = nn.BatchNorm2d(3)
        self.trunk = trunk
        self.features = nn.Linear(trunk.width, widths[0])
        self.series = fully_connected(widths)
        self.decoder = fully_connected(widths[::-1]) if autoencoder else None
        self.classifier = nn.Sequential(nn.ReLU(), nn.BatchNorm1d(widths[-1]), nn.Linear(widths[-1], labels))

    def forward(self, pictures: torch.Tensor) -> torch.Tensor | tuple[torch.Tensor, torch.Tensor]:
        """Return logits, shape (B, labels), and with an auto-encoder also its squared errors, shape (B,)."""
        map_ = self.trunk.run(self.input_norm(pictures), STAGES)
        features = functional.relu(self.features(self.trunk.features_from(map_, STAGES[-1])))
        code = self.series(features)
        logits: torch.Tensor = self.classifier(code)
        if self.decoder is None:
            return logits
        return logits, (self.decoder(code) - features.detach()).square().mean(dim=1)


class FourLayerNetwork(nn.Module):
    """Convolutions, each with ReLU and pooling, and two fully connected layers.

    Args:
        channels: Of each convolution.
        hidden: Width of the first fully connected layer.
        labels: Number of outputs of the second.
    """

    def __init__(self, channels: Sequence[int], hidden: int, labels: int) -> None:
        super().__init__()
        layers: list[nn.Module] = [nn.BatchNorm2d(3)]
        for before, after in pairwise([3, *channels]):
            layers += [nn.Conv2d(before, after, kernel_size=3, padding=1), nn.ReLU(), nn.MaxPool2d(2)]
        self.convolutions = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten())
        self.classifier = fully_connected([channels[-1], hidden, labels])

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        """Return logits, shape (B, labels)."""
        logits: torch.Tensor = self.classifier(self.convolutions(pictures))
        return logits


def autoencoder_loss(outputs: tuple[torch.Tensor, torch.Tensor], targets: torch.Tensor) -> torch.Tensor:
    """Compute the binary cross-entropy with logits, plus the mean squared error of the auto-encoder."""
    logits, errors = outputs
    return bce(logits, targets) + errors.mean()


def _probabilities(output: Any) -> torch.Tensor:
    logits: torch.Tensor = output if isinstance(output, torch.Tensor) else output[0]
    return logits.sigmoid()


def _build(build: Build) -> nn.Module:
    options: Any = build.settings.options
    if not build.settings.backbone:
        return FourLayerNetwork(options["channels"], options["hidden"], build.outputs)
    trunk = load_trunk(build.settings.backbone, build.weights)
    return TransferPerceptron(trunk, options["widths"], build.outputs, options["autoencoder"])


def _paper_recipe(name: str, backbone: str, frozen: tuple[str, ...] = FROZEN) -> Recipe:
    settings = NetworkSettings(backbone, FrameInput(224), options=OPTIONS)
    return Recipe(name, settings, "imagenet", (Phase(50, 16, "bce", OPTIMIZER, frozen=frozen),))


def _autoencoder_recipe(name: str) -> Recipe:
    settings = NetworkSettings("resnet152", FrameInput(224), options=WITH_AUTOENCODER)
    return Recipe(name, settings, "imagenet", (Phase(50, 16, "autoencoder_bce", OPTIMIZER, frozen=FROZEN),))


def _cnn_recipe(name: str) -> Recipe:
    settings = NetworkSettings("", FrameInput(224), options=CHANNELS)
    return Recipe(name, settings, "random", (Phase(50, 16, "bce", OPTIMIZER),))


RECIPES = (
    SmallRecipe("bce", FROZEN, options=OPTIONS).recipe(),
    _paper_recipe(PAPER, "resnet152"),
    _paper_recipe(f"{PAPER}_vgg16", "vgg16", ("trunk.stem",)),
    _paper_recipe(f"{PAPER}_resnet50", "resnet50"),
    _paper_recipe(f"{PAPER}_resnet34", "resnet34"),
    _paper_recipe(f"{PAPER}_alexnet", "alexnet", ("trunk.layer2", "trunk.layer3")),
    _autoencoder_recipe(f"{PAPER}_autoencoder"),
    _cnn_recipe(f"{PAPER}_four_layer_cnn"),
)
SYSTEMS = systems_by_name(
    System(
        name="transfer_mlp",
        title="ResNet-152, its first five layers frozen, and a series of fully connected layers",
        report='the report that begins "We propose a method for the classification of A2D data-set"',
        published_f1=0.552,
        build=_build,
        probabilities=_probabilities,
        recipes={recipe.name: recipe for recipe in RECIPES},
        losses={"autoencoder_bce": autoencoder_loss},
    )
)
