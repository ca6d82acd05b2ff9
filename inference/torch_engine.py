"""Running networks with PyTorch, the reference backend and the one for GPUs."""

from concurrent.futures import Future

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from inference.image_tensors import bgr_to_rgb_tensor, normalize_rgb


class Preprocessed(nn.Module):
    """A network preceded by its preprocessing.

    Args:
        network: Maps normalized RGB images, shape (B, 3, H, W), float32, to its outputs.
        mean: Mean of each RGB channel, in [0, 1].
        std: Standard deviation of each RGB channel, likewise.
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
        """Run the network.

        Args:
            images: Shape (B, H, W, 3), uint8, BGR.

        Returns:
            The network's first output, shape (B, ...).
        """
        output = self.network(normalize_rgb(bgr_to_rgb_tensor(images), self.mean, self.std))
        first: torch.Tensor = output[0] if isinstance(output, tuple | list) else output
        return first


class TorchEngine:
    """Runs a module synchronously, in the thread that submits.

    Args:
        module: Maps (B, H, W, 3), uint8, BGR to (B, ...).
        device: `cpu` or `cuda:N`.
        bf16: Whether to compute in bfloat16.
        batch_size: Maximum number of images in one forward pass.
    """

    def __init__(self, module: nn.Module, device: str, bf16: bool, batch_size: int) -> None:
        self.device = torch.device(device)
        self.module = module.eval().to(self.device)  # weights need no conversion: channels-last inputs suffice
        self.batch_size = batch_size
        self.bf16 = bf16

    def submit(self, images: NDArray[np.uint8]) -> "Future[NDArray[np.float32]]":
        """Run a batch and return its output, which is already computed."""
        parts = []
        with torch.inference_mode(), torch.autocast(self.device.type, torch.bfloat16, enabled=self.bf16):
            for start in range(0, len(images), self.batch_size):
                inputs = torch.from_numpy(images[start : start + self.batch_size]).to(self.device)
                parts.append(self.module(inputs).float().cpu().numpy())
        done: Future[NDArray[np.float32]] = Future()
        done.set_result(np.concatenate(parts))
        return done


def fast_bfloat16(device: str) -> bool:
    """Whether bfloat16 makes training faster on a device; on CPUs, AVX-512 without AMX makes it slower.

    Args:
        device: `cpu` or `cuda:N`.
    """
    if device.startswith("cuda"):
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return bool(torch.cpu.get_capabilities().get("amx_bf16", False))
