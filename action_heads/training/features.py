"""Pooled features of sampled frames, computed by a frozen trunk and cached on disk by content."""

import hashlib
import io
import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from action_heads.model import Trunk, feature_extractor
from action_heads.preprocessing import Preprocessing, preprocess_frames
from action_heads.training.samples import SampledFrame, decode_sampled_frames
from common.files import write_atomically
from common.progress import Progress, no_progress

FORMAT = 1  # increment when the content of the entries, or how they are computed, changes
VERSIONS_PER_FRAME = 2  # the frame and its mirror image


@dataclass(frozen=True)
class FeatureCache:
    """A folder of pooled features, addressed by content.

    Attributes:
        folder: Created when the first entry is written; None disables the cache.
    """

    folder: Path | None

    def load(self, key: str) -> NDArray[np.float32] | None:
        """Return an entry, or None if it is absent or unreadable."""
        if self.folder is None:
            return None
        try:
            entry = np.load(self._path(key), allow_pickle=False)
        except (OSError, ValueError, EOFError):
            return None
        return entry if isinstance(entry, np.ndarray) and entry.ndim == 2 and entry.dtype == np.float32 else None

    def save(self, key: str, features: NDArray[np.float32]) -> None:
        """Write an entry; if that fails, log a warning."""
        if self.folder is None:
            return
        buffer = io.BytesIO()
        np.save(buffer, features)
        try:
            write_atomically(self._path(key), buffer.getvalue())
        except OSError as reason:
            logging.getLogger(__name__).warning("features cannot be cached in %s: %s", self.folder, reason.strerror)

    def _path(self, key: str) -> Path:
        assert self.folder is not None
        return self.folder / key[:2] / f"{key}.npy"


def feature_key(frame: SampledFrame, trunk_sha256: str, view: str, preprocessing: Preprocessing) -> str:
    """Return the cache key of a sampled frame's features, a hash of everything that determines them.

    Returns:
        64 hexadecimal digits.
    """
    content = [FORMAT, frame.clip_sha256, frame.frame_index, frame.box.tolist(), trunk_sha256, view]
    return hashlib.sha256(json.dumps([*content, preprocessing.to_dict()]).encode()).hexdigest()


def compute_features(
    frames: Sequence[SampledFrame],
    trunk: Trunk,
    view: str,
    cache: FeatureCache,
    device: str = "cpu",
    progress: Progress = no_progress,
) -> NDArray[np.float32]:
    """Return the pooled features of sampled frames and of their mirror images; only uncached frames are decoded.

    Each frame is processed in a batch of its own, so that its features do not depend on the other frames.

    Args:
        frames: N sampled frames.
        trunk: The frozen network and its preprocessing.
        view: `frame` or `crop`.
        cache: Features computed before.
        device: `cpu` or `cuda:N`.
        progress: Shows the progress over the clips that are decoded.

    Returns:
        Shape (N, 2, D), float32: of each frame, then of its mirror image.

    Raises:
        ClipError: If a clip cannot be read.
    """
    keys = [feature_key(frame, trunk.sha256, view, trunk.preprocessing) for frame in frames]
    found = {key: entry for key in set(keys) if (entry := cache.load(key)) is not None}
    missing = list({key: row for row, key in enumerate(keys) if key not in found}.values())
    if missing:
        network = feature_extractor(trunk).to(device)
        for index, image in decode_sampled_frames([frames[row] for row in missing], progress):
            row = missing[index]
            inputs = preprocess_frames(image[None], frames[row].box[None], view, trunk.preprocessing)
            with torch.inference_mode():
                features = network(torch.cat([inputs, inputs.flip(3)]).to(device)).float().cpu().numpy()
            found[keys[row]] = features
            cache.save(keys[row], features)
    if not keys:
        return np.zeros((0, VERSIONS_PER_FRAME, 0), np.float32)
    return np.stack([found[key] for key in keys])
