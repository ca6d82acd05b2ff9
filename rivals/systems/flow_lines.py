"""Lines of optical flow, drawn on the frame, as a network's picture (the flow report, architecture 3).

The report begins "Actor and action by mapping videos with the descriptors". "We use the Shi Tomasi corner detection
and Lucas Kanade Optical Flow detection to generate flow lines on images": corners are found in the first of some frames
and followed to the labelled one, the last; the path of each is drawn on the latter, or on black ("we also used the flow
lines without the raw images", the recipes `paper_alone` and `small_alone`). ResNet-152 predicts the 43 labels.

What the report leaves open: its tables are not in the text, which says that the lines "dont lead to improvements". The
parameters of corners and flow are those of OpenCV's tutorial; the paths go over the five frames before the labelled
one, as many as its third variant takes. It trains "end-to-end", then with "Cosine Annealing, and to fine-tune the final
layers", without a number: Adam 1e-4 and batches of 16, 30 epochs, then 10 of layer4 and the last layer alone.
"""

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from rivals.recipes import FrameInput, NetworkSettings, Optimizer, Phase, Recipe, Schedule
from rivals.small import SIZE, SmallRecipe
from rivals.stages import StagedTrunk
from rivals.system import PAPER, SMALL, Build, System, systems_by_name
from rivals.systems.transfer_resnet import TransferNetwork
from rivals.weights import load_trunk

REPORT = 'the report that begins "Actor and action by mapping videos with the descriptors"'
INPUTS = FrameInput(224, frames=6, before=5)
EARLY = ("trunk.stem", "trunk.layer1", "trunk.layer2", "trunk.layer3")
OPTIMIZER, BATCH_SIZE = Optimizer("adam", 1e-4), 16
CORNERS: dict[str, Any] = {"maxCorners": 100, "qualityLevel": 0.3, "minDistance": 7, "blockSize": 7}
WINDOW, LEVELS = (15, 15), 2
STEPS, ACCURACY = 10, 0.03
LINE_BGR, LINE_WIDTH = (0, 255, 0), 2


def flow_paths(frames: Sequence[NDArray[np.uint8]]) -> NDArray[np.float32]:
    """Follow the corners of the first frame through the others.

    Args:
        frames: Each (H, W, 3), uint8, BGR.

    Returns:
        Where each corner that was never lost is in each frame, shape (corners, frames, 2), x and y in pixels.
    """
    import cv2

    grey = [cv2.cvtColor(frame, cv2.COLOR_BGR2GRAY) for frame in frames]
    corners = cv2.goodFeaturesToTrack(grey[0], mask=None, **CORNERS)
    if corners is None:
        return np.zeros((0, len(frames), 2), np.float32)
    points = np.asarray(corners, np.float32).reshape(-1, 1, 2)
    paths, found = [points], np.ones(len(points), bool)
    criteria = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, STEPS, ACCURACY)
    for before, after in pairwise(grey):
        points, status, _ = cv2.calcOpticalFlowPyrLK(
            before, after, points, None, winSize=WINDOW, maxLevel=LEVELS, criteria=criteria
        )
        found &= np.asarray(status).ravel() == 1
        paths.append(points)
    return np.concatenate(paths, axis=1)[found]


def draw_flow_lines(frames: Sequence[NDArray[np.uint8]]) -> NDArray[np.uint8]:
    """Draw the paths of corners, with a dot where each ends.

    Args:
        frames: Each (H, W, 3), uint8, BGR; the last is drawn on.

    Returns:
        The last frame with the lines, and the lines alone, shape (2, H, W, 3), uint8, BGR.
    """
    import cv2

    drawn = [frames[-1].copy(), np.zeros_like(frames[-1])]
    for path in flow_paths(frames):
        points = np.round(path).astype(np.int32)
        for picture in drawn:
            cv2.polylines(picture, [points.reshape(-1, 1, 2)], isClosed=False, color=LINE_BGR, thickness=LINE_WIDTH)
            cv2.circle(picture, tuple(map(int, points[-1])), LINE_WIDTH, LINE_BGR, cv2.FILLED)
    return np.stack(drawn)


class FlowLinesNetwork(TransferNetwork):
    """A trunk with a new last layer, on one of the two pictures of `draw_flow_lines`.

    Args:
        trunk: From pictures (B, 3, S, S) to feature vectors (B, D).
        alone: Whether it is given the lines alone.
        labels: Number of outputs.
    """

    def __init__(self, trunk: StagedTrunk, alone: bool, labels: int) -> None:
        super().__init__(trunk, labels)
        self.alone = alone

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        """Return logits, shape (B, labels), for pictures (B, 2, 3, S, S)."""
        return super().forward(pictures[:, int(self.alone)])


def end_to_end(loss: str, frozen: tuple[str, ...] = EARLY) -> tuple[Phase, ...]:
    """Return the report's two phases: all layers, then the final ones with a cosine schedule."""
    return (
        Phase(30, BATCH_SIZE, loss, OPTIMIZER),
        Phase(10, BATCH_SIZE, loss, OPTIMIZER, Schedule("cosine"), frozen),
    )


def _paper(name: str, alone: bool) -> Recipe:
    settings = NetworkSettings("resnet152", INPUTS, options={"alone": alone})
    return Recipe(name, settings, "imagenet", end_to_end("bce"))


def _small(name: str, alone: bool) -> Recipe:
    recipe = SmallRecipe("bce", options={"alone": alone}).recipe()
    settings = replace(recipe.settings, inputs=replace(INPUTS, size=SIZE))
    return replace(recipe, name=name, settings=settings)


def _build(build: Build) -> nn.Module:
    trunk = load_trunk(build.settings.backbone, build.weights)
    return FlowLinesNetwork(trunk, bool(build.settings.options["alone"]), build.outputs)


SYSTEMS = systems_by_name(
    System(
        name="flow_lines",
        title="ResNet-152 on frames with lines of optical flow",
        report=f"{REPORT}, section 2.4.2",
        published_f1=None,
        build=_build,
        probabilities=torch.sigmoid,
        recipes={
            PAPER: _paper(PAPER, False),
            "paper_alone": _paper("paper_alone", True),
            SMALL: _small(SMALL, False),
            "small_alone": _small("small_alone", True),
        },
        draw=draw_flow_lines,
    )
)
