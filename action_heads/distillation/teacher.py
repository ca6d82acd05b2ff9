"""The teacher of a distillation: its network, and its features of every crop, computed once and cached on disk."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from action_heads.distillation.grid_pooling import pool_over_grid
from action_heads.model import Trunk, feature_extractor
from inference.image_tensors import normalize_rgb


@dataclass(frozen=True)
class Teacher:
    """The teacher's weights.

    Attributes:
        trunk: Its pooled features are the student's targets.
        weight: Of its classifier of 1,000 classes, shape (1000, D); None if the classes are not used.
        bias: Likewise, shape (1000,).
    """

    trunk: Trunk
    weight: torch.Tensor | None = None
    bias: torch.Tensor | None = None

    @property
    def feature_size(self) -> int:
        """Number of features, D."""
        backbone = self.trunk.backbone
        with torch.device("meta"):
            return int(backbone.build(1).get_parameter(backbone.classifier_keys[0]).shape[1])


class TeacherNetwork:
    """Computes the teacher's features for the cells of a grid.

    Args:
        trunk: Its weights and preprocessing.
        grid: Cells per side.
        device: `cpu` or `cuda:N`.
        autocast: Context in which the network runs.
    """

    def __init__(self, trunk: Trunk, grid: int, device: str, autocast: torch.autocast) -> None:
        self.preprocessing = trunk.preprocessing
        self.device = device
        self.autocast = autocast
        self.network = pool_over_grid(feature_extractor(trunk), trunk.backbone, grid)
        self.network.to(device, memory_format=torch.channels_last)

    def features(self, crops: torch.Tensor) -> torch.Tensor:
        """Compute features (N, grid², D), float32, of uint8 RGB crops (N, 3, S, S)."""
        with self.autocast:
            inputs = normalize_rgb(crops, self.preprocessing.mean, self.preprocessing.std)
            features: torch.Tensor = self.network(inputs)
        return features.float()

    def cached_features(self, crops: torch.Tensor, cache: NDArray[np.float16], rows: list[int]) -> torch.Tensor:
        """Return features (N, grid², D), float32, from the cache, which is filled if any of the rows is missing.

        Args:
            crops: Shape (N, 3, S, S), uint8, RGB.
            cache: One crop of every image, see `open_feature_cache`; changed in place.
            rows: The N crops' rows in the cache.
        """
        if not np.isfinite(cache[rows]).all():
            with torch.inference_mode():
                cache[rows] = self.features(crops).half().cpu().numpy()
        return torch.from_numpy(cache[rows]).to(self.device).float()


def open_feature_cache(path: Path, shape: tuple[int, ...]) -> NDArray[np.float16]:
    """Open the cached features, shape (crops, images, grid², D), as a memory map; missing ones are NaN."""
    if not path.is_file() or np.load(path, mmap_mode="r", allow_pickle=False).shape != shape:
        path.parent.mkdir(parents=True, exist_ok=True)
        # Written under another name, since a file that is only partly filled with NaN would be taken for features.
        partial = path.with_name("taught.part.npy")
        cache: NDArray[np.float16] = np.lib.format.open_memmap(partial, mode="w+", dtype=np.float16, shape=shape)
        cache[:] = np.nan
        partial.replace(path)
    return np.asanyarray(np.load(path, mmap_mode="r+", allow_pickle=False))
