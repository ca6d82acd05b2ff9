"""Training one of the challenge's systems from a labelled data set, to a file that `tag` and `score-split` use."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tabulate import tabulate

from a2d.dataset import find_held_out_split, read_samples
from a2d.skipped_samples import SkippedSamples
from a2d.taxonomy import Taxonomy
from common.errors import TrainingError
from common.progress import Progress, no_progress
from common.training_run import TrainingRun
from rivals.checkpoints import CHECKPOINT_FILE
from rivals.data import TrainingData, read_examples, summarize
from rivals.evaluation import predict_samples
from rivals.files import SystemHeader, save_system
from rivals.prediction import load_system
from rivals.recipes import Recipe
from rivals.system import System
from rivals.training import Trained, TrainingPlan, train_system


@dataclass(frozen=True)
class RivalPlan:
    """What to train, on what, and where the result goes.

    Attributes:
        system: The system.
        recipe: Its recipe, perhaps adjusted.
        data: The data set.
        split: What is trained on.
        held_out: What is scored afterwards; None selects `val` or `test`, if there is one.
        out: The file to write.
        seed: Of all random numbers.
        device: `cpu` or `cuda:N`.
        strict: Whether a clip that cannot be used is an error.
    """

    system: System
    recipe: Recipe
    data: Path
    split: str
    held_out: str | None
    out: Path
    seed: int = 0
    device: str = "cpu"
    strict: bool = False

    @property
    def work(self) -> Path:
        """Folder of the checkpoint, from which a training that was stopped continues, and of the log."""
        return self.out.with_suffix(".training")

    def describe(self) -> str:
        """Describe in one line what is trained."""
        phases = ", ".join(
            f"{phase.epochs} epochs of {phase.optimizer.name} at {phase.optimizer.learning_rate:g}"
            for phase in self.recipe.phases
        )
        settings = self.recipe.settings
        return (
            f"training {self.system.name}, recipe {self.recipe.name}: {settings.backbone or 'no backbone'} at "
            f"{settings.inputs.size} pixels, weights {self.recipe.weights}, {phases}"
        )


@dataclass(frozen=True)
class RivalReport:
    """What a training has made.

    Attributes:
        path: The file.
        scores: Sample-averaged scores and the interval of the F1, by split.
        published_f1: Of the report, on A2D's validation frames, in [0, 1].
        skipped: One line for every sample that was not used.
    """

    path: Path
    scores: dict[str, dict[str, Any]]
    published_f1: float | None
    skipped: tuple[str, ...]

    def table(self) -> str:
        """Format the scores as text, in percent."""
        rows = [
            [
                split,
                str(found["samples"]),
                *(f"{100 * found[name]:.1f}" for name in ("precision", "recall", "f1")),
                "–".join(f"{100 * bound:.1f}" for bound in found["f1_interval"]),
            ]
            for split, found in self.scores.items()
        ]
        columns = ["split", "samples", "P", "R", "F1", "95 % F1"]
        table = tabulate(rows, headers=columns, disable_numparse=True, colalign=("left", *["right"] * 5))
        published = "" if self.published_f1 is None else f"; published on A2D: F1 {100 * self.published_f1:.1f}"
        return f"{table}\n\nwrote {self.path}{published}"


def train_rival(plan: RivalPlan, taxonomy: Taxonomy, progress: Progress = no_progress) -> RivalReport:
    """Train a system, write its file, and score it on the held-out split and on what it was trained on.

    Args:
        plan: What to train.
        taxonomy: Actors and labels.
        progress: Shows the progress.

    Returns:
        The report.

    Raises:
        UserError: If the data, the weights or a checkpoint cannot be used, or the loss becomes infinite.
    """
    skipped = SkippedSamples(plan.strict)
    held_out = find_held_out_split(plan.data, plan.split, plan.held_out)
    data = read_training_data(plan, taxonomy, skipped, progress)
    trained = train_to_file(plan, data, taxonomy, progress)
    scores = {
        split: _score(plan, taxonomy, split, skipped, progress) for split in (plan.split, held_out) if split is not None
    }
    save_system(plan.out, trained.network, _header(plan, data, taxonomy, trained, scores))
    return RivalReport(plan.out, scores, plan.system.published_f1, tuple(skipped.reasons))


def read_training_data(
    plan: RivalPlan, taxonomy: Taxonomy, skipped: SkippedSamples, progress: Progress = no_progress
) -> TrainingData:
    """Read the examples that a system is trained on.

    Raises:
        UserError: If the data cannot be used, or no sample has a label.
    """
    samples = read_samples(plan.data, plan.split, taxonomy, skipped)
    examples = read_examples(samples, skipped, progress=progress)
    if not any(example.sample.labels for example in examples):
        raise TrainingError(f"{plan.data}: no sample of the split {plan.split!r} has a label")
    return TrainingData(examples, taxonomy)


def train_to_file(plan: RivalPlan, data: TrainingData, taxonomy: Taxonomy, progress: Progress = no_progress) -> Trained:
    """Train a system and write its file, without scores.

    Raises:
        UserError: If the weights or a checkpoint cannot be used, or the loss becomes infinite.
    """
    where = f"{plan.data.resolve()}, {plan.split}, {len(data.examples)} samples"
    training = TrainingPlan(plan.system, plan.recipe, taxonomy, plan.seed, where)
    trained = train_system(training, data, TrainingRun(plan.work, plan.device, progress=progress))
    save_system(plan.out, trained.network, _header(plan, data, taxonomy, trained, {}))
    (plan.work / CHECKPOINT_FILE).unlink(missing_ok=True)  # the next training starts anew
    return trained


def _score(
    plan: RivalPlan, taxonomy: Taxonomy, split: str, skipped: SkippedSamples, progress: Progress
) -> dict[str, Any]:
    """Score the file that was written, as `score-split` does."""
    samples = read_samples(plan.data, split, taxonomy, skipped)
    scorer = load_system(plan.out, taxonomy, plan.device)
    return predict_samples(scorer, samples, taxonomy, skipped, progress).to_dict()


def _header(
    plan: RivalPlan, data: TrainingData, taxonomy: Taxonomy, trained: Trained, scores: dict[str, Any]
) -> SystemHeader:
    return SystemHeader(
        system=plan.system.name,
        labels=taxonomy.label_names,
        settings=plan.recipe.settings.to_dict(),
        recipe=plan.recipe.to_dict(),
        seed=plan.seed,
        weights=trained.sources,
        data={"name": plan.data.name, "split": plan.split, **summarize(data.examples)},
        fitted=trained.fitted,
        scores=scores,
    )
