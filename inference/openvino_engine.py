"""Running networks with OpenVINO; the only module that imports it.

A network is converted from PyTorch once and cached; those that every run needs are shipped converted, since PyTorch
takes seconds to load. A network is always compiled from the converted file, never from memory, because OpenVINO orders
the operations of the two differently, which changes the last bits of the outputs. What it compiles is not cached:
reading that back is hardly faster, and would need a file for every size of images.
"""

import ctypes
import hashlib
import logging
import os
import sys
import tempfile
import warnings
from collections import deque
from collections.abc import Callable
from contextlib import redirect_stdout
from functools import cache, partial
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

import numpy as np
from numpy.typing import NDArray

from common.errors import UserError
from common.files import write_atomically
from common.paths import MODELS
from common.system import available_cores
from inference.interfaces import CalibrationImages, Network, pad_batch
from inference.process_guard import check_process
from inference.separate_process import run_separately

sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]  # prevents telemetry on import

import openvino as ov  # noqa: E402
from openvino import properties  # noqa: E402

if TYPE_CHECKING:
    from torch import nn

SHIPPED = MODELS / "converted"  # networks, as in a cache, whichever version converted them
MAX_STREAMS = 4  # each needs memory of its own; stage 1 never has more batches in progress
REQUESTS_PER_STREAM = 2  # one is computed while the other waits
TRACED_SHAPE = (1, 128, 192, 3)  # for all sizes; multiples of the largest stride of common detectors
CHECKED_SHAPE = (2, 256, 128, 3)
CHECKED_SHARE = 0.99  # of the outputs; among the most confident boxes, the last ones may be others
Shape = tuple[int, ...]
Files = tuple[bytes, bytes]  # graph and weights


class OpenVinoEngine:
    """Runs a network on the CPU, several requests in parallel. May be used by several threads.

    Args:
        network: The network to run.
        shape: Shape of the images in one request, (B, H, W, 3).
        cache: Folder of converted networks; None disables caching.
        is_bf16: Whether to compute in bfloat16 rather than single precision.
        calibration: Images for quantization to 8-bit integers; None disables quantization.
    """

    def __init__(
        self,
        network: Network,
        shape: Shape,
        cache: Path | None,
        *,
        is_bf16: bool = False,
        calibration: CalibrationImages | None = None,
    ) -> None:
        check_process()
        self.batch_size = shape[0]
        cores = available_cores()
        streams = min(cores, MAX_STREAMS)
        settings = {
            properties.hint.inference_precision: ov.Type.bf16 if is_bf16 else ov.Type.f32,
            properties.inference_num_threads: cores,
            properties.num_streams: streams,
            properties.hint.enable_cpu_pinning: False,  # the video decoder shares the cores
        }
        model = _load_or_convert(network, shape, cache, calibration)
        self._compiled = _core().compile_model(model, "CPU", settings)
        self._idle = [self._compiled.create_infer_request() for _ in range(REQUESTS_PER_STREAM * streams)]
        self._running: deque[_Request] = deque()
        self._lock = Lock()
        _engines.add(self)

    def submit(self, images: NDArray[np.uint8]) -> "_OpenVinoOutput":
        """Start a batch; blocks while all requests are running.

        Raises:
            UserError: In a process that was forked from the one that created the engine.
        """
        check_process()
        starts = range(0, len(images), self.batch_size)
        with self._lock:
            return _OpenVinoOutput([self._start(images[start : start + self.batch_size]) for start in starts])

    def release(self) -> None:
        """Wait for what is running, and free the memory that only running requests need."""
        with self._lock:
            while self._running:
                self._idle.append(self._running.popleft().finish())
            self._compiled.release_memory()

    def _start(self, images: NDArray[np.uint8]) -> "_Request":
        count = len(images)
        if not self._idle:
            self._idle.append(self._running.popleft().finish())
        request = _Request(self._idle.pop(), pad_batch(images, self.batch_size), count)
        self._running.append(request)
        return request


class _Request:
    """A running inference request, and its output once it is finished.

    OpenVINO's callbacks are not used: its threads may call them while the interpreter shuts down.
    """

    def __init__(self, infer_request: Any, images: NDArray[np.uint8], count: int) -> None:
        self._infer_request, self._count = infer_request, count
        self._images: NDArray[np.uint8] | None = images  # read in place, so they must live as long as the request runs
        self._output: NDArray[np.float32] | None = None
        self._lock = Lock()
        infer_request.start_async({0: images}, share_inputs=True)

    def finish(self) -> Any:
        """Wait for the output, copy it, and return the infer request for reuse."""
        self.output()
        return self._infer_request

    def output(self) -> NDArray[np.float32]:
        """Wait for the output and return it, shape (B, ...)."""
        with self._lock:  # once it is known, the infer request may be another's
            if self._output is None:
                self._infer_request.wait()
                output = self._infer_request.get_output_tensor(0).data[: self._count]
                self._output = output.astype(np.float32, copy=True)
                self._images = None
            return self._output


class _OpenVinoOutput:
    """The output for one batch, computed by one or more requests."""

    def __init__(self, requests: list[_Request]) -> None:
        self._requests = requests

    def result(self) -> NDArray[np.float32]:
        """Wait for the output and return it, shape (B, ...)."""
        check_process()
        return np.concatenate([request.output() for request in self._requests])


_engines: WeakSet[OpenVinoEngine] = WeakSet()


@cache
def _core() -> ov.Core:
    return ov.Core()


def _keep_for_ever() -> None:
    """Prevent that a forked process destroys its copies of the engines, since that waits for their threads."""
    for kept in [*_engines, _core]:
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(kept))


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_keep_for_ever)


def _load_or_convert(
    network: Network, shape: Shape, cache: Path | None, calibration: CalibrationImages | None
) -> ov.Model:
    """Return the network as an OpenVINO model for images of one shape, from the cache if it is there."""
    version = ov.get_version().split("-")[0]
    sized = f"{network.key}-{'x'.join(map(str, shape))}"
    name = f"{sized}-{version}"
    if calibration:
        name += f"-int8-{calibration.key[:16]}"
    elif network.takes_any_size and (model := _load_or_convert_for_any_size(network, shape, cache, version)):
        return model
    if cache and (model := _read(cache / name)):
        return model
    if not calibration and (model := _read(SHIPPED / sized)):
        return model
    if calibration:
        files = _files(_quantize(_load_or_convert(network, shape, cache, None), shape, calibration))
    else:
        files = run_separately(partial(_convert, network.build, shape))
    return _keep(files, cache, name)


def _load_or_convert_for_any_size(network: Network, shape: Shape, cache: Path | None, version: str) -> ov.Model | None:
    """Do so by means of a conversion that all sizes share; return None for a network of which there is none."""
    any_size = f"{network.key}-any"
    name = f"{any_size}-{version}"
    for path in (cache and cache / name, SHIPPED / any_size):
        if path and (model := _read(path)) and _reshape(model, shape):
            return model
    files = run_separately(partial(_convert_for_any_size, network.build))
    return model if files and _reshape(model := _keep(files, cache, name), shape) else None


def _convert(build: "Callable[[], nn.Module]", shape: Shape) -> Files:
    """Convert a network for images of one shape."""
    model = _trace(build(), shape)
    model.reshape(shape)
    return _files(model)


def _convert_for_any_size(build: "Callable[[], nn.Module]") -> Files | None:
    """Convert a network for images of all shapes; None if that is impossible."""
    module = build()
    model = _trace(module, TRACED_SHAPE)
    return _files(model) if _agrees(model, module, CHECKED_SHAPE) else None


def _trace(module: "nn.Module", shape: Shape) -> ov.Model:
    """Convert a module; what its code computes from a size becomes part of the graph, or a constant."""
    import torch

    example = torch.zeros(shape, dtype=torch.uint8)
    with torch.inference_mode(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # OpenVINO needs traces, which torch has deprecated
        module(example)  # initializes what the module computes lazily, which must not become part of the trace
        return ov.convert_model(torch.jit.trace(module, example, check_trace=False), example_input=example)


def _agrees(model: ov.Model, module: "nn.Module", shape: Shape) -> bool:
    """Return whether a conversion for any size computes what the module does, for another size than the traced one."""
    import torch

    images = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    with torch.inference_mode():
        expected = np.sort(module(torch.from_numpy(images)).float().numpy(), axis=1)
    if not _reshape(reshaped := model.clone(), shape):
        return False
    compiled = _core().compile_model(reshaped, "CPU", {properties.hint.inference_precision: ov.Type.f32})
    found = np.sort(compiled(images)[0], axis=1)  # boxes of nearly the same confidence may change places
    return found.shape == expected.shape and bool(np.isclose(found, expected, 1e-2, 1e-3).mean() >= CHECKED_SHARE)


def _reshape(model: ov.Model, shape: Shape) -> bool:
    try:
        model.reshape(shape)
    except RuntimeError:  # a constant in it has the size of the images from which it was traced
        return False
    return True


def _quantize(model: ov.Model, shape: Shape, calibration: CalibrationImages) -> ov.Model:
    """Quantize a network to 8-bit integers with the activation ranges of the calibration images."""
    with redirect_stdout(sys.stderr):  # NNCF prints progress bars to stdout, which is reserved for results
        import nncf

        nncf.set_log_level(logging.ERROR)
        images = calibration.load((shape[1], shape[2]))
        batches = [np.resize(images[start : start + shape[0]], shape) for start in range(0, len(images), shape[0])]
        return nncf.quantize(
            model, nncf.Dataset(batches), preset=nncf.QuantizationPreset.MIXED, subset_size=len(batches)
        )


def _files(model: ov.Model) -> Files:
    """Return the contents of the files of a converted network."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "network.xml"
        try:
            ov.save_model(model, path, compress_to_fp16=False)
        except RuntimeError as reason:
            raise UserError(f"{folder}: a converted network cannot be written ({reason})") from None
        return path.read_bytes(), path.with_suffix(".bin").read_bytes()


def _keep(files: Files, cache: Path | None, name: str) -> ov.Model:
    """Cache a converted network, and return it as it is when it is read from its files."""
    graph, weights = files
    model = _core().read_model(graph, weights)
    if cache:
        path = cache / name
        try:
            # The weights first, so that an interrupted write never looks like a complete one.
            write_atomically(path.with_name(f"{name}.bin"), weights)
            write_atomically(path.with_name(f"{name}.xml"), graph + _digest(graph, weights))
        except OSError as reason:
            logging.getLogger(__name__).warning("the converted network %s cannot be cached: %s", path, reason.strerror)
    return model


def _read(path: Path) -> ov.Model | None:
    """Read a converted network; None if its files are missing, damaged or of another version of the programs."""
    try:
        graph, weights = (path.with_name(path.name + ending).read_bytes() for ending in (".xml", ".bin"))
    except OSError:
        return None
    length = len(_digest(b"", b""))
    if graph[-length:] != _digest(graph[:-length], weights):
        return None
    try:
        return _core().read_model(graph, weights)
    except RuntimeError:  # the version that converted it knew operations that this one does not
        return None


def _digest(graph: bytes, weights: bytes) -> bytes:
    """Return a comment to be appended to the graph, by which damage to either file is recognized."""
    return b"<!-- sha256 " + hashlib.sha256(graph + weights).hexdigest().encode() + b" -->\n"
