"""How networks are run: the backend (PyTorch, the reference, or OpenVINO, faster on CPUs) and the precision."""

import json
import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock, RLock
from typing import TYPE_CHECKING, Any

from common.errors import UserError
from common.files import write_atomically
from common.heartbeat import preparation
from inference.interfaces import CalibrationImages, Engine, Network
from inference.process_guard import check_process
from inference.separate_process import run_separately

if TYPE_CHECKING:
    from inference.torch_engine import SharedModule

AUTO, TORCH, OPENVINO = "auto", "torch", "openvino"
BACKENDS = (AUTO, TORCH, OPENVINO)
F32, BF16, INT8 = "f32", "bf16", "int8"
PRECISIONS = (AUTO, F32, BF16, INT8)
CPU_BATCH_SIZE, GPU_BATCH_SIZE = 4, 16
MAX_PIXELS = CPU_BATCH_SIZE * 640 * 640  # in one forward pass on a CPU


@dataclass(frozen=True)
class Runtime:
    """How networks are run.

    Attributes:
        backend: `torch` or `openvino`.
        device: `cpu` or `cuda:N`; OpenVINO uses the CPU only.
        precision: `f32`, or `bf16` where the hardware supports it, or `int8` for networks that support it.
        cache: Folder of converted networks; None converts again in every process.
        calibration: What `int8` needs.
    """

    backend: str = TORCH
    device: str = "cpu"
    precision: str = F32
    cache: Path | None = None
    calibration: CalibrationImages | None = None
    _modules: "dict[str, SharedModule]" = field(default_factory=dict, compare=False, repr=False)
    _lock: Lock = field(default_factory=Lock, compare=False, repr=False)
    _shared: dict[tuple[str, tuple[int, int], int], Engine] = field(default_factory=dict, compare=False, repr=False)
    _shared_lock: RLock = field(default_factory=RLock, compare=False, repr=False)

    @property
    def name(self) -> str:
        """What determines outputs besides networks and images, for keys and records, for example `torch f32`."""
        calibrated = f" {self.calibration.key[:8]}" if self.calibration else ""
        return f"{self.backend} {self.precision}{calibrated}"

    @property
    def batch_size(self) -> int:
        """Images in one forward pass, so that it is fast; on a CPU, what few images need stays in its caches."""
        return CPU_BATCH_SIZE if self.device == "cpu" else GPU_BATCH_SIZE

    @preparation()
    def engine(self, network: Network, size: tuple[int, int], batch_size: int) -> Engine:
        """Create an engine for a network.

        Args:
            network: What to run.
            size: Height and width of its images in pixels.
            batch_size: Images in one forward pass; fewer if they are large, so that memory is bounded. A submitted
                batch may have more or fewer.

        Raises:
            UserError: In a process that was forked from one that has run networks.
        """
        if self.device == "cpu":
            batch_size = max(1, min(batch_size, MAX_PIXELS // (size[0] * size[1])))
        if self.backend == OPENVINO:
            from inference.openvino_engine import OpenVinoEngine

            calibration = self.calibration if network.supports_int8 else None
            return OpenVinoEngine(
                network, (batch_size, *size, 3), self.cache, is_bf16=self.precision == BF16, calibration=calibration
            )
        from inference.torch_engine import SharedModule, TorchEngine

        check_process()
        with self._lock:
            if network.key not in self._modules:  # one module for images of all sizes
                self._modules[network.key] = SharedModule(network.build(), self.device)
            module, is_bf16 = self._modules[network.key], self.precision == BF16
        if self.device == "cpu":
            return TorchEngine(module, is_bf16, batch_size)
        from inference.cuda_engine import CudaEngine

        return CudaEngine(module, is_bf16, size, batch_size)

    def shared_engine(self, network: Network, size: tuple[int, int], batch_size: int) -> Engine:
        """Return the engine for a network, size and batch size, which all who ask for the same one share.

        Args:
            network: As for `engine`.
            size: Likewise.
            batch_size: Likewise.

        Raises:
            UserError: In a process that was forked from one that has run networks.
        """
        with self._shared_lock:
            key = (network.key, size, batch_size)
            if key not in self._shared:
                self._shared[key] = self.engine(network, size, batch_size)
            return self._shared[key]

    @preparation()
    def facts(self, key: str, find: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        """Return facts about a network, from the cache where possible, so that it need not be built.

        Args:
            key: Identifies everything that determines the facts, 64 hexadecimal digits.
            find: Finds them, in another process where the network is not needed in this one; they must be serializable
                as JSON.
        """
        if self.backend != OPENVINO:
            return find()
        if self.cache is None:
            return run_separately(find)
        path = self.cache / f"{key}.json"
        try:
            return dict(json.loads(path.read_text(encoding="utf-8")))
        except (OSError, ValueError):
            pass
        facts = run_separately(find)
        try:
            write_atomically(path, json.dumps(facts))
        except OSError as reason:
            logging.getLogger(__name__).warning("%s cannot be cached: %s", path, reason.strerror)
        return facts


def make_runtime(
    backend: str, precision: str, device: str, cache: Path | None, calibration: CalibrationImages | None = None
) -> Runtime:
    """Choose how networks are run.

    Args:
        backend: `auto` selects PyTorch on a GPU, OpenVINO otherwise.
        precision: `auto` selects single precision, the same everywhere.
        device: `cpu` or `cuda:N`.
        cache: Folder of converted networks.
        calibration: Required by `int8`, refused otherwise.

    Raises:
        UserError: If the combination is not available.
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
        precision = F32  # on an H100, a recorded pass of a small network in bfloat16 takes longer: its casts cost more
    if precision == INT8 and backend != OPENVINO:
        raise UserError(f"precision int8 needs backend openvino on the CPU, found {backend} on {device!r}")
    if (precision == INT8) != (calibration is not None):
        raise UserError(
            "precision int8 and --calibration go together: name some clips like those to be tagged, from which the "
            "range of the activations is learned"
        )
    return Runtime(backend, device, precision, cache, calibration)
