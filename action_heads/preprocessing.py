"""How a frame becomes a network input, for training and for prediction, side by side.

A checkpoint carries its own `Preprocessing`, so that a head is always fed as it was trained.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from action_heads.crops import crop_actor
from common.errors import CheckpointError
from common.files import check_keys

if TYPE_CHECKING:
    import torch
    from torchvision.transforms import v2

STORED_MARGIN = 8 / 7  # frames to augment are kept that much larger than the input (256 for 224), to crop from


@dataclass(frozen=True)
class Preprocessing:
    """What is done to an image before the network sees it.

    Attributes:
        size: Side of the square input in pixels. The whole image is stretched to it, so nothing is cut off.
        mean: Subtracted from RGB in [0, 1]; by default ImageNet's, as torchvision's ResNet weights expect.
        std: Divided by, likewise.
    """

    size: int = 224
    mean: tuple[float, float, float] = (0.485, 0.456, 0.406)
    std: tuple[float, float, float] = (0.229, 0.224, 0.225)

    def to_dict(self) -> dict[str, Any]:
        """Give the fields by name, for a manifest."""
        return asdict(self)

    @classmethod
    def from_dict(cls, content: object, where: str) -> "Preprocessing":
        """Read the fields from a manifest.

        Raises:
            CheckpointError: If a key is missing or unknown, or a value cannot be.
        """
        found = check_keys(content, where, CheckpointError, ["size", "mean", "std"])
        if type(found["size"]) is not int or found["size"] < 1:
            raise CheckpointError(f"{where}: size: a whole number from 1 was expected, found {found['size']!r}")
        for name in ("mean", "std"):
            value = found[name]
            if not isinstance(value, list | tuple) or len(value) != 3 or not all(type(x) is float for x in value):
                raise CheckpointError(f"{where}: {name}: three fractions were expected, found {value!r}")
        if min(found["std"]) <= 0:
            raise CheckpointError(f"{where}: std: three fractions above 0 were expected, found {found['std']!r}")
        return cls(found["size"], tuple(found["mean"]), tuple(found["std"]))

    @property
    def stored_size(self) -> int:
        """Side in pixels at which training keeps its frames."""
        return round(self.size * STORED_MARGIN)


def resize_frame(image: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    """Stretch a frame to a square.

    Args:
        image: Shape (H, W, 3), uint8.
        size: Side in pixels.

    Returns:
        Shape (size, size, 3), uint8, channels as they were.
    """
    import cv2

    shrinking = max(image.shape[:2]) > size
    resized = cv2.resize(image, (size, size), interpolation=cv2.INTER_AREA if shrinking else cv2.INTER_LINEAR)
    return np.asarray(resized, dtype=np.uint8)


def to_tensor(image: NDArray[np.uint8]) -> "torch.Tensor":
    """Turn a BGR image (H, W, 3) into an RGB tensor (3, H, W), both uint8."""
    import torch

    return torch.from_numpy(np.ascontiguousarray(image[..., ::-1])).permute(2, 0, 1)


def evaluation_transform(preprocessing: Preprocessing) -> "v2.Transform":
    """From a stored uint8 RGB tensor (..., 3, S, S) to the input: resize where needed, scale, normalise."""
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
    """The same with a random crop, flip and colour change first."""
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


def to_squares(
    images: Sequence[NDArray[np.uint8]] | NDArray[np.uint8], boxes: NDArray[np.float32], kind: str, size: int
) -> NDArray[np.uint8]:
    """Cut out of whole frames what the network sees, as prediction sees it.

    Args:
        images: Each of shape (H, W, 3), uint8, BGR.
        boxes: The actor's box in each, in pixels, shape (B, 4); NaN where there is none.
        kind: One of `action_heads.crops.INPUT_KINDS`.
        size: Side in pixels.

    Returns:
        Shape (B, size, size, 3), uint8, BGR.
    """
    squares = np.zeros((len(images), size, size, 3), np.uint8)
    for row, (image, box) in enumerate(zip(images, boxes, strict=True)):
        squares[row] = resize_frame(crop_actor(image, box, kind), size)
    return squares


def to_inputs(
    images: NDArray[np.uint8], boxes: NDArray[np.float32], kind: str, preprocessing: Preprocessing
) -> "torch.Tensor":
    """Turn whole frames into network inputs, as prediction sees them.

    Args:
        images: Shape (B, H, W, 3), uint8, BGR.
        boxes: The actor's box in each, in pixels, shape (B, 4); NaN where there is none.
        kind: One of `action_heads.crops.INPUT_KINDS`.
        preprocessing: How the network is fed.

    Returns:
        Shape (B, 3, S, S), float32, normalised RGB.
    """
    import torch

    squares = to_squares(images, boxes, kind, preprocessing.size)
    inputs: torch.Tensor = evaluation_transform(preprocessing)(torch.stack([to_tensor(image) for image in squares]))
    return inputs
