"""Attended per-class detection: a map of what to look at weights a network's feature map (the PCD report, section 3).

"We hacked into the ResNet and extract the feature map (1024 × 14 × 14) from its layer3, and then obtained an attention
map from this feature map with a convolution layer (kernel=3, depth=1, stride=1, padding=1) followed by a sigmoid
operation": the weighted map goes on into layer4, and 43 detectors of one output replace the last layer.

The training is that of `rivals.systems.pcd`, with what is left open there; its best epoch was the 55th.
"""

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from common.files import write_atomically
from rivals.small import SmallRecipe
from rivals.stages import StagedTrunk
from rivals.system import PAPER, SMALL, Build, System, systems_by_name
from rivals.systems.pcd import paper_recipe
from rivals.weights import load_trunk

ATTENDED = "layer3"
EPOCHS = 55


class AttendedDetectors(nn.Module):
    """A trunk whose map after layer3 is weighted by an attention map, and one detector per label.

    Args:
        trunk: From pictures (B, 3, S, S) to feature vectors (B, D), in stages.
        labels: Number of detectors.
    """

    def __init__(self, trunk: StagedTrunk, labels: int) -> None:
        super().__init__()
        self.trunk = trunk
        self.attention = nn.Conv2d(trunk.channels(ATTENDED), 1, kernel_size=3, stride=1, padding=1)
        self.detectors = nn.Linear(trunk.width, labels)

    def attention_map(self, pictures: torch.Tensor) -> torch.Tensor:
        """Return the attention map of each picture, shape (B, 1, h, w), in [0, 1]."""
        return torch.sigmoid(self.attention(self.trunk.map_after(pictures, ATTENDED)))

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        """Return each detector's output, shape (B, labels)."""
        features = self.trunk.map_after(pictures, ATTENDED)
        weighted = features * torch.sigmoid(self.attention(features))
        found: torch.Tensor = self.detectors(self.trunk.features_from(weighted, ATTENDED))
        return found


def draw_attention(image: NDArray[np.uint8], attention: NDArray[np.floating]) -> NDArray[np.uint8]:
    """Draw an attention map over the image that it belongs to, as the report's figure 4 does.

    Args:
        image: Shape (H, W, 3), uint8, BGR.
        attention: Shape (h, w), in [0, 1]; its lowest value becomes blue, its highest red.

    Returns:
        Shape (H, W, 3), uint8, BGR.
    """
    import cv2

    spread = attention - attention.min()
    levels = np.round(255 * spread / max(float(spread.max()), 1e-9)).astype(np.uint8)
    resized = cv2.resize(levels, (image.shape[1], image.shape[0]), interpolation=cv2.INTER_CUBIC)
    drawn = cv2.addWeighted(image, 0.5, cv2.applyColorMap(resized, cv2.COLORMAP_JET), 0.5, 0)
    return np.asarray(drawn, dtype=np.uint8)


def save_attention(path: Path, image: NDArray[np.uint8], attention: NDArray[np.floating]) -> None:
    """Write `draw_attention` as a PNG file, atomically."""
    import cv2

    _, content = cv2.imencode(".png", draw_attention(image, attention))
    write_atomically(path, content.tobytes())


def _build(build: Build) -> nn.Module:
    return AttendedDetectors(load_trunk(build.settings.backbone, build.weights), build.outputs)


SYSTEMS = systems_by_name(
    System(
        name="apcd_resnet",
        title="ResNet-152 with an attention map and 43 detectors of one output",
        report="the PCD report, section 3",
        published_f1=0.589,
        build=_build,
        probabilities=torch.sigmoid,
        recipes={PAPER: paper_recipe("log_loss", EPOCHS), SMALL: SmallRecipe("log_loss").recipe()},
    )
)
