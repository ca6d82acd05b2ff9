"""What a trunk makes of looks at an actor, kept on disk by content, so that nothing is computed twice."""

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

from action_heads.model import Trunk
from action_heads.preprocessing import Preprocessing, to_inputs
from action_heads.training.samples import ClipProgress, SampledFrame, decode_sampled_frames
from common.files import write_atomically

FORMAT = 1  # raise it when what is kept, or how it is made, changes
VIEWS_PER_FRAME = 2  # the look itself, and its mirror image


@dataclass(frozen=True)
class FeatureCache:
    """A folder of pooled features by content.

    Attributes:
        folder: Made when the first entry is written; None keeps nothing.
    """

    folder: Path | None

    def load(self, key: str) -> NDArray[np.float32] | None:
        """Find an entry; an unreadable one counts as absent and will be written anew."""
        if self.folder is None:
            return None
        try:
            entry = np.load(self._path(key), allow_pickle=False)
        except (OSError, ValueError, EOFError):
            return None
        return entry if isinstance(entry, np.ndarray) and entry.ndim == 2 and entry.dtype == np.float32 else None

    def save(self, key: str, features: NDArray[np.float32]) -> None:
        """Keep an entry."""
        if self.folder is None:
            return
        buffer = io.BytesIO()
        np.save(buffer, features)
        try:
            write_atomically(self._path(key), buffer.getvalue())
        except OSError as reason:
            logging.getLogger(__name__).warning("features cannot be kept in %s: %s", self.folder, reason.strerror)

    def _path(self, key: str) -> Path:
        assert self.folder is not None
        return self.folder / key[:2] / f"{key}.npy"


def feature_key(look: SampledFrame, trunk_sha256: str, kind: str, preprocessing: Preprocessing) -> str:
    """Name the features of a look by all that decides them.

    Returns:
        64 hexadecimal digits.
    """
    content = [FORMAT, look.clip_sha256, look.frame_index, look.box.tolist(), trunk_sha256, kind]
    return hashlib.sha256(json.dumps([*content, preprocessing.to_dict()]).encode()).hexdigest()


def compute_features(
    looks: Sequence[SampledFrame],
    trunk: Trunk,
    kind: str,
    preprocessing: Preprocessing,
    cache: FeatureCache,
    device: str = "cpu",
    progress: ClipProgress = lambda clips: clips,
) -> NDArray[np.float32]:
    """Give the pooled features of looks and of their mirror images; only what is not kept yet is decoded.

    Each look is computed by itself, so that it gives the same numbers in whatever company it comes.

    Args:
        looks: What to look at.
        trunk: The frozen network.
        kind: One of `action_heads.crops.INPUT_KINDS`.
        preprocessing: How the network is fed.
        cache: What is kept.
        device: `cpu` or `cuda:N`.
        progress: Wraps the clips that are decoded, for a progress bar.

    Returns:
        Shape (N, 2, D), float32: of the look, of its mirror image.

    Raises:
        ClipError: If a clip cannot be read.
    """
    keys = [feature_key(look, trunk.sha256, kind, preprocessing) for look in looks]
    found = {key: entry for key in set(keys) if (entry := cache.load(key)) is not None}
    missing = list({key: row for row, key in enumerate(keys) if key not in found}.values())
    if missing:
        network = feature_extractor(trunk).to(device)
        for place, image in decode_sampled_frames([looks[row] for row in missing], progress):
            row = missing[place]
            inputs = to_inputs(image[None], looks[row].box[None], kind, preprocessing)
            with torch.inference_mode():
                features = network(torch.cat([inputs, inputs.flip(3)]).to(device)).float().cpu().numpy()
            found[keys[row]] = features
            cache.save(keys[row], features)
    if not keys:
        return np.zeros((0, VIEWS_PER_FRAME, 0), np.float32)
    return np.stack([found[key] for key in keys])
