"""Every default of a run, in one place. Importing it is cheap."""

from dataclasses import dataclass, field
from pathlib import Path

from action_heads.defaults import LABEL_THRESHOLD
from actor_detector.detector_settings import DetectorSettings
from actor_detector.speed_options import SpeedOptions
from common.errors import GatesError
from common.paths import A2D_TAXONOMY_FILE, MODELS, cache_folder
from common.remote_folders import AnyFolder
from common.trusted_files import trusted_folder
from inference.devices import find_device
from inference.runtime import AUTO, Runtime, make_runtime
from pipeline.known_detectors import EMBEDDED, detector_defaults
from pipeline.known_heads import EMBEDDED_HEADS

EMBEDDED_CONFIRMATION = MODELS / "box_confirmation.safetensors"
NO_CONFIRMATION = "none"


@dataclass(frozen=True)
class TaggerConfig:
    """What a run uses.

    Attributes:
        detector: A `.pt` or `.safetensors` file, or one of `pipeline.known_detectors.KNOWN_DETECTORS`.
        heads: Folder with one `<actor>.safetensors` per actor; embedded heads replace those that it lacks.
        confirmation: The file of layers that confirm the detector's boxes, or `none`; `auto` confirms them with the
            embedded layers if the gates were tuned that way, or no gates are known.
        thresholds: The gate file; None selects the gates that were tuned for the detector.
        taxonomy: The taxonomy file.
        image_size: Long side of the detector's input in pixels; None selects that of the gate file, if one is named and
            not forced, otherwise the detector's default; published: 224.
        confidence: Minimum confidence of a box, in [0, 1]; None selects one as for the image size; published: 0.5.
        device: `auto`, `cpu`, `cuda` or `cuda:N`.
        backend: What runs the networks: `auto` (PyTorch on a GPU, OpenVINO otherwise), `torch` or `openvino`.
        precision: What they compute in: `auto` (single precision), `f32`, `bf16`, or
            `int8` for the detector and `f32` for the heads.
        calibration: Clips, or folders or globs of clips, from whose frames the quantization to `int8` is calibrated.
        batch_size: Frames in one forward pass of the detector; None selects what is fast on the device.
        stride: The detector processes every Nth frame; all frames are decoded and counted.
        reuse_below: A frame reuses the boxes of the last processed one if they differ by less than so many grey levels
            on average; 0 processes all frames.
        loop_filter: Whether the decoder applies the codec's deblocking filter.
        until_sure: The detector looks at few frames, and at more only until every gate's decision is sure: the share of
            decisions that may differ from those of every frame, in (0, 1); None looks at every frame.
        seed: Of the random choice of those frames.
        sample_every_seconds: How often a head is given a frame while its actor is visible, in seconds.
        label_threshold: Minimum probability of a predicted action, in [0, 1]; None chooses it for each clip, see
            `action_heads.label_decision.best_threshold`.
        cache: Folder of cached detections, of this machine or in a store; None caches none.
        engines: Folder of converted networks; None caches none.
        force: Use gates that were tuned for another detector or other settings.
        trust_weights: Unpickle a `.pt` detector even if that may run code from it.
        system: Another system that tags instead of the two stages: its file, or one of `rivals.registry.NAMES`.
    """

    detector: str = EMBEDDED
    heads: Path = EMBEDDED_HEADS
    confirmation: str = AUTO
    thresholds: Path | None = None
    taxonomy: Path = A2D_TAXONOMY_FILE
    image_size: int | None = None
    confidence: float | None = None
    device: str = "auto"
    backend: str = AUTO
    precision: str = AUTO
    calibration: tuple[str, ...] = ()
    batch_size: int | None = None
    stride: int = 1
    reuse_below: float = 0.0
    loop_filter: bool = True
    until_sure: float | None = None
    seed: int = 0
    sample_every_seconds: float = 0.5
    label_threshold: float | None = None
    cache: AnyFolder | None = None
    engines: Path | None = field(default_factory=lambda: cache_folder() / "engines")
    force: bool = False
    trust_weights: bool = False
    system: str | None = None

    @property
    def detector_settings(self) -> DetectorSettings:
        """The detector's image size and confidence threshold: as requested, or those of the gates, or its defaults.

        Raises:
            GatesError: If the requested gate file cannot be read.
        """
        defaults = detector_defaults(self.detector).settings
        if self.thresholds and not self.force and None in (self.image_size, self.confidence):
            from thresholds.gates import load_gates

            tuned_for = load_gates(self.thresholds).detector
            defaults = DetectorSettings(tuned_for.image_size, tuned_for.confidence)
        return DetectorSettings(
            defaults.image_size if self.image_size is None else self.image_size,
            defaults.confidence if self.confidence is None else self.confidence,
        )

    @property
    def confirmation_file(self) -> Path | None:
        """The layers that confirm the detector's boxes; None if none do.

        Raises:
            GatesError: If the gate file cannot be read.
        """
        if self.confirmation != AUTO:
            return None if self.confirmation == NO_CONFIRMATION else Path(self.confirmation)
        from thresholds.gates import load_gates

        gates_file = self.thresholds or detector_defaults(self.detector).thresholds
        if gates_file and not load_gates(gates_file).detector.confirmation:
            return None
        return EMBEDDED_CONFIRMATION

    @property
    def moment_threshold(self) -> float:
        """Minimum probability of an action at a moment, for segments; the clip as a whole may ask for another."""
        return LABEL_THRESHOLD if self.label_threshold is None else self.label_threshold

    @property
    def speed_options(self) -> SpeedOptions:
        """What stage 1 skips in order to be faster."""
        return SpeedOptions(self.stride, self.reuse_below, self.loop_filter)

    @property
    def gates_file(self) -> Path:
        """The gate file: as requested, or the detector's own.

        Raises:
            GatesError: If none was requested and none was tuned for the detector.
        """
        path = self.thresholds or detector_defaults(self.detector).thresholds
        if path is None:
            raise GatesError(
                f"no gates were tuned for detector {self.detector!r}: name a gate file with --thresholds, "
                "or tune gates with tune_thresholds.py"
            )
        return path


def build_runtime(config: TaggerConfig) -> Runtime:
    """Create the runtime of a run: once, because the calibration clips are hashed and the device is detected.

    Raises:
        UserError: If what was requested is not available.
    """
    calibration = None
    if config.calibration:
        from actor_detector.int8_calibration import calibration_images
        from video.find_clips import find_clips

        calibration = calibration_images(find_clips(config.calibration))
    engines = trusted_folder(config.engines, "converted networks")
    return make_runtime(config.backend, config.precision, find_device(config.device), engines, calibration)
