"""Conversion of uint8 images to the float tensors that networks take."""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray


def bgr_to_rgb_tensor(images: NDArray[np.uint8] | torch.Tensor) -> torch.Tensor:
    """Reverse the channels of BGR images and move them before height and width.

    Args:
        images: Shape (..., H, W, 3), uint8, BGR.

    Returns:
        Shape (..., 3, H, W), uint8, RGB, a copy. Contiguous images stay channels-last in memory, so that convolutions
        use the channels-last kernels.

    >>> bgr_to_rgb_tensor(np.array([[[1, 2, 3]]], np.uint8)).flatten().tolist()
    [3, 2, 1]
    """
    bgr = images if isinstance(images, torch.Tensor) else torch.from_numpy(np.ascontiguousarray(images))
    channels = bgr.ndim - 3
    return bgr.permute(*range(channels), channels + 2, channels, channels + 1).flip(channels)


def normalize_rgb(
    rgb: torch.Tensor, mean: Sequence[float] | torch.Tensor, std: Sequence[float] | torch.Tensor
) -> torch.Tensor:
    """Scale uint8 images to [0, 1] and standardize their channels.

    Args:
        rgb: Shape (..., 3, H, W), uint8, RGB.
        mean: Mean of each channel, in [0, 1]; a tensor must have the shape (3, 1, 1).
        std: Standard deviation of each channel, likewise.

    Returns:
        Shape (..., 3, H, W), float32, with the memory format of the input.

    torchvision's `v2.ToDtype(scale=True)` multiplies by the rounded 1/255 instead and may differ in the last bit.

    >>> white = torch.full((3, 1, 1), 255, dtype=torch.uint8)
    >>> normalize_rgb(white, (0.0, 0.5, 1.0), (1.0, 0.5, 1.0)).flatten().tolist()
    [1.0, 1.0, 0.0]
    """
    scaled = rgb.to(torch.float32) / 255
    return (scaled - _per_channel(mean, rgb.device)) / _per_channel(std, rgb.device)


def _per_channel(values: Sequence[float] | torch.Tensor, device: torch.device) -> torch.Tensor:
    if isinstance(values, torch.Tensor):  # a traced module keeps its buffers
        return values
    return torch.tensor(values, dtype=torch.float32, device=device).view(3, 1, 1)
