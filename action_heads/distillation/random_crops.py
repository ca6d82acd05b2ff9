"""Random crops of images, each determined by a seed, a crop number and the index of the image alone."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from torch.utils.data import Dataset

from common.errors import DatasetError, TrainingError
from inference.image_tensors import bgr_to_rgb_tensor
from video.image_files import read_image

CROP_AREA = (0.2, 1.0)  # relative to the image
CROP_ASPECT = (3 / 4, 4 / 3)
WHOLE_IMAGE = 0


class CropDataset(Dataset[torch.Tensor]):
    """Provides one random crop (3, S, S), uint8, RGB, of each image; the crop `WHOLE_IMAGE` is the whole image."""

    def __init__(self, images: Sequence[Path], size: int, seed: int, crop: int) -> None:
        self.images = images
        self.size = size
        self.seed = seed
        self.crop = crop

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> torch.Tensor:
        try:
            image: Any = read_image(self.images[index])
        except DatasetError:
            raise TrainingError(f"{self.images[index]}: not an image that can be read") from None
        if self.crop != WHOLE_IMAGE:
            image = _random_crop(image, np.random.default_rng([self.seed, self.crop, index]))
        is_smaller = min(image.shape[:2]) > self.size
        interpolation = cv2.INTER_AREA if is_smaller else cv2.INTER_LINEAR
        resized = cv2.resize(image, (self.size, self.size), interpolation=interpolation)
        return bgr_to_rgb_tensor(np.asarray(resized, np.uint8))


def _random_crop(image: Any, rng: np.random.Generator) -> Any:
    """Return a random crop of an image (H, W, 3), mirrored with probability 0.5."""
    height, width = image.shape[:2]
    area = rng.uniform(*CROP_AREA) * height * width
    aspect = math.exp(rng.uniform(math.log(CROP_ASPECT[0]), math.log(CROP_ASPECT[1])))
    crop_width, crop_height = min(width, round(math.sqrt(area * aspect))), min(height, round(math.sqrt(area / aspect)))
    left, top = int(rng.integers(0, width - crop_width + 1)), int(rng.integers(0, height - crop_height + 1))
    crop = image[top : top + max(crop_height, 1), left : left + max(crop_width, 1)]
    return crop[:, ::-1] if rng.random() < 0.5 else crop
