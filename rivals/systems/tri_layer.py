"""Classifiers of actor, action and pair, concatenated into one layer; and the plain ResNet-18 that was better.

The report begins "The goal of this project was to develop a novel neural network design"; both stand in section 3.2.
Of pretrained ResNet-18s only the last layers are trained, with `BCEWithLogitsLoss` and Adam, 0.0005 for 10 epochs and
0.00003 for 10 more.

`tri_layer`: "Each classifier will use a pre-trained Resnet only training the last FC layer". Three frozen copies of one
network give the same features, so one trunk stands for the three. What the report leaves open: the final layer takes
the classifiers' logits, of 7 actors, 9 actions and 43 pairs; the four cross-entropies are summed, so that the
classifiers and the final layer are trained together; batches of 16; no augmentation.

`resnet18`: "the final output layer was set to 43 [...] and the first linear layer was trained, but the rest were left
alone". ResNet-18 has one linear layer, the final one. The report gives its loss and its optimizer; learning rates,
epochs and batch size are those of `tri_layer` here.
"""

import torch
from torch import nn

from rivals.label_parts import LabelParts, PartOutputs, final_probabilities, separate_and_final_bce
from rivals.recipes import FrameInput, NetworkSettings, Optimizer, Phase, Recipe
from rivals.small import SmallRecipe
from rivals.stages import StagedTrunk
from rivals.system import PAPER, SMALL, Build, System, systems_by_name
from rivals.systems.transfer_resnet import TransferNetwork
from rivals.weights import load_trunk

REPORT = 'the report that begins "The goal of this project was to develop a novel neural network design"'
LEARNING_RATES = (0.0005, 0.00003)
EPOCHS, BATCH_SIZE = 10, 16
FROZEN = ("trunk",)


class TriLayer(nn.Module):
    """A trunk with three classifiers, and a layer that takes the outputs of all three.

    Args:
        trunk: From pictures (B, 3, S, S) to feature vectors (B, D).
        labels: Names of the labels.
    """

    def __init__(self, trunk: StagedTrunk, labels: tuple[str, ...]) -> None:
        super().__init__()
        self.trunk = trunk
        self.parts = LabelParts(labels)
        sizes = (len(self.parts.actors), len(self.parts.actions), len(labels))
        self.actors, self.actions, self.pairs = (nn.Linear(trunk.width, size) for size in sizes)
        self.final = nn.Linear(sum(sizes), len(labels))

    def forward(self, pictures: torch.Tensor) -> PartOutputs:
        """Return the logits of each classifier and the final ones."""
        features = self.trunk(pictures)
        actors, actions, pairs = self.actors(features), self.actions(features), self.pairs(features)
        final = self.final(torch.cat([actors, actions, pairs], dim=1))
        return actors, actions, pairs, final, self.parts.actor_members, self.parts.action_members


def two_rates(loss: str, frozen: tuple[str, ...] = ()) -> tuple[Phase, ...]:
    """Return the report's training: Adam with one learning rate, then with a lower one."""
    return tuple(Phase(EPOCHS, BATCH_SIZE, loss, Optimizer("adam", rate), frozen=frozen) for rate in LEARNING_RATES)


def _recipes(loss: str) -> dict[str, Recipe]:
    settings = NetworkSettings("resnet18", FrameInput(224))
    paper = Recipe(PAPER, settings, "imagenet", two_rates(loss, FROZEN))
    return {PAPER: paper, SMALL: SmallRecipe(loss, FROZEN).recipe()}


def _build_tri_layer(build: Build) -> nn.Module:
    return TriLayer(load_trunk(build.settings.backbone, build.weights), build.labels)


def _build_resnet18(build: Build) -> nn.Module:
    return TransferNetwork(load_trunk(build.settings.backbone, build.weights), build.outputs)


SYSTEMS = systems_by_name(
    System(
        name="tri_layer",
        title="frozen ResNet-18, classifiers of actor, action and pair concatenated into one layer",
        report=f"{REPORT}, section 3.2",
        published_f1=0.191,
        build=_build_tri_layer,
        probabilities=final_probabilities,
        recipes=_recipes("separate_and_final_bce"),
        losses={"separate_and_final_bce": separate_and_final_bce},
    ),
    System(
        name="resnet18",
        title="frozen ResNet-18 with a new last layer",
        report=f"{REPORT}, section 3.2",
        published_f1=0.280,
        build=_build_resnet18,
        probabilities=torch.sigmoid,
        recipes=_recipes("bce"),
    ),
)
