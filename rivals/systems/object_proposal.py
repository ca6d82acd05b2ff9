"""ResNet-152 on the boxes that a selective search proposes, merged by a maximum (the report of two methods, 2.2).

The report begins "In this report, we compare the performance of two proposed methods". Selective search proposes boxes;
those "that have an area less than some threshold (we use 50 when testing)" are dropped, then those that another one
overlaps ("we use 0.7"); the rest "are used to crop the parts of the original image", which are resized to 224×224.
"ResNet152 with an additional FC43 layer, as in baseline" gives 43 scores for each; a maximum over the crops and a
sigmoid follow. The baseline's layer turns "the length of the original vector output from 1000 to 43": it follows the
layer of ImageNet's 1000 classes, which is kept, with no activation named between them, and none used.

What the report leaves open: which selective search (`rivals.selective_search`), and of which picture the area is (in
pixels of the frame). "We merge the object proposals given by selective search simply by their IoU score without getting
a confidence score": of two boxes that overlap, the one stays whose region the search made later, so that the whole
frame comes first. It names no number of crops: the first 16 are cut out, in this order; if there are fewer, they are
repeated, which changes no maximum, and if there is none, it is the whole frame. A network looks at the first `crops` of
them (8 in `small`). Its mini-batches are the crops of one picture, "which prevents us from doing batch learning"; it
names no augmentation (none here). The embedded trunk has no layer of 1000 classes, so `small` does without.
"""

from collections.abc import Sequence
from dataclasses import replace
from itertools import cycle, islice
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from rivals.recipes import FrameInput, NetworkSettings, Phase, Recipe
from rivals.selective_search import box_areas, propose_boxes, suppress
from rivals.small import SmallRecipe
from rivals.stages import StagedTrunk
from rivals.system import PAPER, SMALL, Build, System, systems_by_name
from rivals.systems.multiscale import OPTIMIZER, REPORT
from rivals.weights import load_trunk

MIN_AREA, MOST_OVERLAP = 50, 0.7
CROPS, SMALL_CROPS, SMALL_SIZE = 16, 8, 96
EPOCHS = 30


def find_proposals(frame: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Return the boxes of a frame that may hold an actor.

    Args:
        frame: Shape (H, W, 3), uint8, BGR.

    Returns:
        Left, top, right, bottom in pixels, right and bottom excluded, shape (boxes, 4), at least one: of an area of at
        least `MIN_AREA`, no two with an intersection over union above `MOST_OVERLAP`, in the order of `propose_boxes`;
        the whole frame if there is none.
    """
    boxes = propose_boxes(frame)
    boxes = suppress(boxes[box_areas(boxes) >= MIN_AREA], MOST_OVERLAP)
    height, width = frame.shape[:2]
    return boxes if len(boxes) else np.array([[0, 0, width, height]])


def draw_proposals(frames: Sequence[NDArray[np.uint8]]) -> list[NDArray[np.uint8]]:
    """Cut the first proposals out of a frame.

    Args:
        frames: One, shape (H, W, 3), uint8, BGR.

    Returns:
        `CROPS` pictures, each (h, w, 3), uint8, BGR; repeated from the first on if there are fewer proposals.
    """
    frame = frames[-1]
    crops = [frame[top:bottom, left:right] for left, top, right, bottom in find_proposals(frame)]
    return list(islice(cycle(crops), CROPS))


class ObjectProposalNetwork(nn.Module):
    """A trunk with a new last layer on each crop, and the maximum over the crops.

    Args:
        trunk: From pictures (B, 3, S, S) to feature vectors (B, D); its published last layer is used if it is there.
        crops: How many of the crops are looked at.
        labels: Number of outputs.
    """

    def __init__(self, trunk: StagedTrunk, crops: int, labels: int) -> None:
        super().__init__()
        self.trunk = trunk
        self.crops = crops
        published = trunk.classifier
        width = published.out_features if isinstance(published, nn.Linear) else trunk.width
        self.classifier = nn.Linear(width, labels)

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        """Return logits, shape (B, labels), for pictures (B, M, 3, S, S)."""
        crops = pictures[:, : self.crops]
        features = self.trunk.classifier(self.trunk(crops.flatten(0, 1)))
        logits: torch.Tensor = self.classifier(features).unflatten(0, crops.shape[:2])
        return logits.amax(dim=1)


def _build(build: Build) -> nn.Module:
    options: Any = build.settings.options
    trunk = load_trunk(build.settings.backbone, build.weights, keep_classifier=options["published_layer"])
    return ObjectProposalNetwork(trunk, options["crops"], build.outputs)


def _small() -> Recipe:
    recipe = SmallRecipe("bce", options={"crops": SMALL_CROPS, "published_layer": False}).recipe()
    return replace(recipe, settings=replace(recipe.settings, inputs=FrameInput(SMALL_SIZE)))


SYSTEMS = systems_by_name(
    System(
        name="object_proposal",
        title="ResNet-152 on the boxes of a selective search, merged by a maximum",
        report=f"{REPORT}, section 2.2",
        published_f1=0.253,
        build=_build,
        probabilities=torch.sigmoid,
        recipes={
            PAPER: Recipe(
                PAPER,
                NetworkSettings("resnet152", FrameInput(224), options={"crops": CROPS, "published_layer": True}),
                "imagenet",
                (Phase(EPOCHS, 1, "bce", OPTIMIZER),),
            ),
            SMALL: _small(),
        },
        draw=draw_proposals,
    )
)
