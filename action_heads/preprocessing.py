"""Conversion of frames to network inputs, for training and for prediction.

A checkpoint contains its `Preprocessing`, so that prediction always applies the one used in training.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from action_heads.crops import crop_actor
from common.errors import CheckpointError
from common.files import check_keys, shorten

if TYPE_CHECKING:
    import torch
    from torchvision.transforms import v2

MAX_SIZE, MAX_MEAN = 2048, 100.0
STORED_MARGIN = 8 / 7  # size of stored training frames relative to the input (256 for 224), a reserve for random crops


@dataclass(frozen=True)
class Preprocessing:
    """Preprocessing of an image before the network.

    Attributes:
        size: Side of the square input in pixels. Images are resized to it regardless of their aspect ratio.
        mean: Mean of the RGB channels in [0, 1]; by default ImageNet's, as torchvision's ResNet weights expect.
        std: Standard deviation of the RGB channels, likewise.
    """

    size: int = 224
    mean: tuple[float, float, float] = (0.485, 0.456, 0.406)
    std: tuple[float, float, float] = (0.229, 0.224, 0.225)

    def to_dict(self) -> dict[str, Any]:
        """Return the fields by name, for a manifest."""
        return asdict(self)

    @classmethod
    def from_dict(cls, content: object, where: str) -> "Preprocessing":
        """Create the preprocessing that a manifest describes.

        Raises:
            CheckpointError: If a key is missing or unknown, or a value is invalid.
        """
        found = check_keys(content, where, CheckpointError, ["size", "mean", "std"])
        if type(found["size"]) is not int or not 1 <= found["size"] <= MAX_SIZE:
            raise CheckpointError(
                f"{where}: size: an integer from 1 to {MAX_SIZE} was expected, found {shorten(found['size'])}"
            )
        for name in ("mean", "std"):
            value = found[name]
            is_triple = isinstance(value, list | tuple) and len(value) == 3
            if not is_triple or not all(type(x) is float and abs(x) <= MAX_MEAN for x in value):
                raise CheckpointError(f"{where}: {name}: three fractions were expected, found {shorten(value)}")
        if min(found["std"]) <= 0:
            raise CheckpointError(f"{where}: std: three fractions above 0 were expected, found {found['std']!r}")
        return cls(found["size"], tuple(found["mean"]), tuple(found["std"]))

    @property
    def stored_size(self) -> int:
        """Side in pixels at which training frames are stored before augmentation."""
        return round(self.size * STORED_MARGIN)


def resize_frame(image: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    """Resize a frame to a square, regardless of its aspect ratio.

    Args:
        image: Shape (H, W, 3), uint8.
        size: Side in pixels.

    Returns:
        Shape (size, size, 3), uint8, channels in the same order.
    """
    import cv2

    is_smaller = max(image.shape[:2]) > size
    resized = cv2.resize(image, (size, size), interpolation=cv2.INTER_AREA if is_smaller else cv2.INTER_LINEAR)
    return np.asarray(resized, dtype=np.uint8)


def crop_and_resize(image: NDArray[np.uint8], box: NDArray[np.float32], view: str, size: int) -> NDArray[np.uint8]:
    """Return a view of a whole frame at the network's size, the same in training and in prediction.

    Args:
        image: Shape (H, W, 3), uint8, BGR.
        box: The actor's box in pixels, shape (4,); NaN if there is none.
        view: `frame` or `crop`.
        size: Side in pixels.

    Returns:
        Shape (size, size, 3), uint8, BGR.
    """
    return resize_frame(crop_actor(image, box, view), size)


def evaluation_transform(preprocessing: Preprocessing) -> "v2.Transform":
    """Create the transform from stored uint8 RGB tensors (..., 3, S, S) to inputs: resize, scale, normalize."""
    import torch
    from torchvision.transforms import v2

    return v2.Compose(
        [
            v2.Resize((preprocessing.size, preprocessing.size), antialias=True),
            v2.ToDtype(torch.float32, scale=True),
            v2.Normalize(preprocessing.mean, preprocessing.std),
        ]
    )


def training_transform(preprocessing: Preprocessing) -> "v2.Transform":
    """Create the same transform with a random crop, flip and color jitter first."""
    import torch
    from torchvision.transforms import v2

    return v2.Compose(
        [
            v2.RandomResizedCrop((preprocessing.size, preprocessing.size), scale=(0.5, 1.0), antialias=True),
            v2.RandomHorizontalFlip(),
            v2.ColorJitter(brightness=0.3, contrast=0.3, saturation=0.3, hue=0.03),
            v2.ToDtype(torch.float32, scale=True),
            v2.Normalize(preprocessing.mean, preprocessing.std),
        ]
    )


def preprocess_frames(
    images: Sequence[NDArray[np.uint8]] | NDArray[np.uint8],
    boxes: NDArray[np.float32],
    view: str,
    preprocessing: Preprocessing,
) -> "torch.Tensor":
    """Convert whole frames to network inputs, without augmentation.

    Args:
        images: B frames, each of shape (H, W, 3), uint8, BGR.
        boxes: The actor's box in each frame, in pixels, shape (B, 4); NaN if there is none.
        view: `frame` or `crop`.
        preprocessing: Of the network.

    Returns:
        Shape (B, 3, S, S), float32, normalized RGB.
    """
    import torch

    from inference.image_tensors import bgr_to_rgb_tensor

    resized = [
        bgr_to_rgb_tensor(crop_and_resize(image, box, view, preprocessing.size))
        for image, box in zip(images, boxes, strict=True)
    ]
    inputs: torch.Tensor = evaluation_transform(preprocessing)(torch.stack(resized))
    return inputs
