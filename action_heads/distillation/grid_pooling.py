"""Pooling over the cells of a grid instead of the whole image."""

from typing import Any

import torch
from torch import nn

from action_heads.backbone import Backbone


class _PerCell(nn.Module):
    """Applies a layer to each cell of flattened grid pooling: from (B, C * grid²) to (B, grid², D)."""

    def __init__(self, layer: nn.Module, grid: int) -> None:
        super().__init__()
        self.layer = layer
        self.grid = grid

    def forward(self, pooled: torch.Tensor) -> torch.Tensor:
        output: torch.Tensor = self.layer(pooled.unflatten(1, (-1, self.grid**2)).transpose(1, 2))
        return output


def pool_over_grid(network: nn.Module, backbone: Backbone, grid: int) -> Any:
    """Replace a network's global average pooling with average pooling over the cells of a grid, in place.

    Args:
        network: A network of the backbone; afterwards it returns (B, grid², D), with the cells in row-major order.
        backbone: The architecture.
        grid: Cells per side.

    Returns:
        The network.
    """
    setattr(network, backbone.pooling, nn.Sequential(nn.AdaptiveAvgPool2d(grid), nn.Flatten(1)))
    setattr(network, backbone.classifier, _PerCell(getattr(network, backbone.classifier), grid))
    return network
