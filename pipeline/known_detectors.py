"""The detectors that can be named, and the settings that each is used with unless the command line overrides them."""

from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from actor_detector.detector_settings import DetectorSettings
from common.errors import DetectorError
from common.files import sha256_file
from common.paths import MODELS, PROJECT, kit_folder

EMBEDDED = "embedded"
EMBEDDED_FILE = MODELS / "actor_detector.safetensors"
EMBEDDED_SETTINGS = DetectorSettings(image_size=320, confidence=0.4)
NAMED_SETTINGS = DetectorSettings(image_size=320, confidence=0.3)
"""Of YOLOs that were trained on COCO: best for gates of YOLO26n on clips of sources that were not tuned on."""
PUBLISHED_SETTINGS = DetectorSettings()
PUBLISHED_GATES_FILE = PROJECT / "thresholds" / "paper.yaml"
RECOMMENDED = "yolo26n"


@dataclass(frozen=True)
class DetectorDefaults:
    """What a detector is used with.

    Attributes:
        settings: Image size and confidence threshold.
        thresholds: The gates that were tuned for it; None if there are none.
    """

    settings: DetectorSettings = NAMED_SETTINGS
    thresholds: Path | None = None


KNOWN_DETECTORS = {
    EMBEDDED: DetectorDefaults(EMBEDDED_SETTINGS, PROJECT / "thresholds" / "default.yaml"),
    RECOMMENDED: DetectorDefaults(thresholds=PROJECT / "thresholds" / "yolo26n.yaml"),
    "yolo11n": DetectorDefaults(thresholds=PROJECT / "thresholds" / "yolo11n.yaml"),
    "yolov8n": DetectorDefaults(thresholds=PROJECT / "thresholds" / "yolov8n.yaml"),
}


def detector_defaults(name_or_file: str) -> DetectorDefaults:
    """Return what a detector is used with.

    Args:
        name_or_file: One of `KNOWN_DETECTORS`, or a file. A copy of a known detector's file is recognized by its
            content. Of others, safetensors, as `retrain-detector` writes them, are used like the embedded detector,
            and all else like named detectors; no gates are assumed for them.

    Raises:
        GatesError: If a gate file of the project cannot be read.
    """
    if name_or_file in KNOWN_DETECTORS:
        return KNOWN_DETECTORS[name_or_file]
    with suppress(OSError, ValueError):  # a name, or a file that is reported when it is to be loaded
        state = Path(name_or_file).stat()
        if known := _known_copy(name_or_file, state.st_size, state.st_mtime_ns):
            return known
    return DetectorDefaults(EMBEDDED_SETTINGS) if name_or_file.endswith(".safetensors") else DetectorDefaults()


@cache
def _known_copy(file: str, size: int, mtime_ns: int) -> DetectorDefaults | None:
    """Find the known detector with this content; the file is read again when its size or its time has changed."""
    from thresholds.gates import load_gates

    if not Path(file).is_file():
        return None
    digest = sha256_file(Path(file))
    for known in KNOWN_DETECTORS.values():
        if known.thresholds and load_gates(known.thresholds).detector.sha256 == digest:
            return known
    return None


def find_detector(name_or_file: str) -> Path:
    """Find a detector's weights: a file, the embedded one, or a named detector's file in the weights folder or the kit.

    The weights of a named detector that are in neither folder are downloaded: naming it is the request.

    Args:
        name_or_file: A file, one of `KNOWN_DETECTORS`, or the name of another of Ultralytics' detectors.

    Returns:
        The file.

    Raises:
        DetectorError: If there is no such file.
        DownloadError: If the download fails; the message names the alternatives.
    """
    if name_or_file == EMBEDDED:
        if not EMBEDDED_FILE.is_file():
            raise DetectorError(
                f"{EMBEDDED_FILE}: the embedded detector is missing from this copy of the project: "
                f"install it again, or use --detector {RECOMMENDED}"
            )
        return EMBEDDED_FILE
    if name_or_file not in KNOWN_DETECTORS and Path(name_or_file).is_file():
        return Path(name_or_file)
    from common.downloads import check_owner, download, find_weights

    weights = find_weights(name_or_file)
    if weights is None or weights.file_name != f"{name_or_file}.pt":
        names = ", ".join(KNOWN_DETECTORS)
        raise DetectorError(f"detector {name_or_file!r}: no such file (known names: {names}, Ultralytics' others)")
    if weights.path.is_file():
        check_owner(weights)
        return weights.path
    if (path := kit_folder() / "weights" / weights.file_name).is_file():
        return path
    return download(weights)
