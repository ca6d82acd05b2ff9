"""Networks in OpenVINO: the only file that knows it.

A network is converted from PyTorch once and kept; so is what OpenVINO compiles of it for this machine.
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

sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]  # importing OpenVINO would phone home

import openvino as ov  # noqa: E402
from openvino import properties  # noqa: E402

REQUESTS_A_STREAM = 2  # one that computes, one that is ready to


class OpenVinoEngine:
    """Runs a network on the CPU, several requests at a time, each on one core. For one thread to use.

    Args:
        network: What to run.
        shape: Of the images in one request (B, H, W, 3).
        cache: Folder of converted and compiled networks; None keeps nothing.
        is_bf16: Whether it computes in bfloat16, not in single precision.
        calibration: Images by which it is brought to 8 bits; None leaves it as it is.
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
            properties.hint.enable_cpu_pinning: False,  # the decoder wants its share of every core
        }
        model = _convert(core, network, shape, cache, calibration)
        if cache and os.access(cache, os.W_OK):
            settings[properties.cache_dir] = str(cache)
        self._compiled = core.compile_model(model, "CPU", settings)
        self._idle = [self._compiled.create_infer_request() for _ in range(REQUESTS_A_STREAM * available_cores())]
        self._busy: deque[_Part] = deque()

    def submit(self, images: NDArray[np.uint8]) -> "_OpenVinoAnswer":
        """Start on a batch; waits while all requests are taken."""
        starts = range(0, len(images), self.batch_size)
        return _OpenVinoAnswer([self._start(images[start : start + self.batch_size]) for start in starts])

    def _start(self, images: NDArray[np.uint8]) -> "_Part":
        rows = len(images)
        if rows < self.batch_size:  # compiled for full batches: what fills it up is thrown away
            images = np.concatenate([images, np.zeros((self.batch_size - rows, *images.shape[1:]), np.uint8)])
        if not self._idle:
            self._idle.append(self._busy.popleft().collect())
        part = _Part(self._idle.pop(), images, rows)
        self._busy.append(part)
        return part


class _Part:
    """One request at work, and its output once it was collected.

    OpenVINO could call back instead; but then a thread of its own might want Python when that is gone already.
    """

    def __init__(self, request: Any, images: NDArray[np.uint8], rows: int) -> None:
        self._request, self._images, self._rows = request, images, rows  # the request reads the images where they are
        self._output: NDArray[np.float32] | None = None
        request.start_async({0: images}, share_inputs=True)

    def collect(self) -> Any:
        """Wait for the output and keep it; gives the request, which may be used again."""
        if self._output is None:
            self._request.wait()
            self._output = self._request.get_output_tensor(0).data[: self._rows].astype(np.float32, copy=True)
        return self._request

    def output(self) -> NDArray[np.float32]:
        """Wait for the output."""
        self.collect()
        assert self._output is not None
        return self._output


class _OpenVinoAnswer:
    """The answer to one batch, of one request or several."""

    def __init__(self, parts: list[_Part]) -> None:
        self._parts = parts

    def result(self) -> NDArray[np.float32]:
        """Wait for the answer (B, ...)."""
        return np.concatenate([part.output() for part in self._parts])


def _convert(
    core: ov.Core, network: Network, shape: tuple[int, ...], cache: Path | None, calibration: CalibrationImages | None
) -> ov.Model:
    """Give the network in OpenVINO's form for images of one shape: kept, or converted now."""
    name = [network.key, "x".join(map(str, shape)), ov.get_version().split("-")[0]]
    name += ["int8", calibration.key[:16]] if calibration else []
    kept = cache / f"{'-'.join(name)}.xml" if cache else None
    if kept and kept.is_file() and kept.with_suffix(".bin").is_file():
        return core.read_model(kept)
    model = _from_torch(network, shape)
    if calibration:
        model = _quantize(model, shape, calibration)
    if kept:
        _keep(model, kept)
    return model


def _quantize(model: ov.Model, shape: tuple[int, ...], calibration: CalibrationImages) -> ov.Model:
    """Bring a network to 8 bits, by images that are like those that it will see."""
    with redirect_stdout(sys.stderr):  # NNCF draws progress bars there, and stdout is for results
        import nncf

        nncf.set_log_level(logging.ERROR)
        images = calibration.load((shape[1], shape[2]))
        batches = [np.resize(images[start : start + shape[0]], shape) for start in range(0, len(images), shape[0])]
        return nncf.quantize(
            model, nncf.Dataset(batches), preset=nncf.QuantizationPreset.MIXED, subset_size=len(batches)
        )


def _keep(model: ov.Model, path: Path) -> None:
    """Write a converted network, its weights first: a description without them would be taken for a kept network."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=path.parent) as folder:
            growing = Path(folder) / path.name
            ov.save_model(model, growing, compress_to_fp16=False)
            growing.with_suffix(".bin").replace(path.with_suffix(".bin"))
            growing.replace(path)
    except OSError as reason:
        logging.getLogger(__name__).warning("the converted network %s cannot be kept: %s", path, reason.strerror)


def _from_torch(network: Network, shape: tuple[int, ...]) -> ov.Model:
    import torch

    module, example = network.build(), torch.zeros(shape, dtype=torch.uint8)
    with torch.inference_mode(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # OpenVINO reads traces, which torch wants to see the end of
        module(example)  # what a network works out at its first image must not be traced
        model = ov.convert_model(torch.jit.trace(module, example, check_trace=False), example_input=example)
    model.reshape(shape)
    return model
