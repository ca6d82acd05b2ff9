"""The ensemble of trained systems (the PCD report, section 5).

Each member k has a weight, its F1 divided by the sum of all members' F1. "We first calculated three weights for all
models based on their F1 scores, and then obtained a weighted voting score and a weighted average score from their
individual predictions, and calculated the mean of the two scores as the final output."

The report's vote counts the members whose prediction is above 0. Probabilities always are: what is counted here are the
members that say the label, each from its own threshold. The mean of vote and average says a label from 0.5, which the
report does not name. Its members are `pcd_resnet`, `apcd_resnet` and `pcd_r2plus1d`; here they may be any.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from a2d.taxonomy import Taxonomy
from common.errors import CheckpointError
from common.files import check_fields, read_limited, sha256_file, write_atomically
from common.safetensors_files import parse_json
from rivals.frames import ClipInfo
from rivals.prediction import LabelScorer, load_system
from rivals.registry import ENSEMBLE

TITLE = "the weighted votes and averages of trained systems"
REPORT = "the PCD report, section 5"
PUBLISHED_F1, PUBLISHED_MEMBERS = 0.629, ("pcd_resnet", "apcd_resnet", "pcd_r2plus1d")
FORMAT = "actor-action-ensemble/1"
SUFFIX = ".json"
MAX_BYTES = 1 << 20
THRESHOLD = 0.5


@dataclass(frozen=True)
class Member:
    """One trained system of an ensemble.

    Attributes:
        system: Its name.
        file: Its file, relative to the ensemble's own if it is below its folder; or a name, for one without a file.
        sha256: Of the file.
        f1: Sample-averaged, in [0, 1], on clips that are not those of the test.
    """

    system: str
    file: str
    sha256: str
    f1: float


@dataclass(frozen=True)
class EnsembleFile:
    """What the file of an ensemble contains.

    Attributes:
        members: At least one.
        data: On what their F1 was measured.
        scores: Of the ensemble, by split.
    """

    members: tuple[Member, ...]
    data: dict[str, Any]
    scores: dict[str, Any]

    def save(self, path: Path) -> None:
        """Write the file atomically."""
        content = {"format": FORMAT, **asdict(self)}
        write_atomically(path, json.dumps(content, indent=2) + "\n")

    @classmethod
    def read(cls, path: Path) -> "EnsembleFile":
        """Read a file.

        Raises:
            CheckpointError: If it is not the file of an ensemble.
        """
        try:
            content = parse_json(read_limited(path, MAX_BYTES))
        except (OSError, ValueError) as reason:
            raise CheckpointError(f"{path}: not the file of an ensemble ({reason})") from None
        types = {"format": str, "members": list, "data": dict, "scores": dict}
        found = check_fields(content, str(path), CheckpointError, types)
        if found.pop("format") != FORMAT:
            raise CheckpointError(f"{path}: format {content['format']!r} was found, {FORMAT!r} was expected")
        members = [
            _read_member(member, f"{path}: member {number}") for number, member in enumerate(found["members"], 1)
        ]
        if not any(member.f1 for member in members):
            raise CheckpointError(f"{path}: no member has an F1 above 0")
        return cls(**{**found, "members": tuple(members)})


def _read_member(content: object, where: str) -> Member:
    fields = check_fields(content, where, CheckpointError, {"system": str, "file": str, "sha256": str, "f1": float})
    if not 0 <= fields["f1"] <= 1:
        raise CheckpointError(f"{where}: f1: 0 to 1 was expected, found {fields['f1']}")
    return Member(**fields)


def member_weights(f1: Sequence[float]) -> NDArray[np.float64]:
    """Return the members' weights, whose sum is 1, from their F1, of which one at least is above 0.

    >>> member_weights([0.375, 0.125]).tolist()
    [0.75, 0.25]
    """
    found = np.asarray(f1, dtype=np.float64)
    weights: NDArray[np.float64] = found / found.sum()
    return weights


def combine(
    scores: NDArray[np.float32], thresholds: Sequence[float], weights: NDArray[np.float64]
) -> NDArray[np.float32]:
    """Return the mean of the weighted vote and the weighted average of some members.

    Args:
        scores: Probabilities of the members, shape (members, moments, labels), in [0, 1].
        thresholds: Probability from which each member says a label.
        weights: Of the members; their sum is 1.

    Returns:
        Shape (moments, labels), in [0, 1].
    """
    said = scores >= np.asarray(thresholds, dtype=scores.dtype)[:, None, None]
    vote, average = (np.tensordot(weights, values, axes=1) for values in (said, scores))
    combined: NDArray[np.float32] = np.clip((vote + average) / 2, 0, 1).astype(np.float32)
    return combined


@dataclass(frozen=True)
class Ensemble:
    """Trained systems that decide together, see `rivals.prediction.LabelScorer`.

    Attributes:
        members: At least one, of the same labels.
        weights: Of each, shape (members,); their sum is 1.
        path: Its file; None if it was not saved.
        sha256: Of the file, which contains those of the members' files; or empty.
    """

    members: tuple[LabelScorer, ...] = field(repr=False)
    weights: NDArray[np.float64]
    path: Path | None = None
    sha256: str = ""

    @property
    def name(self) -> str:
        """Name of the system."""
        return ENSEMBLE

    @property
    def threshold(self) -> float:
        """Mean of vote and average from which a label is said, in [0, 1]."""
        return THRESHOLD

    def describe(self) -> str:
        """Describe in one line what is used."""
        parts = ", ".join(
            f"{member.name} ({member.sha256[:8]}) {weight:.3f}"
            for member, weight in zip(self.members, self.weights, strict=True)
        )
        return f"using {self.name} {self.path} ({self.sha256[:8]}): {TITLE}, with the weights {parts}"

    def score(self, info: ClipInfo, moments: Sequence[int]) -> NDArray[np.float32]:
        """Return the ensemble's score of every label at some frames of a clip, see `LabelScorer`."""
        scores = np.stack([member.score(info, moments) for member in self.members])
        return combine(scores, [member.threshold for member in self.members], self.weights)


def load_scorer(
    path: Path, taxonomy: Taxonomy, device: str = "cpu", others: "Callable[[str], LabelScorer | None] | None" = None
) -> LabelScorer:
    """Load a trained system, or an ensemble, from its file.

    Args:
        path: As `rivals.files.save_system` or `EnsembleFile.save` wrote it.
        taxonomy: Whose labels it must have.
        device: `cpu` or `cuda:N`.
        others: Opens a member that has a name instead of a file; returns None for a file.

    Raises:
        CheckpointError: If the file is neither, or has other labels, or a member of an ensemble has changed since.
    """
    if path.suffix != SUFFIX:
        return load_system(path, taxonomy, device)
    content = EnsembleFile.read(path)
    members = []
    for member in content.members:
        scorer = others(member.file) if others else None
        file = path.parent / member.file
        found = scorer.sha256 if scorer else sha256_file(file) if file.is_file() else "no file"
        if found != member.sha256:
            raise CheckpointError(
                f"{path}: the member {member.file} has changed: sha256 {member.sha256[:8]} was expected, {found[:8]} "
                "was found; make the ensemble again with actor-action train-rival --system ensemble"
            )
        members.append(scorer or load_scorer(file, taxonomy, device, others))
    weights = member_weights([member.f1 for member in content.members])
    return Ensemble(tuple(members), weights, path, sha256_file(path))
