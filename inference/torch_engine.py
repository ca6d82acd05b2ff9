"""Networks in PyTorch: the reference, and the way to a GPU."""

from concurrent.futures import Future

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn


class Preprocessed(nn.Module):
    """A network behind its preprocessing: from frames (B, H, W, 3), uint8, BGR to its first output.

    Args:
        network: From (B, 3, H, W), float32, normalised RGB.
        mean: Subtracted from RGB in [0, 1].
        std: Divided by.
    """

    mean: torch.Tensor
    std: torch.Tensor

    def __init__(
        self,
        network: nn.Module,
        mean: tuple[float, float, float] = (0.0, 0.0, 0.0),
        std: tuple[float, float, float] = (1.0, 1.0, 1.0),
    ) -> None:
        super().__init__()
        self.network = network
        self.register_buffer("mean", torch.tensor(mean).view(3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std).view(3, 1, 1), persistent=False)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Give the first output, of shape (B, ...)."""
        inputs = images.permute(0, 3, 1, 2).flip(1).to(torch.float32) / 255
        output = self.network((inputs - self.mean) / self.std)
        first: torch.Tensor = output[0] if isinstance(output, tuple | list) else output
        return first


class TorchEngine:
    """Runs a module at once, in the thread that submits.

    Args:
        module: From (B, H, W, 3), uint8, BGR to (B, ...).
        device: `cpu` or `cuda:N`.
        bf16: Compute in bfloat16.
        batch_size: Most images in one pass.
    """

    def __init__(self, module: nn.Module, device: str, bf16: bool, batch_size: int) -> None:
        self.device = torch.device(device)
        self.module = module.eval().to(self.device)  # frames come channels last, so that the layers work that way
        self.batch_size = batch_size
        self.bf16 = bf16

    def submit(self, images: NDArray[np.uint8]) -> "Future[NDArray[np.float32]]":
        """Run a batch."""
        parts = []
        with torch.inference_mode(), torch.autocast(self.device.type, torch.bfloat16, enabled=self.bf16):
            for start in range(0, len(images), self.batch_size):
                inputs = torch.from_numpy(images[start : start + self.batch_size]).to(self.device)
                parts.append(self.module(inputs).float().cpu().numpy())
        done: Future[NDArray[np.float32]] = Future()
        done.set_result(np.concatenate(parts))
        return done
