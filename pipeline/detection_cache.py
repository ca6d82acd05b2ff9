"""Cached detections: nothing is detected twice.

The key of an entry hashes everything that determines its contents: the clip's bytes, the detector's bytes, the settings
and the detector classes of each actor. So different inputs never share an entry.
"""

import hashlib
import io
import json
import zipfile
import zlib
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from a2d.taxonomy import Taxonomy
from actor_detector.detections import ClipDetections
from actor_detector.detector_settings import DetectorSettings
from actor_detector.speed_options import SpeedOptions
from common.remote_folders import AnyFolder
from common.trusted_files import CacheFolder, OnFile, parse_array

FORMAT = 6  # increase it when the contents of an entry, or how they are computed, change
ARRAYS = ("frame_index", "time_seconds", "frame_row", "boxes", "confidence", "actor_index")
FLOATS = ("time_seconds", "boxes", "confidence")
MAX_ENTRY_BYTES, MAX_ARRAY_BYTES = 1 << 28, 1 << 30  # a day of video with some boxes in each frame
MAX_ACTORS = 1000
_DAMAGED = (
    *(OSError, EOFError, ValueError, ArithmeticError, LookupError, TypeError, RuntimeError, MemoryError),
    *(SyntaxError, zipfile.BadZipFile, zlib.error),
)
"""What zipfile, zlib and NumPy raise for damaged bytes."""
NO_CAMERA = np.zeros((0, 2), np.float32)


@dataclass(frozen=True)
class DetectionCache:
    """A folder of detections, addressed by content.

    Attributes:
        folder: Created when the first entry is written; None caches nothing.
        on_file: Called with the file of every entry, see `CacheFolder`.
    """

    folder: AnyFolder | None
    on_file: OnFile | None = None

    def load(self, key: str) -> ClipDetections | None:
        """Load an entry; an unreadable one counts as absent and will be overwritten."""
        content = self._files.read(file_name(key), MAX_ENTRY_BYTES)
        if content is None:
            return None
        try:
            entry = _unpack(content)
            if str(entry["key"]) != key:
                return None  # the entry of another clip under this name
            detections = ClipDetections(
                **{name: entry[name] for name in ARRAYS},
                duration_seconds=float(entry["duration_seconds"]),
                truncated=str(entry["truncated"]),
                stride=int(entry["stride"]),
                decoded=int(entry["decoded"]),
                camera=entry["camera"] if len(entry["camera"]) else None,
                represented=entry.get("represented"),
            )
        except _DAMAGED:
            return None
        return detections if _is_plausible(detections) else None

    def save(self, key: str, detections: ClipDetections) -> None:
        """Write an entry; a folder that cannot be written is a warning, not an error."""
        content = {name: getattr(detections, name) for name in (*ARRAYS, "duration_seconds", "truncated", "stride")}
        content |= {"key": key, "decoded": detections.frames, "camera": NO_CAMERA}
        if detections.camera is not None:
            content["camera"] = detections.camera
        if detections.represented is not None:
            content["represented"] = detections.represented
        buffer = io.BytesIO()
        np.savez_compressed(buffer, **content)
        self._files.write(file_name(key), buffer.getvalue())

    @cached_property
    def _files(self) -> CacheFolder:
        return CacheFolder(self.folder, "detections", self.on_file)


def file_name(key: str) -> str:
    """Return the path of an entry in the folder."""
    return f"{key[:2]}/{key}.npz"


def _unpack(content: bytes) -> dict[str, Any]:
    """Return the arrays of an entry, of which none is larger than the entry claims, nor all together than allowed."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        if sum(member.file_size for member in archive.infolist()) > MAX_ARRAY_BYTES:
            raise ValueError("too large")
        return {
            member.filename.removesuffix(".npy"): parse_array(archive.read(member)) for member in archive.infolist()
        }


def _is_plausible(detections: ClipDetections) -> bool:
    """Return whether the arrays of an entry can be what was saved."""
    row, camera = detections.frame_row, detections.camera
    kinds = {name: getattr(detections, name).dtype.kind for name in ARRAYS}
    return (
        all(kind == ("f" if name in FLOATS else "i") for name, kind in kinds.items())
        and all(np.isfinite(getattr(detections, name)).all() for name in FLOATS)
        and (camera is None or (camera.dtype.kind == "f" and bool(np.isfinite(camera).all())))
        and _are_counts(detections.represented)
        and bool((np.diff(detections.frame_index) > 0).all() and (detections.frame_index >= 0).all())
        and bool((np.diff(row) >= 0).all() and (row >= 0).all() and (row < len(detections.frame_index)).all())
        and bool((detections.actor_index >= 0).all() and (detections.actor_index < MAX_ACTORS).all())
        and bool(np.isfinite(detections.duration_seconds) and detections.stride > 0)
    )


def _are_counts(array: NDArray[np.int64] | None) -> bool:
    return array is None or (array.dtype.kind == "i" and bool((array >= 0).all()))


@dataclass(frozen=True)
class DetectionSettings:
    """What determines the detections of a clip, apart from the clip.

    Attributes:
        detector_sha256: Of the detector's file.
        detector: Image size, and the confidence from which boxes are cached.
        taxonomy: Its detector classes.
        runtime: `inference.runtime.Runtime.name`.
        speed_options: What is skipped.
        looks: What determines which frames are looked at, see `pipeline.until_sure`; empty for every frame.
    """

    detector_sha256: str
    detector: DetectorSettings
    taxonomy: Taxonomy
    runtime: str
    speed_options: SpeedOptions
    looks: str = ""

    def key(self, clip_sha256: str) -> str:
        """Return the cache key of a clip's detections, 64 hexadecimal digits."""
        classes = [[actor.name, *actor.detector_classes] for actor in self.taxonomy.actors]
        detector = [self.detector_sha256, self.detector.image_size, self.detector.confidence]
        content = [FORMAT, clip_sha256, *detector, classes, self.runtime, self.speed_options.to_dict()]
        content += [self.looks] if self.looks else []
        return hashlib.sha256(json.dumps(content).encode()).hexdigest()
