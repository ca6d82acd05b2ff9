"""Interfaces between networks and the engines that run them."""

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import nn


class PendingOutput(Protocol):
    """The output of a network for one batch, which may still be being computed."""

    def result(self) -> "NDArray[np.float32]":
        """Wait for the output and return it, shape (B, ...)."""


class Engine(Protocol):
    """Runs one network on images of one size. May be used by several threads."""

    def submit(self, images: "NDArray[np.uint8]") -> PendingOutput:
        """Start a batch.

        Args:
            images: Shape (B, H, W, 3), uint8, BGR; must not change until the output is there.

        Returns:
            The output, shape (B, ...).

        Raises:
            UserError: In a process that was forked from one that has run networks.
        """

    def release(self) -> None:
        """Wait for what is running, and free the memory that only running batches need."""


@dataclass(frozen=True)
class Network:
    """A network that can be built.

    Engines identify it by its key, and build it only if they have not cached it in their own form, so that a run from
    cached networks never loads PyTorch.

    Attributes:
        key: Identifies everything that determines its outputs, 64 hexadecimal digits.
        build: Builds the torch module, in evaluation mode: from (B, H, W, 3), uint8, BGR to (B, ...), float32.
        supports_int8: Whether it may be quantized to 8-bit integers; otherwise it stays in single precision.
        takes_any_size: Whether it runs on images of several sizes, for which it is then converted once.
    """

    key: str
    build: "Callable[[], nn.Module]"
    supports_int8: bool = False
    takes_any_size: bool = False


@dataclass(frozen=True)
class CalibrationImages:
    """Images from which quantization learns the range of the activations.

    Attributes:
        key: Identifies everything that determines the images, 64 hexadecimal digits.
        load: Returns them for a height and width in pixels, shape (N, H, W, 3), uint8, BGR.
    """

    key: str
    load: "Callable[[tuple[int, int]], NDArray[np.uint8]]"


def pad_batch(images: "NDArray[np.uint8]", size: int) -> "NDArray[np.uint8]":
    """Append black images to a batch (B, H, W, 3) until it has a given size.

    Libraries choose how they compute by the size of a batch. So that an image's output does not depend on how many
    others there are, engines run full batches only.
    """
    import numpy as np

    missing = size - len(images)
    return np.concatenate([images, np.zeros((missing, *images.shape[1:]), np.uint8)]) if missing > 0 else images


def content_key(*parts: object) -> str:
    """Hash the parts that determine a result into a key for it.

    Args:
        *parts: Whatever JSON can hold.

    Returns:
        64 hexadecimal digits.
    """
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()
