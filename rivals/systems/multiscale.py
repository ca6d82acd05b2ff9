"""Multi-scale fusion: branches after three stages of a network, merged by a maximum (the report of two methods, 2.3).

The report begins "In this report, we compare the performance of two proposed methods". "We add new branches after
conv3_x, conv4_x, and conv5_x": in each a self-attention module, a 3×3 convolution, average pooling to C×1×1 and a fully
connected layer to 1000; then the maximum over the three vectors, and a fully connected layer to the 43 labels.

What the report leaves open: its reference for the self-attention is not in the text; that of Zhang et al.
("Self-Attention Generative Adversarial Networks", ICML 2019) stands for it, with an eighth of the channels for queries
and keys and a residual weight that starts at zero. The convolution keeps the number of channels; no normalization or
activation is named for it, and none is used. It names no batch size (16 here) and no augmentation (none here); the size
of the pictures is named for its other method (224). Its weights "converge at around 65 epochs".
"""

from typing import Any

import torch
from torch import nn

from rivals.recipes import FrameInput, NetworkSettings, Optimizer, Phase, Recipe
from rivals.small import SmallRecipe
from rivals.stages import StagedTrunk
from rivals.system import PAPER, SMALL, Build, System, systems_by_name
from rivals.weights import load_trunk

REPORT = 'the report that begins "In this report, we compare the performance of two proposed methods"'
BRANCHES = ("layer2", "layer3", "layer4")  # conv3_x, conv4_x and conv5_x
OPTIONS = {"width": 1000}
OPTIMIZER = Optimizer("sgd", learning_rate=1e-3, momentum=0.9, weight_decay=1e-4)
BATCH_SIZE, EPOCHS = 16, 65
QUERY_SHARE = 8


class SelfAttention(nn.Module):
    """Self-attention over the positions of a map.

    Args:
        channels: Of the map.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        inner = max(1, channels // QUERY_SHARE)
        self.query = nn.Conv2d(channels, inner, kernel_size=1)
        self.key = nn.Conv2d(channels, inner, kernel_size=1)
        self.value = nn.Conv2d(channels, channels, kernel_size=1)
        self.weight = nn.Parameter(torch.zeros(()))

    def attention(self, map_: torch.Tensor) -> torch.Tensor:
        """Return how much each position looks at each, shape (B, H * W, H * W); rows add up to 1."""
        query, key = (part(map_).flatten(2) for part in (self.query, self.key))
        return (query.transpose(1, 2) @ key).softmax(dim=-1)

    def forward(self, map_: torch.Tensor) -> torch.Tensor:
        """Return the map (B, C, H, W), with what the other positions contribute added."""
        found = self.value(map_).flatten(2) @ self.attention(map_).transpose(1, 2)
        return map_ + self.weight * found.unflatten(2, map_.shape[2:])


class Branch(nn.Sequential):
    """From the map after a stage (B, C, H, W) to a vector (B, width)."""

    def __init__(self, channels: int, width: int) -> None:
        super().__init__(
            SelfAttention(channels),
            nn.Conv2d(channels, channels, kernel_size=3, padding=1),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Linear(channels, width),
        )


class MultiScaleNetwork(nn.Module):
    """A trunk with a branch after each of three stages.

    Args:
        trunk: In stages; its feature vector is not used.
        width: Length of the branches' vectors.
        labels: Number of outputs.
    """

    def __init__(self, trunk: StagedTrunk, width: int, labels: int) -> None:
        super().__init__()
        self.trunk = trunk
        self.branches = nn.ModuleDict({stage: Branch(trunk.channels(stage), width) for stage in BRANCHES})
        self.classifier = nn.Linear(width, labels)

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        """Return logits, shape (B, labels)."""
        map_ = self.trunk.map_after(pictures, BRANCHES[0])
        vectors = [self.branches[BRANCHES[0]](map_)]
        for stage in BRANCHES[1:]:
            map_ = self.trunk.run(map_, (stage,))
            vectors.append(self.branches[stage](map_))
        logits: torch.Tensor = self.classifier(torch.stack(vectors).amax(dim=0))
        return logits


def _build(build: Build) -> nn.Module:
    options: Any = build.settings.options
    trunk = load_trunk(build.settings.backbone, build.weights)
    return MultiScaleNetwork(trunk, options["width"], build.outputs)


SYSTEMS = systems_by_name(
    System(
        name="multiscale",
        title="ResNet-152 with self-attention branches after three stages",
        report=f"{REPORT}, section 2.3",
        published_f1=0.515,
        build=_build,
        probabilities=torch.sigmoid,
        recipes={
            PAPER: Recipe(
                PAPER,
                NetworkSettings("resnet152", FrameInput(224), options=OPTIONS),
                "imagenet",
                (Phase(EPOCHS, BATCH_SIZE, "bce", OPTIMIZER),),
            ),
            SMALL: SmallRecipe("bce", options=OPTIONS).recipe(),
        },
    )
)
