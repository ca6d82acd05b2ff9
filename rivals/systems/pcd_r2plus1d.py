"""Per-class detection on the frames around a moment: an R(2+1)D network (the PCD report, section 4).

"We replaced the ResNet-152 backbone in PCD-ResNet with a ResNet(2+1)D model, which takes a series of frames (16 frames
in total)", consecutive, "with the target image at the center": eight before it, seven after it. The detectors, the loss
and the optimizer are those of `rivals.systems.pcd`, with what is left open there. "To speed up the training process, we
started with 4 frames for each image, and gradually increased it to 8 frames and finally 16 frames", and "skipped every
other frame in the 4-frame case".

What the report leaves open: the depth (18 layers here, the only ones that torchvision publishes), what the weights were
trained on (Kinetics-400 here), and how its 95 epochs were divided ("when the performance improvement per epoch gets
smaller"; 40, 30 and 25 here). The pictures have 224 pixels, since "other preparation steps were the same".

The small recipe has the trunk of all small recipes. A network of single pictures sees each frame on its own here, and
one convolution over time follows: what R(2+1)D does in every block, in space and then in time, is done once. Its
schedule is 4 frames, every other one, then 8.
"""

from dataclasses import replace

import torch
from torch import nn
from torch.nn import functional

from rivals.losses import two_way_softmax
from rivals.recipes import FrameInput, NetworkSettings, Phase, Recipe
from rivals.small import CLIP_EPOCHS, SmallRecipe
from rivals.stages import StagedTrunk
from rivals.system import PAPER, SMALL, Build, System, systems_by_name
from rivals.systems.pcd import AUGMENTATION, BATCH_SIZE, OPTIMIZER, PerClassDetectors
from rivals.weights import load_trunk

LOSS = "two_way_log_loss"
EPOCHS = (40, 30, 25)
SMALL_EPOCHS = (CLIP_EPOCHS - 3, 3)


class ClipDetectors(PerClassDetectors):
    """A trunk of clips, or a trunk of pictures and a convolution over time, and detectors of two outputs.

    Args:
        trunk: From pictures (B, 3, N, S, S), or (B, 3, S, S), to feature vectors (B, D).
        labels: Number of detectors.
    """

    def __init__(self, trunk: StagedTrunk, labels: int) -> None:
        super().__init__(trunk, labels, outputs=2)
        self.over_time: nn.Conv1d | None = None
        if not trunk.is_video:
            self.over_time = nn.Conv1d(trunk.width, trunk.width, kernel_size=3, padding=1, groups=trunk.width)

    def features(self, pictures: torch.Tensor) -> torch.Tensor:
        """Return the feature vectors (B, D) of clips (B, N, 3, S, S)."""
        found: torch.Tensor
        if self.over_time is None:
            found = self.trunk(pictures.transpose(1, 2))
            return found
        found = self.trunk(pictures.flatten(0, 1)).unflatten(0, pictures.shape[:2]).transpose(1, 2)  # (B, D, N)
        return (found + functional.relu(self.over_time(found))).mean(dim=2)


def _build(build: Build) -> nn.Module:
    return ClipDetectors(load_trunk(build.settings.backbone, build.weights), build.outputs)


def _paper_recipe() -> Recipe:
    """Return the recipe of section 4.2."""
    inputs = FrameInput(224, frames=16)
    four, eight = replace(inputs, frames=4, step=2), replace(inputs, frames=8)
    phases = tuple(
        Phase(epochs, BATCH_SIZE, LOSS, OPTIMIZER, inputs=given)
        for epochs, given in zip(EPOCHS, (four, eight, None), strict=True)
    )
    return Recipe(PAPER, NetworkSettings("r2plus1d_18", inputs), "kinetics", phases, AUGMENTATION)


def _small_recipe() -> Recipe:
    """Return the shared small recipe with a schedule; smaller batches, since each sample is several frames."""
    recipe = SmallRecipe(LOSS, frames=8).recipe()
    first = replace(recipe.settings.inputs, frames=4, step=2)
    phases = tuple(
        replace(recipe.phases[0], epochs=epochs, batch_size=8, inputs=given)
        for epochs, given in zip(SMALL_EPOCHS, (first, None), strict=True)
    )
    return replace(recipe, phases=phases)


SYSTEMS = systems_by_name(
    System(
        name="pcd_r2plus1d",
        title="R(2+1)D on 16 frames with 43 detectors of two outputs",
        report="the PCD report, section 4",
        published_f1=0.617,
        build=_build,
        probabilities=two_way_softmax,
        recipes={PAPER: _paper_recipe(), SMALL: _small_recipe()},
    )
)
