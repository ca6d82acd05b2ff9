"""Kept detections: nothing is detected twice.

An entry's name is a hash of all that decides its contents: the clip's bytes, the detector's bytes, the settings and the
detector classes that feed each actor. So another question never gets this one's answer.
"""

import hashlib
import io
import json
import logging
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from a2d.taxonomy import Taxonomy
from actor_detector.detections import ClipDetections
from actor_detector.speed_options import SpeedOptions
from common.files import write_atomically

FORMAT = 4  # raise it when what is kept, or how it is made, changes
ARRAYS = ("frame_index", "time_seconds", "frame_row", "boxes", "confidence", "actor_index")
NO_CAMERA = np.zeros((0, 2), np.float32)


@dataclass(frozen=True)
class DetectionCache:
    """A folder of detections by content.

    Attributes:
        folder: Made when the first entry is written; None keeps nothing.
    """

    folder: Path | None

    def load(self, key: str) -> ClipDetections | None:
        """Find an entry; an unreadable one counts as absent and will be written anew."""
        if self.folder is None:
            return None
        try:
            with np.load(self._path(key), allow_pickle=False) as entry:
                arrays = {name: entry[name] for name in ARRAYS}
                return ClipDetections(
                    **arrays,
                    duration_seconds=float(entry["duration_seconds"]),
                    truncated=str(entry["truncated"]),
                    stride=int(entry["stride"]),
                    decoded=int(entry["decoded"]),
                    camera=entry["camera"] if len(entry["camera"]) else None,
                )
        except (OSError, KeyError, ValueError, TypeError, EOFError, RuntimeError, zipfile.BadZipFile, zlib.error):
            return None  # whatever zipfile, zlib and numpy make of damaged bytes

    def save(self, key: str, detections: ClipDetections) -> None:
        """Keep an entry."""
        if self.folder is None:
            return
        content = {name: getattr(detections, name) for name in (*ARRAYS, "duration_seconds", "truncated", "stride")}
        content |= {"decoded": detections.frames, "camera": NO_CAMERA}
        if detections.camera is not None:
            content["camera"] = detections.camera
        buffer = io.BytesIO()
        np.savez_compressed(buffer, **content)
        try:
            write_atomically(self._path(key), buffer.getvalue())
        except OSError as reason:
            logging.getLogger(__name__).warning("detections cannot be kept in %s: %s", self.folder, reason.strerror)

    def _path(self, key: str) -> Path:
        assert self.folder is not None
        return self.folder / key[:2] / f"{key}.npz"


def detection_key(
    clip_sha256: str,
    detector_sha256: str,
    image_size: int,
    confidence: float,
    taxonomy: Taxonomy,
    runtime: str,
    shortcuts: SpeedOptions,
) -> str:
    """Name what is detected in a clip by all that decides it; `runtime` is `inference.runtime.Runtime.name`.

    Returns:
        64 hexadecimal digits.
    """
    classes = [[actor.name, *actor.detector_classes] for actor in taxonomy.actors]
    content = [FORMAT, clip_sha256, detector_sha256, image_size, confidence, classes, runtime]
    return hashlib.sha256(json.dumps([*content, shortcuts.to_dict()]).encode()).hexdigest()
