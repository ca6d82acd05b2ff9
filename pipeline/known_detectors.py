"""The detectors that a name stands for, and what each is used with unless the command line says otherwise."""

from dataclasses import dataclass
from pathlib import Path

from actor_detector.yolo import PUBLISHED_CONFIDENCE, PUBLISHED_IMAGE_SIZE
from common.downloads import KNOWN_WEIGHTS, download
from common.errors import DetectorError
from common.paths import PROJECT, kit_folder

EMBEDDED = "embedded"
EMBEDDED_FILE = PROJECT / "models" / "actor_detector.safetensors"
EMBEDDED_IMAGE_SIZE = 320
EMBEDDED_CONFIDENCE = 0.4
RECOMMENDED = "yolo26n"


@dataclass(frozen=True)
class DetectorDefaults:
    """What a detector is used with.

    Attributes:
        image_size: Long side in pixels of what it sees.
        confidence: From which confidence a box counts, in [0, 1].
        thresholds: The gates that were tuned for it; None where there are none.
    """

    image_size: int = PUBLISHED_IMAGE_SIZE
    confidence: float = PUBLISHED_CONFIDENCE
    thresholds: Path | None = None


_OURS = DetectorDefaults(EMBEDDED_IMAGE_SIZE, EMBEDDED_CONFIDENCE)
KNOWN_DETECTORS = {
    EMBEDDED: DetectorDefaults(EMBEDDED_IMAGE_SIZE, EMBEDDED_CONFIDENCE, PROJECT / "thresholds" / "default.yaml"),
    RECOMMENDED: DetectorDefaults(thresholds=PROJECT / "thresholds" / "yolo26n.yaml"),
    "yolo11n": DetectorDefaults(),
    "yolov8n": DetectorDefaults(),
}


def detector_defaults(spec: str) -> DetectorDefaults:
    """Say what a detector is used with.

    Args:
        spec: One of `KNOWN_DETECTORS`, or a file: safetensors, as `retrain_detector.py` writes them, are used as the
            embedded detector is, other files as published. No gates are assumed for a file.
    """
    if spec in KNOWN_DETECTORS:
        return KNOWN_DETECTORS[spec]
    return _OURS if spec.endswith(".safetensors") else DetectorDefaults()


def find_detector(spec: str) -> Path:
    """Find the detector's weights: a file, the embedded one, or a known name's file in the weights folder or the kit.

    A known name whose file is in neither is downloaded: naming it is the request.

    Args:
        spec: A file, or one of `KNOWN_DETECTORS`.

    Returns:
        The file.

    Raises:
        DetectorError: If there is no such file.
        DownloadError: If the download cannot be had; the message says what to do instead.
    """
    if spec == EMBEDDED:
        if not EMBEDDED_FILE.is_file():
            raise DetectorError(
                f"{EMBEDDED_FILE}: the embedded detector is missing from this copy of the project: "
                f"get it anew, or use --detector {RECOMMENDED}"
            )
        return EMBEDDED_FILE
    if spec not in KNOWN_DETECTORS:
        if not Path(spec).is_file():
            raise DetectorError(f"detector {spec!r}: no such file (known names: {', '.join(KNOWN_DETECTORS)})")
        return Path(spec)
    weights = KNOWN_WEIGHTS[spec]
    for place in (weights.path, kit_folder() / "weights" / weights.file_name):
        if place.is_file():
            return place
    return download(weights)
