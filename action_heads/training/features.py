"""Pooled features of sampled frames, computed by a frozen trunk and cached on disk by content."""

import hashlib
import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from torch import nn

from action_heads.model import Trunk, feature_extractor
from action_heads.prediction import BATCH_SIZE, NETWORK_FORMAT
from action_heads.preprocessing import Preprocessing, crop_and_resize
from action_heads.training.samples import SampledFrame, decode_sampled_frames
from common.progress import Progress, no_progress
from common.remote_folders import AnyFolder
from common.trusted_files import CacheFolder, parse_array
from inference.interfaces import Engine, Network, content_key
from inference.runtime import Runtime
from inference.torch_engine import Preprocessed

FORMAT = 2  # increment when the content of the entries, or how they are computed, changes
MAX_ENTRY_BYTES = 1 << 24
VERSIONS_PER_FRAME = 2  # the frame and its mirror image


@dataclass(frozen=True)
class FeatureCache:
    """A folder of pooled features, addressed by content.

    Attributes:
        folder: Created when the first entry is written; None disables the cache.
    """

    folder: AnyFolder | None

    def load(self, key: str) -> NDArray[np.float32] | None:
        """Return an entry, or None if it is absent or unreadable."""
        content = self._files.read(_file_name(key), MAX_ENTRY_BYTES)
        try:
            entry = None if content is None else parse_array(content)
        except (ValueError, TypeError, SyntaxError, EOFError):  # whatever NumPy raises for a malformed header
            return None
        if entry is None or entry.ndim != 2 or entry.dtype != np.float32 or not np.isfinite(entry).all():
            return None
        return entry.astype(np.float32, copy=False)

    def save(self, key: str, features: NDArray[np.float32]) -> None:
        """Write an entry; if that fails, log a warning."""
        buffer = io.BytesIO()
        np.save(buffer, features, allow_pickle=False)
        self._files.write(_file_name(key), buffer.getvalue())

    @cached_property
    def _files(self) -> CacheFolder:
        return CacheFolder(self.folder, "features")


def _file_name(key: str) -> str:
    return f"{key[:2]}/{key}.npy"


def feature_key(
    frame: SampledFrame, trunk_sha256: str, view: str, preprocessing: Preprocessing, runtime_name: str
) -> str:
    """Return the cache key of a sampled frame's features, a hash of everything that determines them.

    Returns:
        64 hexadecimal digits.
    """
    content = [FORMAT, frame.clip_sha256, frame.frame_index, frame.box.tolist(), trunk_sha256, view]
    return hashlib.sha256(json.dumps([*content, preprocessing.to_dict(), runtime_name]).encode()).hexdigest()


def compute_features(
    frames: Sequence[SampledFrame],
    trunk: Trunk,
    view: str,
    cache: FeatureCache,
    runtime: Runtime | None = None,
    progress: Progress = no_progress,
) -> NDArray[np.float32]:
    """Return the pooled features of sampled frames and of their mirror images; only uncached frames are decoded.

    The trunk runs as it does in the tagger, on one image at a time, so that the features are those of prediction and do
    not depend on the other frames.

    Args:
        frames: N sampled frames.
        trunk: The frozen network and its preprocessing.
        view: `frame` or `crop`.
        cache: Features computed before.
        runtime: Runs the network; PyTorch on the CPU by default.
        progress: Shows the progress over the clips that are decoded.

    Returns:
        Shape (N, 2, D), float32: of each frame, then of its mirror image.

    Raises:
        ClipError: If a clip cannot be read.
    """
    runtime = runtime or Runtime()
    keys = [feature_key(frame, trunk.sha256, view, trunk.preprocessing, runtime.name) for frame in frames]
    found = {key: entry for key in set(keys) if (entry := cache.load(key)) is not None}
    missing = list({key: row for row, key in enumerate(keys) if key not in found}.values())
    if missing:
        engine = trunk_engine(trunk, runtime)
        for index, image in decode_sampled_frames([frames[row] for row in missing], progress):
            row = missing[index]
            shown = crop_and_resize(image, frames[row].box, view, trunk.preprocessing.size)
            pending = [engine.submit(version[None]) for version in (shown, np.ascontiguousarray(shown[:, ::-1]))]
            found[keys[row]] = np.concatenate([output.result() for output in pending])
            cache.save(keys[row], found[keys[row]])
    if not keys:
        return np.zeros((0, VERSIONS_PER_FRAME, 0), np.float32)
    return np.stack([found[key] for key in keys])


def trunk_engine(trunk: Trunk, runtime: Runtime) -> Engine:
    """Create the engine of a trunk that the tagger uses for heads that are only a classifier."""
    preprocessing = trunk.preprocessing

    def build() -> nn.Module:
        return Preprocessed(feature_extractor(trunk), preprocessing.mean, preprocessing.std)

    key = content_key(NETWORK_FORMAT, trunk.sha256, preprocessing.to_dict())
    return runtime.engine(Network(key, build), (preprocessing.size, preprocessing.size), BATCH_SIZE)
