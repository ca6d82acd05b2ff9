"""Per-class detection: one detector per label on the pooled feature vector of a network (the PCD report, section 2).

"We present multiple methods for multi-label actor-action classification based on the idea of per-class detection": each
label is detected on its own, by two outputs and a softmax (`pcd_resnet`) or by one output and a sigmoid
(`pcd_sigmoid`, "PCD-Sig-ResNet", section 2.3, of which the report says only that it is slightly worse).

What the report leaves open: it names no batch size (16 here), no amount of rotation and blur ("initially implemented in
A2DDataloader"; 10 degrees and a Gaussian in half of the pictures here), and not how the loss is reduced over a batch
(equation 1 is a sum over the labels, of which the mean over the samples is taken here). Its best epoch was the 70th.
"""

import torch
from torch import nn

from rivals.losses import two_way_softmax
from rivals.recipes import Augmentation, FrameInput, NetworkSettings, Optimizer, Phase, Recipe
from rivals.small import SmallRecipe
from rivals.stages import StagedTrunk
from rivals.system import PAPER, SMALL, Build, System, systems_by_name
from rivals.weights import load_trunk

OPTIMIZER = Optimizer("sgd", learning_rate=1e-5, momentum=0.9, weight_decay=4e-5)
AUGMENTATION = Augmentation(rotation_degrees=10, flip=0.5, blurs=("gaussian",), blur=0.5)
BATCH_SIZE = 16
EPOCHS = 70


class PerClassDetectors(nn.Module):
    """A trunk, and detectors on its feature vector.

    Args:
        trunk: From pictures (B, 3, S, S) to feature vectors (B, D).
        labels: Number of detectors.
        outputs: Of each: 2, or 1.
    """

    def __init__(self, trunk: StagedTrunk, labels: int, outputs: int) -> None:
        super().__init__()
        self.trunk = trunk
        self.labels, self.outputs = labels, outputs
        self.detectors = nn.Linear(trunk.width, labels * outputs)

    def features(self, pictures: torch.Tensor) -> torch.Tensor:
        """Return the feature vectors (B, D) that the detectors share."""
        found: torch.Tensor = self.trunk(pictures)
        return found

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        """Return each detector's outputs, shape (B, labels, 2), or (B, labels) if it has only one."""
        found: torch.Tensor = self.detectors(self.features(pictures))
        return found if self.outputs == 1 else found.unflatten(1, (self.labels, self.outputs))


def paper_recipe(loss: str, epochs: int = EPOCHS) -> Recipe:
    """Return the recipe that the report gives for all of its networks of single frames (sections 2.2 and 3.2)."""
    settings = NetworkSettings("resnet152", FrameInput(224))
    return Recipe(PAPER, settings, "imagenet", (Phase(epochs, BATCH_SIZE, loss, OPTIMIZER),), AUGMENTATION)


def _build(build: Build, outputs: int) -> nn.Module:
    return PerClassDetectors(load_trunk(build.settings.backbone, build.weights), build.outputs, outputs)


SYSTEMS = systems_by_name(
    System(
        name="pcd_resnet",
        title="ResNet-152 with 43 detectors of two outputs",
        report="the PCD report, section 2",
        published_f1=0.594,
        build=lambda build: _build(build, 2),
        probabilities=two_way_softmax,
        recipes={PAPER: paper_recipe("two_way_log_loss"), SMALL: SmallRecipe("two_way_log_loss").recipe()},
    ),
    System(
        name="pcd_sigmoid",
        title="ResNet-152 with 43 detectors of one output",
        report="the PCD report, section 2.3",
        published_f1=None,
        build=lambda build: _build(build, 1),
        probabilities=torch.sigmoid,
        recipes={PAPER: paper_recipe("log_loss"), SMALL: SmallRecipe("log_loss").recipe()},
    ),
)
