"""3D ResNet-34 on the frames around the labelled one (the flow report, variant 3).

The report begins "Actor and action by mapping videos with the descriptors". "For each image we process 5 adjacent
frames before, and after the current image", 11 with it, "as input for the 3D RESNET-34".

What the report leaves open: that network predicted the action alone; here it predicts the 43 labels. Nothing is said of
its weights: here those of ResNet-34 on ImageNet are inflated, see `rivals.inflation`, and any ResNet of images can be
named. The pictures have 112 pixels, as in Hara et al.; the training is that of `rivals.systems.flow_lines`. No F1 is in
the text: "comparatively lower".
"""

from dataclasses import replace

import torch
from torch import nn

from rivals.inflation import inflate
from rivals.recipes import FrameInput, NetworkSettings, Recipe
from rivals.small import CLIP_EPOCHS, SmallRecipe
from rivals.system import PAPER, SMALL, Build, System, systems_by_name
from rivals.systems.flow_lines import REPORT, end_to_end
from rivals.systems.transfer_resnet import TransferNetwork
from rivals.weights import load_trunk

BACKBONE = "resnet34"
INPUTS = FrameInput(112, frames=11, before=5)


class ClipNetwork(TransferNetwork):
    """A trunk of clips with a new last layer."""

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        """Return logits, shape (B, labels), for clips (B, N, 3, S, S)."""
        return super().forward(pictures.transpose(1, 2))


def _small() -> Recipe:
    recipe = SmallRecipe("bce", epochs=CLIP_EPOCHS).recipe()
    return replace(recipe, settings=replace(recipe.settings, backbone=BACKBONE, inputs=INPUTS))


def _build(build: Build) -> nn.Module:
    return ClipNetwork(inflate(load_trunk(build.settings.backbone, build.weights)), build.outputs)


SYSTEMS = systems_by_name(
    System(
        name="resnet3d",
        title="3D ResNet-34 on 11 frames",
        report=f"{REPORT}, section 2.3.3",
        published_f1=None,
        build=_build,
        probabilities=torch.sigmoid,
        recipes={
            PAPER: Recipe(PAPER, NetworkSettings(BACKBONE, INPUTS), "imagenet", end_to_end("bce")),
            SMALL: _small(),
        },
    )
)
