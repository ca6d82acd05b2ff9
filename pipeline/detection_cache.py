"""Cached detections: nothing is detected twice.

The key of an entry hashes everything that determines its contents: the clip's bytes, the detector's bytes, the settings
and the detector classes of each actor. So different inputs never share an entry.
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
from actor_detector.detector_settings import DetectorSettings
from actor_detector.speed_options import SpeedOptions
from common.files import write_atomically

FORMAT = 4  # increase it when the contents of an entry, or how they are computed, change
ARRAYS = ("frame_index", "time_seconds", "frame_row", "boxes", "confidence", "actor_index")
NO_CAMERA = np.zeros((0, 2), np.float32)


@dataclass(frozen=True)
class DetectionCache:
    """A folder of detections, addressed by content.

    Attributes:
        folder: Created when the first entry is written; None caches nothing.
    """

    folder: Path | None

    def load(self, key: str) -> ClipDetections | None:
        """Load an entry; an unreadable one counts as absent and will be overwritten."""
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
            return None  # whatever zipfile, zlib and numpy raise for damaged bytes

    def save(self, key: str, detections: ClipDetections) -> None:
        """Write an entry; a folder that cannot be written is a warning, not an error."""
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
            logging.getLogger(__name__).warning("detections cannot be cached in %s: %s", self.folder, reason.strerror)

    def _path(self, key: str) -> Path:
        assert self.folder is not None
        return self.folder / key[:2] / f"{key}.npz"


@dataclass(frozen=True)
class DetectionSettings:
    """What determines the detections of a clip, apart from the clip.

    Attributes:
        detector_sha256: Of the detector's file.
        detector: Image size, and the confidence from which boxes are cached.
        taxonomy: Its detector classes.
        runtime: `inference.runtime.Runtime.name`.
        speed_options: What is skipped.
    """

    detector_sha256: str
    detector: DetectorSettings
    taxonomy: Taxonomy
    runtime: str
    speed_options: SpeedOptions

    def key(self, clip_sha256: str) -> str:
        """Return the cache key of a clip's detections, 64 hexadecimal digits."""
        classes = [[actor.name, *actor.detector_classes] for actor in self.taxonomy.actors]
        detector = [self.detector_sha256, self.detector.image_size, self.detector.confidence]
        content = [FORMAT, clip_sha256, *detector, classes, self.runtime, self.speed_options.to_dict()]
        return hashlib.sha256(json.dumps(content).encode()).hexdigest()
