"""Running networks with OpenVINO; the only module that imports it.

A network is converted from PyTorch once and cached, and so is what OpenVINO compiles from it for this machine.
"""

import logging
import os
import sys
import tempfile
import warnings
from collections import deque
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from common.system import available_cores
from inference.interfaces import CalibrationImages, Network

sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]  # prevents telemetry on import

import openvino as ov  # noqa: E402
from openvino import properties  # noqa: E402

REQUESTS_PER_STREAM = 2  # one is computed while the other waits


class OpenVinoEngine:
    """Runs a network on the CPU, several requests in parallel, each on one core. Not thread-safe.

    Args:
        network: The network to run.
        shape: Shape of the images in one request, (B, H, W, 3).
        cache: Folder of converted and compiled networks; None disables caching.
        is_bf16: Whether to compute in bfloat16 rather than single precision.
        calibration: Images for quantization to 8-bit integers; None disables quantization.
    """

    def __init__(
        self,
        network: Network,
        shape: tuple[int, ...],
        cache: Path | None,
        *,
        is_bf16: bool = False,
        calibration: CalibrationImages | None = None,
    ) -> None:
        self.batch_size = shape[0]
        core = ov.Core()
        settings = {
            properties.hint.inference_precision: ov.Type.bf16 if is_bf16 else ov.Type.f32,
            properties.inference_num_threads: available_cores(),
            properties.num_streams: available_cores(),
            properties.hint.enable_cpu_pinning: False,  # the video decoder shares the cores
        }
        model = _load_or_convert(core, network, shape, cache, calibration)
        if cache and os.access(cache, os.W_OK):
            settings[properties.cache_dir] = str(cache)
        self._compiled = core.compile_model(model, "CPU", settings)
        self._idle = [self._compiled.create_infer_request() for _ in range(REQUESTS_PER_STREAM * available_cores())]
        self._running: deque[_Request] = deque()

    def submit(self, images: NDArray[np.uint8]) -> "_OpenVinoOutput":
        """Start a batch; blocks while all requests are running."""
        starts = range(0, len(images), self.batch_size)
        return _OpenVinoOutput([self._start(images[start : start + self.batch_size]) for start in starts])

    def _start(self, images: NDArray[np.uint8]) -> "_Request":
        count = len(images)
        if count < self.batch_size:  # the network is compiled for full batches; the output of the padding is dropped
            images = np.concatenate([images, np.zeros((self.batch_size - count, *images.shape[1:]), np.uint8)])
        if not self._idle:
            self._idle.append(self._running.popleft().finish())
        request = _Request(self._idle.pop(), images, count)
        self._running.append(request)
        return request


class _Request:
    """A running inference request, and its output once it is finished.

    OpenVINO's callbacks are not used: its threads may call them while the interpreter shuts down.
    """

    def __init__(self, infer_request: Any, images: NDArray[np.uint8], count: int) -> None:
        self._infer_request, self._count = infer_request, count
        self._images = images  # OpenVINO reads them in place, so they must live as long as the request runs
        self._output: NDArray[np.float32] | None = None
        infer_request.start_async({0: images}, share_inputs=True)

    def finish(self) -> Any:
        """Wait for the output, copy it, and return the infer request for reuse."""
        if self._output is None:
            self._infer_request.wait()
            output = self._infer_request.get_output_tensor(0).data[: self._count]
            self._output = output.astype(np.float32, copy=True)
        return self._infer_request

    def output(self) -> NDArray[np.float32]:
        """Wait for the output and return it, shape (B, ...)."""
        self.finish()
        assert self._output is not None
        return self._output


class _OpenVinoOutput:
    """The output for one batch, computed by one or more requests."""

    def __init__(self, requests: list[_Request]) -> None:
        self._requests = requests

    def result(self) -> NDArray[np.float32]:
        """Wait for the output and return it, shape (B, ...)."""
        return np.concatenate([request.output() for request in self._requests])


def _load_or_convert(
    core: ov.Core, network: Network, shape: tuple[int, ...], cache: Path | None, calibration: CalibrationImages | None
) -> ov.Model:
    """Return the network as an OpenVINO model for images of one shape, from the cache if it is there."""
    name = [network.key, "x".join(map(str, shape)), ov.get_version().split("-")[0]]
    name += ["int8", calibration.key[:16]] if calibration else []
    cached = cache / f"{'-'.join(name)}.xml" if cache else None
    if cached and cached.is_file() and cached.with_suffix(".bin").is_file():
        return core.read_model(cached)
    model = _convert(network, shape)
    if calibration:
        model = _quantize(model, shape, calibration)
    if cached:
        _save(model, cached)
    return model


def _convert(network: Network, shape: tuple[int, ...]) -> ov.Model:
    import torch

    module, example = network.build(), torch.zeros(shape, dtype=torch.uint8)
    with torch.inference_mode(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # OpenVINO needs traces, which torch has deprecated
        module(example)  # initializes what the module computes lazily, which must not become part of the trace
        model = ov.convert_model(torch.jit.trace(module, example, check_trace=False), example_input=example)
    model.reshape(shape)
    return model


def _quantize(model: ov.Model, shape: tuple[int, ...], calibration: CalibrationImages) -> ov.Model:
    """Quantize a network to 8-bit integers with the activation ranges of the calibration images."""
    with redirect_stdout(sys.stderr):  # NNCF prints progress bars to stdout, which is reserved for results
        import nncf

        nncf.set_log_level(logging.ERROR)
        images = calibration.load((shape[1], shape[2]))
        batches = [np.resize(images[start : start + shape[0]], shape) for start in range(0, len(images), shape[0])]
        return nncf.quantize(
            model, nncf.Dataset(batches), preset=nncf.QuantizationPreset.MIXED, subset_size=len(batches)
        )


def _save(model: ov.Model, path: Path) -> None:
    """Write a converted network, the weights first, so that an interrupted write never looks like a complete one."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=path.parent) as folder:
            temporary = Path(folder) / path.name
            ov.save_model(model, temporary, compress_to_fp16=False)
            temporary.with_suffix(".bin").replace(path.with_suffix(".bin"))
            temporary.replace(path)
    except OSError as reason:
        logging.getLogger(__name__).warning("the converted network %s cannot be cached: %s", path, reason.strerror)
