"""ResNet-152 with positive weights from each mini-batch.

The report begins "In this report, I describes technical details of my attempt".

The last two modules, layer4 and the pooling, are tuned, with a new classifier. The classifier's figure is not in the
text: one hidden layer of 512 with ReLU and dropout of one half stands for it. "Reduce learning rate by a factor of 4
when running loss stops improving for at least 5 epochs" is PyTorch's ReduceLROnPlateau with a factor of 1/4 and a
patience of 5. Padding and cropping are magnifications from 0.8 to 1.25; the rotation is up to 10 degrees. A label
without a positive sample in a mini-batch has the weight 1.
"""

from typing import Any

import torch
from torch import nn

from rivals.recipes import Augmentation, FrameInput, NetworkSettings, Optimizer, Phase, Recipe, Schedule
from rivals.small import SmallRecipe
from rivals.stages import StagedTrunk
from rivals.system import PAPER, SMALL, Build, System, systems_by_name
from rivals.weights import load_trunk

FROZEN = ("trunk.stem", "trunk.layer1", "trunk.layer2", "trunk.layer3")
OPTIONS = {"hidden": 512, "dropout": 0.5}
AUGMENTATION = Augmentation(rotation_degrees=10, flip=0.5, scale=(0.8, 1.25))


class TunedNetwork(nn.Module):
    """A trunk with a classifier of two layers.

    Args:
        trunk: From pictures (B, 3, S, S) to feature vectors (B, D).
        hidden: Width of the first layer.
        dropout: Probability of dropping one of its outputs in training.
        labels: Number of outputs.
        activation: Of the first layer.
    """

    def __init__(
        self, trunk: StagedTrunk, hidden: int, dropout: float, labels: int, activation: type[nn.Module] = nn.ReLU
    ) -> None:
        super().__init__()
        self.trunk = trunk
        self.classifier = nn.Sequential(
            nn.Linear(trunk.width, hidden), activation(), nn.Dropout(dropout), nn.Linear(hidden, labels)
        )

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        """Return logits, shape (B, labels)."""
        logits: torch.Tensor = self.classifier(self.trunk(pictures))
        return logits


def _build(build: Build) -> nn.Module:
    options: Any = build.settings.options
    trunk = load_trunk(build.settings.backbone, build.weights)
    return TunedNetwork(trunk, options["hidden"], options["dropout"], build.outputs)


SYSTEMS = systems_by_name(
    System(
        name="pos_weight",
        title="ResNet-152, layer4 and a new classifier tuned, positive weights per mini-batch",
        report='the report that begins "In this report, I describes technical details of my attempt"',
        published_f1=0.346,
        build=_build,
        probabilities=torch.sigmoid,
        recipes={
            PAPER: Recipe(
                PAPER,
                NetworkSettings("resnet152", FrameInput(224), options=OPTIONS),
                "imagenet",
                (
                    Phase(
                        50,
                        4,
                        "balanced_bce",
                        Optimizer("adam", 5e-4, weight_decay=0.0),
                        Schedule("plateau", factor=0.25, epochs=5),
                        FROZEN,
                    ),
                ),
                AUGMENTATION,
            ),
            SMALL: SmallRecipe("balanced_bce", FROZEN, options=OPTIONS).recipe(),
        },
    )
)
