"""What runs a network: PyTorch, the reference, or OpenVINO, which is faster on CPUs. Both behind one interface.

A network is told by what decides its answers, and built only when an engine has not kept it in its own form, so that a
run from kept networks never loads PyTorch.
"""

import hashlib
import json
import logging
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from a2d.errors import UserError
from a2d.files import write_atomically

if TYPE_CHECKING:
    from torch import nn

AUTO, TORCH, OPENVINO = "auto", "torch", "openvino"
BACKENDS = (AUTO, TORCH, OPENVINO)
F32, BF16, INT8 = "f32", "bf16", "int8"
PRECISIONS = (AUTO, F32, BF16, INT8)


class Answer(Protocol):
    """What a network will say of a batch."""

    def result(self) -> NDArray[np.float32]:
        """Wait for the answer (B, ...)."""


class Engine(Protocol):
    """Runs one network on images of one size."""

    def submit(self, images: NDArray[np.uint8]) -> Answer:
        """Start on a batch (B, H, W, 3), uint8, BGR, which must stay as it is until the answer (B, ...) is there."""


@dataclass(frozen=True)
class Network:
    """A network that can be built.

    Attributes:
        key: Names all that decides its answers, 64 hexadecimal digits.
        build: Makes the torch module, in evaluation mode: from (B, H, W, 3), uint8, BGR to (B, ...), float32.
        bears_int8: Whether it may compute in whole numbers of 8 bits; else it computes in single precision.
    """

    key: str
    build: "Callable[[], nn.Module]"
    bears_int8: bool = False


@dataclass(frozen=True)
class Calibration:
    """Images that show how large the values inside a network get, from which their scale in 8 bits is chosen.

    Attributes:
        key: Names all that decides the images, 64 hexadecimal digits.
        images: Gives them for a height and width in pixels, shape (N, H, W, 3), uint8, BGR.
    """

    key: str
    images: Callable[[tuple[int, int]], NDArray[np.uint8]]


@dataclass(frozen=True)
class Runtime:
    """How networks are run.

    Attributes:
        backend: `torch` or `openvino`.
        device: `cpu` or `cuda:N`; OpenVINO's is the CPU.
        precision: `f32`, or `bf16` where the hardware computes in it, or `int8` for networks that bear it.
        cache: Folder of converted networks; None converts anew in every process.
        calibration: What `int8` needs.
    """

    backend: str = TORCH
    device: str = "cpu"
    precision: str = F32
    cache: Path | None = None
    calibration: Calibration | None = None
    _modules: "dict[str, nn.Module]" = field(default_factory=dict, compare=False, repr=False)

    @property
    def name(self) -> str:
        """What decides answers beside networks and images, for keys and records: `torch f32`, for example."""
        calibrated = f" {self.calibration.key[:8]}" if self.calibration else ""
        return f"{self.backend} {self.precision}{calibrated}"

    def engine(self, network: Network, size: tuple[int, int], batch_size: int) -> Engine:
        """Make an engine for a network.

        Args:
            network: What to run.
            size: Height and width in pixels of its images.
            batch_size: Images in one pass; a batch that is submitted may have more or fewer.
        """
        if self.backend == OPENVINO:
            from a2d.openvino_engine import OpenVinoEngine

            calibration = self.calibration if network.bears_int8 else None
            return OpenVinoEngine(
                network, (batch_size, *size, 3), self.cache, is_bf16=self.precision == BF16, calibration=calibration
            )
        from a2d.torch_engine import TorchEngine

        if network.key not in self._modules:  # one for images of all sizes
            self._modules[network.key] = network.build()
        return TorchEngine(self._modules[network.key], self.device, self.precision == BF16, batch_size)

    def facts(self, key: str, find: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        """Give what is known of a network without building it, from the cache where it is kept.

        Args:
            key: Names all that decides the facts, 64 hexadecimal digits.
            find: Finds them; what JSON can hold.
        """
        if self.backend != OPENVINO or self.cache is None:
            return find()
        path = self.cache / f"{key}.json"
        try:
            return dict(json.loads(path.read_text(encoding="utf-8")))
        except (OSError, ValueError):
            pass
        facts = find()
        try:
            write_atomically(path, json.dumps(facts))
        except OSError as reason:
            logging.getLogger(__name__).warning("%s cannot be kept: %s", path, reason.strerror)
        return facts


def make_runtime(
    backend: str, precision: str, device: str, cache: Path | None, calibration: Calibration | None = None
) -> Runtime:
    """Choose how networks are run.

    Args:
        backend: `auto` takes PyTorch on a GPU, else OpenVINO where it is installed.
        precision: `auto` computes in bfloat16 on a GPU, else in single precision.
        device: `cpu` or `cuda:N`.
        cache: Folder of converted networks.
        calibration: What `int8` needs, and nothing else takes.

    Raises:
        UserError: If the choice cannot be had.
    """
    for name, value, allowed in (("backend", backend, BACKENDS), ("precision", precision, PRECISIONS)):
        if value not in allowed:
            raise UserError(f"{name} {value!r} was given, allowed: {', '.join(allowed)}")
    on_gpu = device != "cpu"
    if backend == AUTO:
        backend = TORCH if on_gpu else OPENVINO
    if backend == OPENVINO and on_gpu:
        raise UserError(f"backend openvino runs on the CPU, device {device!r} was given")
    if precision == AUTO:
        precision = BF16 if on_gpu else F32
    if precision == INT8 and backend != OPENVINO:
        raise UserError(f"precision int8 needs backend openvino on the CPU, found {backend} on {device!r}")
    if (precision == INT8) != (calibration is not None):
        raise UserError(
            "precision int8 and --calibration go together: name some clips like those that will be tagged, from which "
            "the scale of the network's values is learned"
        )
    return Runtime(backend, device, precision, cache, calibration)


def key_of(*parts: object) -> str:
    """Name a network by what decides its answers.

    Returns:
        64 hexadecimal digits.
    """
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def cores() -> int:
    """Count the cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
