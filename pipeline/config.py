"""Every default of a run, in one place."""

import ctypes
import re
import sys
from dataclasses import dataclass, field
from pathlib import Path

from a2d.taxonomy import A2D_TAXONOMY_FILE
from action_heads.label_decision import LABEL_THRESHOLD
from actor_detector.int8_calibration import calibration_images
from actor_detector.speed_options import SpeedOptions
from common.errors import GatesError, UserError
from common.paths import PROJECT, cache_folder
from inference.runtime import AUTO, Runtime, make_runtime
from pipeline.known_detectors import EMBEDDED, detector_defaults
from video.find_clips import find_clips

EMBEDDED_HEADS = PROJECT / "models" / "heads"
LOOK_EVERY = 0.5  # seconds


@dataclass(frozen=True)
class TaggerConfig:
    """What a run uses.

    Attributes:
        detector: A `.pt` or `.safetensors` file, or one of `pipeline.known_detectors.KNOWN_DETECTORS`.
        heads: Folder with one `<actor>.safetensors` an actor; the embedded ones stand in for those that it lacks.
        thresholds: The gates' file; None takes those that were tuned for the detector.
        taxonomy: The taxonomy's file.
        image_size: Long side in pixels of what the detector sees; None takes the detector's own, published: 224.
        confidence: From which confidence a box counts, in [0, 1]; None takes the detector's own, published: 0.5.
        device: `auto`, `cpu`, `cuda` or `cuda:N`.
        backend: What runs the networks: `auto` (PyTorch on a GPU, else OpenVINO), `torch` or `openvino`.
        precision: What they compute in: `auto` (bfloat16 on a GPU, else single precision), `f32`, `bf16`, or `int8` for
            the detector and `f32` for the heads.
        calibration: Clips, or folders or globs of them, by whose frames the detector is brought to `int8`.
        batch_size: Frames in one forward pass of the detector.
        stride: Every how manieth frame the detector looks at; all are decoded and counted.
        reuse_below: By how many grey levels, on average, a frame must differ from the last one that the detector saw
            to be looked at; 0 looks at all.
        loop_filter: Whether the decoder smooths the edges of its blocks.
        look_every: How often a head looks at a clip while its actor is there, in seconds.
        label_threshold: From which probability an action is said, in [0, 1].
        cache: Folder of kept detections; None keeps none.
        engines: Folder of converted networks; None keeps none.
        force: Use gates that were made for another detector or other settings.
    """

    detector: str = EMBEDDED
    heads: Path = EMBEDDED_HEADS
    thresholds: Path | None = None
    taxonomy: Path = A2D_TAXONOMY_FILE
    image_size: int | None = None
    confidence: float | None = None
    device: str = "auto"
    backend: str = AUTO
    precision: str = AUTO
    calibration: tuple[str, ...] = ()
    batch_size: int = 16
    stride: int = 1
    reuse_below: float = 0.0
    loop_filter: bool = True
    look_every: float = LOOK_EVERY
    label_threshold: float = LABEL_THRESHOLD
    cache: Path | None = None
    engines: Path | None = field(default_factory=lambda: cache_folder() / "engines")
    force: bool = False

    @property
    def detector_settings(self) -> tuple[int, float]:
        """The image size and the confidence that the detector runs with: what was asked for, or its own."""
        own = detector_defaults(self.detector)
        return (
            own.image_size if self.image_size is None else self.image_size,
            own.confidence if self.confidence is None else self.confidence,
        )

    @property
    def runtime(self) -> Runtime:
        """How networks are run on this machine.

        Raises:
            UserError: If what was asked for cannot be had.
        """
        calibration = calibration_images(find_clips(self.calibration)) if self.calibration else None
        return make_runtime(self.backend, self.precision, find_device(self.device), self.engines, calibration)

    @property
    def shortcuts(self) -> SpeedOptions:
        """What stage 1 leaves undone to be faster."""
        return SpeedOptions(self.stride, self.reuse_below, self.loop_filter)

    @property
    def gates_file(self) -> Path:
        """The gates' file: what was asked for, or the detector's own.

        Raises:
            GatesError: If none was asked for and none was tuned for the detector.
        """
        path = self.thresholds or detector_defaults(self.detector).thresholds
        if path is None:
            raise GatesError(
                f"no gates were tuned for detector {self.detector!r}: name their file with --thresholds, "
                "or tune some with tune_thresholds.py"
            )
        return path


def find_device(name: str) -> str:
    """Turn a device's name into one that torch knows and this machine has.

    Args:
        name: `auto` (CUDA where there is one, else the CPU), `cpu`, `cuda` or `cuda:N`.

    Returns:
        `cpu` or `cuda:N`.

    Raises:
        UserError: If there is no such device.
    """
    if not re.fullmatch(r"auto|cpu|cuda(:[0-9]+)?", name):
        raise UserError(f"device {name!r} was given, allowed: auto, cpu, cuda, cuda:N")
    kind, _, number = name.partition(":")
    if kind == "cpu":
        return "cpu"
    if kind == "auto" and not _has_cuda_driver():  # so that torch need not be loaded to know it
        return "cpu"
    import torch

    devices = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if kind == "auto":
        return "cuda:0" if devices else "cpu"
    if int(number or 0) >= devices:
        raise UserError(f"device {name!r} was given, this machine has {devices} CUDA devices")
    return f"cuda:{number or 0}"


def _has_cuda_driver() -> bool:
    try:
        ctypes.CDLL("nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1")
    except OSError:
        return False
    return True
