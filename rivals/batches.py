"""Batches of pictures as networks take them."""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from inference.image_tensors import bgr_to_rgb_tensor
from rivals.augmentation import RandomNumbers, augment
from rivals.recipes import Augmentation


def make_batch(
    pictures: Sequence[NDArray[np.uint8]] | NDArray[np.uint8],
    device: str,
    augmentation: Augmentation | None = None,
    numbers: RandomNumbers | None = None,
) -> torch.Tensor:
    """Convert pictures to a network's input.

    Args:
        pictures: Of B samples, each (N, S, S, 3), uint8, BGR.
        device: Where the input is to be.
        augmentation: How far the pictures are changed at random; None changes nothing.
        numbers: Where its random numbers are drawn.

    Returns:
        Float, RGB in [0, 1], shape (B, 3, S, S) if N is 1, otherwise (B, N, 3, S, S).
    """
    rgb = bgr_to_rgb_tensor(np.stack(list(pictures))).to(device).contiguous()
    if augmentation is not None and numbers is not None and augmentation != Augmentation():
        rgb = torch.stack([augment(sample, augmentation, numbers) for sample in rgb])
    return (rgb[:, 0] if rgb.shape[1] == 1 else rgb).float() / 255


def split_into_batches(order: Sequence[int], size: int) -> list[Sequence[int]]:
    """Cut a sequence into batches; a single sample that is left over joins the last one.

    Of a batch of one sample, batch normalization of a feature vector would have no variance.

    >>> split_into_batches([1, 2, 3, 4, 5], 2)
    [[1, 2], [3, 4, 5]]
    """
    batches = [order[start : start + size] for start in range(0, len(order), size)]
    if size > 1 and len(batches) > 1 and len(batches[-1]) == 1:
        batches[-2:] = [order[-size - 1 :]]
    return batches
