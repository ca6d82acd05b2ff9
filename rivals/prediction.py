"""Trained systems at work: the probability of every label at moments of a clip."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from a2d.taxonomy import Taxonomy
from common.errors import CheckpointError
from common.files import sha256_file
from common.system import reuse_large_allocations
from rivals.files import load_network, read_system_header
from rivals.frames import ClipInfo, read_pictures
from rivals.recipes import NetworkSettings
from rivals.registry import find_system
from rivals.system import System

if TYPE_CHECKING:
    from torch import nn

BATCH_SIZE = 16


class LabelScorer(Protocol):
    """Whatever says how probable each label is at moments of a clip: a trained system, or several."""

    @property
    def name(self) -> str:
        """Name of the system."""

    @property
    def sha256(self) -> str:
        """Of its file."""

    @property
    def threshold(self) -> float:
        """Probability from which a label is said, in [0, 1]."""

    def describe(self) -> str:
        """Describe in one line what is used."""

    def score(self, info: ClipInfo, moments: Sequence[int]) -> NDArray[np.float32]:
        """Return the probability of every label at some frames of a clip.

        Args:
            info: The clip.
            moments: Frame indices, from 0.

        Returns:
            Shape (moments, labels), in [0, 1].

        Raises:
            ClipError: If a frame cannot be read.
        """


@dataclass(frozen=True)
class TrainedSystem:
    """A system whose network is trained.

    Attributes:
        system: The system.
        settings: Of its network.
        network: In evaluation mode, on the device.
        device: `cpu` or `cuda:N`.
        path: Its file; None if it was not saved.
        sha256: Of the file, or empty.
    """

    system: System
    settings: NetworkSettings
    network: "nn.Module" = field(repr=False)
    device: str = "cpu"
    path: Path | None = None
    sha256: str = ""

    @property
    def name(self) -> str:
        """Name of the system."""
        return self.system.name

    @property
    def threshold(self) -> float:
        """Probability from which a label is said, in [0, 1]."""
        return self.settings.threshold

    def describe(self) -> str:
        """Describe in one line what is used."""
        inputs = self.settings.inputs
        return (
            f"using {self.name} {self.path} ({self.sha256[:8]}): {self.system.title}, {inputs.frames} frame"
            f"{'s'[: inputs.frames != 1]} of {inputs.size} pixels, labels from {self.threshold:g}"
        )

    def score(self, info: ClipInfo, moments: Sequence[int]) -> NDArray[np.float32]:
        """Return the probability of every label at some frames of a clip, see `LabelScorer`."""
        parts = [
            self.score_pictures(
                read_pictures(info, moments[start : start + BATCH_SIZE], self.settings.inputs, self.system.draw)
            )
            for start in range(0, len(moments), BATCH_SIZE)
        ]
        return np.concatenate(parts)

    @reuse_large_allocations()
    def score_pictures(self, pictures: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return the probability of every label for pictures (B, N, S, S, 3), uint8, BGR; shape (B, labels)."""
        import torch

        from rivals.batches import make_batch

        with torch.inference_mode():
            outputs = self.network(make_batch(pictures, self.device))
            probabilities: NDArray[np.float32] = self.system.probabilities(outputs).float().cpu().numpy()
        return probabilities


def load_system(path: Path, taxonomy: Taxonomy, device: str = "cpu") -> TrainedSystem:
    """Load a trained system from its file.

    Args:
        path: As `rivals.files.save_system` wrote it.
        taxonomy: Whose labels it must have.
        device: `cpu` or `cuda:N`.

    Raises:
        CheckpointError: If the file is not such a file, or has other labels.
    """
    header = read_system_header(path)
    if header.labels != taxonomy.label_names:
        raise CheckpointError(
            f"{path}: the file's labels are not those of the taxonomy {taxonomy.name!r}: "
            f"{len(header.labels)} were found, {len(taxonomy.labels)} expected, in this order"
        )
    network, settings = load_network(path, header)
    system = find_system(header.system, str(path))
    return TrainedSystem(system, settings, network.to(device), device, path, sha256_file(path))
