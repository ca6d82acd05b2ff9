"""Transfer learning with ResNet-152, the first layers frozen.

The report begins "Here we present a deep learning model, using transfer learning".

"Layers 1–6" are read as the network's children in order: convolution, normalization, ReLU, pooling, layer1 and layer2,
since figure 1 trains "layers 7–9", which then are layer3, layer4 and the pooling, before the last layer. The statistics
of frozen normalization layers stay fixed. No augmentation: the report names it as future work. Other optimizers
(section 4.4, with their default settings) are chosen by name, with `--training-optimizer`.
"""

import torch
from torch import nn

from rivals.recipes import FrameInput, NetworkSettings, Optimizer, Phase, Recipe
from rivals.small import SmallRecipe
from rivals.stages import StagedTrunk
from rivals.system import PAPER, SMALL, Build, System, systems_by_name
from rivals.weights import load_trunk

FROZEN = ("trunk.stem", "trunk.layer1", "trunk.layer2")


class TransferNetwork(nn.Module):
    """A trunk with a new last layer.

    Args:
        trunk: From pictures (B, 3, S, S) to feature vectors (B, D).
        labels: Number of outputs.
    """

    def __init__(self, trunk: StagedTrunk, labels: int) -> None:
        super().__init__()
        self.trunk = trunk
        self.classifier = nn.Linear(trunk.width, labels)

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        """Return logits, shape (B, labels)."""
        logits: torch.Tensor = self.classifier(self.trunk(pictures))
        return logits


def _build(build: Build) -> nn.Module:
    return TransferNetwork(load_trunk(build.settings.backbone, build.weights), build.outputs)


SYSTEMS = systems_by_name(
    System(
        name="transfer_resnet",
        title="ResNet-152, its first six layers frozen",
        report='the report that begins "Here we present a deep learning model, using transfer learning"',
        published_f1=0.505,
        build=_build,
        probabilities=torch.sigmoid,
        recipes={
            PAPER: Recipe(
                PAPER,
                NetworkSettings("resnet152", FrameInput(224)),
                "imagenet",
                (Phase(50, 32, "bce", Optimizer("adam", 1e-4, weight_decay=0.0), frozen=FROZEN),),
            ),
            SMALL: SmallRecipe("bce", FROZEN).recipe(),
        },
    )
)
