"""Making an ensemble of trained systems: their F1 on labelled clips, which are not those of the test, weights them."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from a2d.dataset import read_samples, split_names
from a2d.formats.base import Sample
from a2d.skipped_samples import SkippedSamples
from a2d.taxonomy import Taxonomy
from common.errors import TrainingError
from common.progress import Progress, no_progress
from pipeline.config import TaggerConfig
from pipeline.known_systems import find_system_file, system_file
from pipeline.system_scorers import TWO_STAGE, open_scorer
from pipeline.training.rival_training import RivalReport
from rivals.ensemble import PUBLISHED_F1, Ensemble, EnsembleFile, Member, member_weights
from rivals.evaluation import predict_samples
from rivals.prediction import LabelScorer
from rivals.registry import SYSTEMS

TEST, VALIDATION = "test", "val"


@dataclass(frozen=True)
class EnsemblePlan:
    """Of what to make an ensemble, and where it goes.

    Attributes:
        members: Names or files of trained systems, or `two_stage`.
        data: The data set.
        split: On what the members' F1 is measured, see `weighting_split`.
        held_out: What else the ensemble is scored on; None selects nothing.
        out: The file to write.
        config: The device, the taxonomy, and the settings of the two stages.
        strict: Whether a clip that cannot be used is an error.
    """

    members: tuple[str, ...]
    data: Path
    split: str
    held_out: str | None
    out: Path
    config: TaggerConfig = field(default_factory=TaggerConfig)
    strict: bool = False


def trained_systems() -> tuple[str, ...]:
    """Return the names of the systems whose files are where `train-rival` writes them."""
    return tuple(name for name in SYSTEMS if system_file(name).is_file())


def weighting_split(data: Path, split: str) -> str:
    """Return on what members are measured: the validation clips instead of those that they were trained on.

    Raises:
        TrainingError: If it is the test.
    """
    found = VALIDATION if split == "train" and VALIDATION in split_names(data) else split
    if found == TEST:
        raise TrainingError(f"{data}: the members of an ensemble are not weighted by their F1 on the split {TEST!r}")
    return found


def fit_ensemble(plan: EnsemblePlan, taxonomy: Taxonomy, progress: Progress = no_progress) -> RivalReport:
    """Measure the members, write the ensemble's file, and score it.

    Raises:
        UserError: If the data or a member cannot be used, there are fewer than two, or none predicts anything right.
    """
    if len(plan.members) < 2:
        raise TrainingError(f"an ensemble needs two members or more, found {list(plan.members)}; see --members")
    split = weighting_split(plan.data, plan.split)
    skipped = SkippedSamples(plan.strict)
    samples = read_samples(plan.data, split, taxonomy, skipped)
    scores: dict[str, dict[str, Any]] = {}

    def measure(where: str, scorer: LabelScorer, samples: list[Sample]) -> dict[str, Any]:
        scores[where] = predict_samples(scorer, samples, taxonomy, skipped, progress).to_dict()
        return scores[where]

    scorers, members = [], []
    for number, name in enumerate(plan.members, 1):
        scorer = open_scorer(name, taxonomy, plan.config)
        found = measure(f"{split}, member {number}: {scorer.name}", scorer, samples)
        scorers.append(scorer)
        members.append(Member(scorer.name, _refer(name, plan.out), scorer.sha256, float(found["f1"])))
    if not any(member.f1 for member in members):
        raise TrainingError(f"{plan.data}: no member predicts anything right on the split {split!r}")
    ensemble = Ensemble(tuple(scorers), member_weights([member.f1 for member in members]))
    own = {split: measure(split, ensemble, samples)}
    if plan.held_out is not None:
        own[plan.held_out] = measure(plan.held_out, ensemble, read_samples(plan.data, plan.held_out, taxonomy, skipped))
    data = {"name": plan.data.name, "split": split, "samples": len(samples)}
    EnsembleFile(tuple(members), data, own).save(plan.out)
    return RivalReport(plan.out, scores, PUBLISHED_F1, tuple(skipped.reasons))


def _refer(name: str, out: Path) -> str:
    """Return how an ensemble's file refers to a member."""
    if name == TWO_STAGE:
        return name
    path, folder = find_system_file(name).resolve(), out.parent.resolve()
    return str(path.relative_to(folder) if path.is_relative_to(folder) else path)
