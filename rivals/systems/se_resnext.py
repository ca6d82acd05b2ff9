"""SE-ResNeXt-101 with Mish, dropout and much augmentation, trained in two stages.

The report is "A Baseline Comparison for Action Understanding with Multiple Classes of Actors".

In each squeeze-and-excitation block, "after convolution, we first apply global maxpooling to squeeze the 2-d channel
into a number", where the published networks take the mean: the blocks take the maximum here, with the published
weights. "Finally add a dense layer as a classifier after the Feature extractor. This layer use Mish as the activation
function, and it is followed by a Dropout layer" is read as a hidden layer, here of 512, with Mish and dropout of one
half, and a last layer of 43, since Mish and dropout would spoil the logits. The loss's weights w_n are 1.

The training has 200 epochs in two stages: a cosine from 0.05, then "a circle scheduler start with a very small learning
rate" (section 2.3; section 3 names MultiStepLR instead). "Step = 10" is read as the epochs of half a cycle. Left open
are the division (140 and 60 epochs here, the latter three whole cycles, in which the rate rises from 0.00001 to 0.001),
SGD's momentum (0.9 here) and weight decay (none here). The mixed precision is bfloat16 instead of FP16. Of the
augmentation, only the squares have numbers: "randomly generate less than five 8 × 8 black squares". The rotation is up
to 10 degrees, "crop, pad" a magnification from 0.8 to 1.25, and the changes of the colours are as large as the report's
library, albumentations, makes them by default, as is the probability of a blur. The size is 224 pixels for every
network.

Its alternatives are recipes: `paper_resnet34`, `paper_pnasnet5` and `paper_efficientnet_b7`.
"""

from dataclasses import replace
from typing import Any

import torch
from torch import nn

from networks.timm_networks import squeeze_blocks
from rivals.recipes import Augmentation, FrameInput, NetworkSettings, Optimizer, Phase, Recipe, Schedule
from rivals.small import SmallRecipe
from rivals.stages import StagedTrunk
from rivals.system import PAPER, SMALL, Build, System, systems_by_name
from rivals.systems.pos_weight import TunedNetwork
from rivals.weights import load_trunk

BACKBONES = {
    PAPER: "timm:seresnext101_32x4d",
    f"{PAPER}_resnet34": "resnet34",
    f"{PAPER}_pnasnet5": "timm:pnasnet5large",
    f"{PAPER}_efficientnet_b7": "timm:tf_efficientnet_b7.aa_in1k",
}
"""By recipe; of EfficientNet-B7's weights, those that were trained on ImageNet alone."""
OPTIONS = {"hidden": 512, "dropout": 0.5}
AUGMENTATION = Augmentation(
    rotation_degrees=10,
    flip=0.5,
    scale=(0.8, 1.25),
    blurs=("gaussian", "median", "motion"),
    blur=0.5,
    gamma=0.2,
    brightness=0.2,
    contrast=0.2,
    saturation=0.12,
    hue=0.11,
    squares=4,
    square_pixels=8,
)
STAGES = (
    Phase(140, 64, "bce", Optimizer("sgd", 0.05, momentum=0.9), Schedule("cosine"), amp=True),
    Phase(60, 64, "bce", Optimizer("sgd", 1e-3, momentum=0.9), Schedule("cyclic", epochs=10, lowest=1e-5), amp=True),
)


class MaxSqueeze(nn.Module):
    """A squeeze-and-excitation block that squeezes by the maximum; its tensors have the names of timm's.

    Args:
        block: One of timm's, whose layers are used.
    """

    def __init__(self, block: Any) -> None:
        super().__init__()
        self.fc1, self.bn, self.act, self.fc2, self.gate = block.fc1, block.bn, block.act, block.fc2, block.gate

    def forward(self, map_: torch.Tensor) -> torch.Tensor:
        """Weight the channels of a map (B, C, H, W)."""
        squeezed = map_.amax(dim=(2, 3), keepdim=True)
        weights: torch.Tensor = self.gate(self.fc2(self.act(self.bn(self.fc1(squeezed)))))
        return map_ * weights


def squeeze_by_maximum(trunk: StagedTrunk) -> None:
    """Let the squeeze-and-excitation blocks of a trunk take the maximum of each channel, where it has such blocks."""
    for name, block in squeeze_blocks(trunk).items():
        trunk.set_submodule(name, MaxSqueeze(block))


def _build(build: Build) -> nn.Module:
    options: Any = build.settings.options
    trunk = load_trunk(build.settings.backbone, build.weights)
    squeeze_by_maximum(trunk)
    return TunedNetwork(trunk, options["hidden"], options["dropout"], build.outputs, nn.Mish)


def _paper_recipe(name: str) -> Recipe:
    settings = NetworkSettings(BACKBONES[name], FrameInput(224), options=OPTIONS)
    return Recipe(name, settings, "imagenet", STAGES, AUGMENTATION)


def _small_recipe() -> Recipe:
    """Return the shared small recipe in two stages, with the report's augmentation."""
    recipe = SmallRecipe("bce", options=OPTIONS).recipe()
    (phase,) = recipe.phases
    optimizer, cycle = replace(phase.optimizer, learning_rate=1e-4), Schedule("cyclic", lowest=1e-6)
    first = replace(phase, epochs=phase.epochs - 2)
    second = replace(phase, epochs=2, optimizer=optimizer, schedule=cycle)
    return replace(recipe, phases=(first, second), augmentation=AUGMENTATION)


SYSTEMS = systems_by_name(
    System(
        name="se_resnext",
        title="SE-ResNeXt-101 with Mish and dropout, trained in two stages",
        report='the report "A Baseline Comparison for Action Understanding with Multiple Classes of Actors"',
        published_f1=0.592,
        build=_build,
        probabilities=torch.sigmoid,
        recipes={SMALL: _small_recipe(), **{name: _paper_recipe(name) for name in BACKBONES}},
    )
)
