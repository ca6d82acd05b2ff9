"""Features of the parts of an image, where a network would give one mean over all of it."""

from typing import Any

import torch
from torch import nn

from action_heads.backbones import Backbone


class _EachCell(nn.Module):
    """Gives cells (B, C * cells²), as flattened pooling leaves them, to a layer one by one: (B, cells², D)."""

    def __init__(self, layer: nn.Module, cells: int) -> None:
        super().__init__()
        self.layer = layer
        self.cells = cells

    def forward(self, pooled: torch.Tensor) -> torch.Tensor:
        output: torch.Tensor = self.layer(pooled.unflatten(1, (-1, self.cells**2)).transpose(1, 2))
        return output


def pool_over_grid(network: nn.Module, backbone: Backbone, cells: int) -> Any:
    """Make a network pool over the parts of an image and not over all of it.

    Args:
        network: One of the backbone; it is changed, and gives (B, cells², D) from then on, cells row by row.
        backbone: Which.
        cells: Parts a side.

    Returns:
        The network.
    """
    setattr(network, backbone.pooling, nn.Sequential(nn.AdaptiveAvgPool2d(cells), nn.Flatten(1)))
    setattr(network, backbone.classifier, _EachCell(getattr(network, backbone.classifier), cells))
    return network
