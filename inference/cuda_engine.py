"""Running networks on a CUDA device: a pass is recorded once, then replayed, while the caller prepares the next batch.

A small network has hundreds of layers of a few microseconds each on a GPU; starting them one by one from Python takes
longer than they do. A CUDA graph starts all of them at once. Inputs and outputs pass through page-locked memory, so
that copying them needs no waiting.
"""

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

from inference.process_guard import check_process

if TYPE_CHECKING:
    from inference.torch_engine import SharedModule

WARM_UP_PASSES = 3  # before a pass is recorded, libraries choose their kernels and allocate their memory


class CudaEngine:
    """Starts a module on images of one size without waiting for it.

    Args:
        shared: The module, and the CUDA device that it is on.
        bf16: Whether to compute in bfloat16.
        size: Height and width of the images in pixels.
        batch_size: Images in one forward pass; smaller batches are filled up, so that an image's output does not depend
            on how many others there are.
    """

    def __init__(self, shared: "SharedModule", bf16: bool, size: tuple[int, int], batch_size: int) -> None:
        self.batch_size = batch_size
        self.bf16 = bf16
        self._shared = shared
        self._shape = (batch_size, *size, 3)
        self._pass: _Pass | None = None

    def submit(self, images: NDArray[np.uint8]) -> "CudaOutput":
        """Start a batch. The images are copied: they may change at once.

        Raises:
            UserError: In a process that was forked from one that has run networks.
        """
        check_process()
        device = self._shared.device
        parts = []
        with self._shared.lock, torch.cuda.device(device), torch.inference_mode():
            if self._pass is None:
                self._pass = _Pass(self._shared, self.bf16, self._shape)
            for start in range(0, len(images), self.batch_size):
                parts.append(self._pass.start(images[start : start + self.batch_size]))
            done = torch.cuda.Event()
            done.record()
        return CudaOutput(parts, done)

    def release(self) -> None:
        """Free the recorded pass and its memory; the next batch records it again."""
        with self._shared.lock, torch.cuda.device(self._shared.device):
            torch.cuda.current_stream().synchronize()
            self._pass = None


class CudaOutput:
    """The output for a batch, which may still be being computed.

    Args:
        parts: Page-locked tensors, each of shape (B, ...), float32, which are there once `done` is.
        done: Recorded after the last copy.
    """

    def __init__(self, parts: Sequence[torch.Tensor], done: torch.cuda.Event) -> None:
        self._parts, self._done = parts, done

    def result(self) -> NDArray[np.float32]:
        """Wait for the output and return it, shape (B, ...)."""
        self._done.synchronize()
        return np.concatenate([part.numpy() for part in self._parts])  # a copy: page-locked memory is scarce


class _Pass:
    """One forward pass, recorded as a CUDA graph where the module allows it.

    All threads use the device's default stream, so that what is started first ends first: the buffers of the recorded
    pass are free for the next batch as soon as that is started.
    """

    def __init__(self, shared: "SharedModule", bf16: bool, shape: tuple[int, ...]) -> None:
        self._module, self._bf16 = shared.module, bf16
        self._inputs = torch.zeros(shape, dtype=torch.uint8, device=shared.device)
        self._graph: torch.cuda.CUDAGraph | None = None
        self._outputs = self._record()

    def start(self, images: NDArray[np.uint8]) -> torch.Tensor:
        """Start a pass over at most as many images as it has room for; return where their output will be."""
        waiting = torch.empty(self._inputs.shape, dtype=torch.uint8, pin_memory=True)
        waiting[: len(images)] = torch.from_numpy(images)
        waiting[len(images) :] = 0
        self._inputs.copy_(waiting, non_blocking=True)
        if self._graph:
            self._graph.replay()
        else:
            self._outputs = self._forward()
        found = self._outputs[: len(images)]
        output = torch.empty(found.shape, dtype=torch.float32, pin_memory=True)
        return output.copy_(found, non_blocking=True)

    def _record(self) -> torch.Tensor:
        aside = torch.cuda.Stream()
        aside.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(aside):
            for _ in range(WARM_UP_PASSES):
                outputs = self._forward()
        torch.cuda.current_stream().wait_stream(aside)
        graph = torch.cuda.CUDAGraph()
        try:
            # other threads may be using the device, and a graph cannot contain copies of what they allocate
            with torch.cuda.graph(graph, stream=aside, capture_error_mode="thread_local"):
                outputs = self._forward()
        except RuntimeError as reason:  # for example because a number is read back to decide what comes next
            logging.getLogger(__name__).debug("the network cannot be recorded (%s); it is run layer by layer", reason)
            return outputs
        self._graph = graph
        return outputs

    def _forward(self) -> torch.Tensor:
        # tensors that the module creates from nothing, like a detector's grid, are created on the device
        with self._inputs.device, torch.autocast("cuda", torch.bfloat16, enabled=self._bf16):
            outputs: torch.Tensor = self._module(self._inputs)
            return outputs.float()
