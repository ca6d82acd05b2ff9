"""Random crops of images, each drawn from a seed, a number and the image's place, whoever asks for it and when."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from torch.utils.data import Dataset

from action_heads.preprocessing import to_tensor
from common.errors import TrainingError

CROP_AREA = (0.2, 1.0)  # of the image
CROP_ASPECT = (3 / 4, 4 / 3)


class CropDataset(Dataset[torch.Tensor]):
    """Serves one random crop (3, S, S), uint8, RGB, of each image; number 0 is the whole image."""

    def __init__(self, images: Sequence[Path], size: int, seed: int, number: int) -> None:
        self.images = images
        self.size = size
        self.seed = seed
        self.number = number

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> torch.Tensor:
        image = cv2.imread(str(self.images[index]), cv2.IMREAD_COLOR)
        if image is None:
            raise TrainingError(f"{self.images[index]}: not an image that can be read")
        if self.number:
            image = _random_crop(image, np.random.default_rng([self.seed, self.number, index]))
        shrinking = min(image.shape[:2]) > self.size
        interpolation = cv2.INTER_AREA if shrinking else cv2.INTER_LINEAR
        return to_tensor(np.asarray(cv2.resize(image, (self.size, self.size), interpolation=interpolation), np.uint8))


def _random_crop(image: Any, rng: np.random.Generator) -> Any:
    """Cut a random part out of an image (H, W, 3): some of its area, at an aspect near 1, mirrored every other time."""
    height, width = image.shape[:2]
    area = rng.uniform(*CROP_AREA) * height * width
    aspect = math.exp(rng.uniform(math.log(CROP_ASPECT[0]), math.log(CROP_ASPECT[1])))
    wide, high = min(width, round(math.sqrt(area * aspect))), min(height, round(math.sqrt(area / aspect)))
    left, top = int(rng.integers(0, width - wide + 1)), int(rng.integers(0, height - high + 1))
    crop = image[top : top + max(high, 1), left : left + max(wide, 1)]
    return crop[:, ::-1] if rng.random() < 0.5 else crop
