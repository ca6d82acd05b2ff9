"""A convolutional network on each of six frames, and an LSTM over their features.

The report begins "In this report, we attempt to presents an approach to the Actor-Action Classification problem".

ResNet-152 makes a feature vector of 2048 of each frame, a linear layer makes 1024 of it, a 2-layer LSTM of 512 passes
over the six frames, and three linear layers "with Sigmoid as their activation functions" make 43 of its flattened
outputs (6 × 512 = 3072). The five frames before the labelled one are black where the clip has none.

What the report leaves open: it gives the LSTM an input of 2048, although the layer before it has 1024 outputs; 1024 is
taken, so that the layers fit. The widths between 3072 and 43 are not named ("each linear layer has a smaller size"):
1024 and 256. The previous frames "closest to the target" are the five right before it, and the weights of ResNet-152
are tuned with the rest, since nothing is said to be frozen. It names no initialization: orthogonal and Xavier for the
LSTM and He for the last layers are taken. No F1 is given.

The small recipe departs from the report where it would not learn within its budget: sigmoids between the last layers
keep the loss at the labels' base rates, so it has ReLUs, narrower layers, a batch normalization after the first linear
layer, and a trunk whose first stages are frozen.
"""

from dataclasses import replace
from itertools import pairwise
from typing import Any

import torch
from torch import nn

from rivals.recipes import FrameInput, NetworkSettings, Optimizer, Phase, Recipe
from rivals.small import CLIP_EPOCHS, SIZE, SmallRecipe
from rivals.stages import StagedTrunk
from rivals.system import PAPER, SMALL, Build, System, systems_by_name
from rivals.weights import load_trunk

INPUTS = FrameInput(224, frames=6, before=5, zero_padded=True)
OPTIONS = {
    "embedding": 1024,
    "lstm": 512,
    "lstm_layers": 2,
    "hidden": [1024, 256],
    "activation": "sigmoid",
    "normalized": False,
}
SMALL_WIDTHS = {"embedding": 512, "lstm": 256, "hidden": [512, 256]}
SMALL_OPTIONS = {**OPTIONS, **SMALL_WIDTHS, "activation": "relu", "normalized": True}
ACTIVATIONS = {"sigmoid": nn.Sigmoid, "relu": nn.ReLU}
SMALL_FROZEN = ("trunk.stem", "trunk.layer1", "trunk.layer2")
BATCH_SIZE, EPOCHS = 4, 3


class RecurrentNetwork(nn.Module):
    """A trunk on each frame of a clip, an LSTM over the frames, and linear layers on all of its outputs.

    Args:
        trunk: From pictures (B, 3, S, S) to feature vectors (B, D).
        frames: Number of frames of each clip.
        options: `embedding`, `lstm`, `lstm_layers` and `hidden`: widths of the layers; `activation` between the last
            ones; `normalized`: whether a batch normalization follows the first.
        labels: Number of outputs.
    """

    def __init__(self, trunk: StagedTrunk, frames: int, options: Any, labels: int) -> None:
        super().__init__()
        self.trunk = trunk
        self.embedding = nn.Linear(trunk.width, options["embedding"])
        self.norm = nn.BatchNorm1d(options["embedding"]) if options["normalized"] else nn.Identity()
        self.lstm = nn.LSTM(options["embedding"], options["lstm"], options["lstm_layers"], batch_first=True)
        widths = [frames * options["lstm"], *options["hidden"]]
        layers: list[nn.Module] = []
        for inputs, outputs in pairwise(widths):
            layers += [nn.Linear(inputs, outputs), ACTIVATIONS[options["activation"]]()]
        self.classifier = nn.Sequential(*layers, nn.Linear(widths[-1], labels))
        _initialize(self.lstm, self.classifier)

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        """Return logits, shape (B, labels), for clips (B, N, 3, S, S)."""
        embedded = self.norm(self.embedding(self.trunk(pictures.flatten(0, 1))))
        outputs, _ = self.lstm(embedded.unflatten(0, pictures.shape[:2]))
        logits: torch.Tensor = self.classifier(outputs.flatten(1))
        return logits


def _initialize(lstm: nn.LSTM, classifier: nn.Sequential) -> None:
    for name, parameter in lstm.named_parameters():
        if "weight_hh" in name:
            nn.init.orthogonal_(parameter)
        elif "weight_ih" in name:
            nn.init.xavier_uniform_(parameter)
    for layer in classifier:
        if isinstance(layer, nn.Linear):
            nn.init.kaiming_normal_(layer.weight)
            nn.init.zeros_(layer.bias)


def small_recipe() -> Recipe:
    """Return the small recipe, with the frames that the report takes."""
    recipe = SmallRecipe("bce", SMALL_FROZEN, options=SMALL_OPTIONS, epochs=CLIP_EPOCHS).recipe()
    return replace(recipe, settings=replace(recipe.settings, inputs=replace(INPUTS, size=SIZE)))


def _build(build: Build) -> nn.Module:
    settings = build.settings
    trunk = load_trunk(settings.backbone, build.weights)
    return RecurrentNetwork(trunk, settings.inputs.frames, settings.options, build.outputs)


SYSTEMS = systems_by_name(
    System(
        name="cnn_lstm",
        title="ResNet-152 on six frames, and an LSTM",
        report='the report that begins "In this report, we attempt to presents an approach", section 2',
        published_f1=None,
        build=_build,
        probabilities=torch.sigmoid,
        recipes={
            PAPER: Recipe(
                PAPER,
                NetworkSettings("resnet152", INPUTS, options=OPTIONS),
                "imagenet",
                (Phase(EPOCHS, BATCH_SIZE, "bce", Optimizer("adam", 1e-3)),),
            ),
            SMALL: small_recipe(),
        },
    )
)
