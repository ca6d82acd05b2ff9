"""Running networks with PyTorch, the reference backend."""

from concurrent.futures import Future
from threading import Lock

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from common.system import available_cores, reuse_large_allocations
from inference.image_tensors import bgr_to_rgb_tensor, normalize_rgb
from inference.interfaces import pad_batch
from inference.process_guard import check_process


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


class SharedModule:
    """A module for several engines, which one thread at a time may run, because modules may store what they compute.

    Args:
        module: Maps (B, H, W, 3), uint8, BGR to (B, ...).
        device: `cpu` or `cuda:N`.
    """

    def __init__(self, module: nn.Module, device: str) -> None:
        self.device = torch.device(device)
        self.module = module.eval().to(self.device)  # weights need no conversion: channels-last inputs suffice
        self.lock = Lock()


class TorchEngine:
    """Runs a module on the CPU, in the thread that submits.

    Args:
        shared: The module, on the CPU.
        bf16: Whether to compute in bfloat16.
        batch_size: Maximum number of images in one forward pass.
    """

    def __init__(self, shared: SharedModule, bf16: bool, batch_size: int) -> None:
        if torch.get_num_threads() > available_cores():
            torch.set_num_threads(available_cores())  # a container's CPU quota, which torch does not know
        self._shared = shared
        self.batch_size = batch_size
        self.bf16 = bf16

    def submit(self, images: NDArray[np.uint8]) -> "Future[NDArray[np.float32]]":
        """Run a batch and return its output, which is already computed.

        Raises:
            UserError: In a process that was forked from one that has run networks.
        """
        check_process()
        parts = []
        with (
            self._shared.lock,
            reuse_large_allocations(),
            torch.inference_mode(),
            torch.autocast("cpu", torch.bfloat16, enabled=self.bf16),
        ):
            for start in range(0, len(images), self.batch_size):
                part = images[start : start + self.batch_size]
                inputs = torch.from_numpy(pad_batch(part, self.batch_size))
                parts.append(self._shared.module(inputs)[: len(part)].float().numpy())
        done: Future[NDArray[np.float32]] = Future()
        done.set_result(np.concatenate(parts))
        return done

    def release(self) -> None:
        """Do nothing: no memory is reserved between batches."""


def fast_bfloat16(device: str) -> bool:
    """Whether bfloat16 makes training faster on a device; on CPUs, AVX-512 without AMX makes it slower.

    Args:
        device: `cpu` or `cuda:N`.
    """
    if device.startswith("cuda"):
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return bool(torch.cpu.get_capabilities().get("amx_bf16", False))
