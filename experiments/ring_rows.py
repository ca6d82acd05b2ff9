"""A row of the ring: a system trained by its small recipe, an ensemble of some, or the two stages, and its scores."""

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from time import monotonic
from typing import Any

import numpy as np

from a2d.confidence_intervals import bootstrap_f1
from a2d.dataset import read_samples
from a2d.formats.base import Sample
from a2d.metrics import count
from a2d.skipped_samples import SkippedSamples
from a2d.taxonomy import Taxonomy
from benchmarks.report import describe_machine
from common.errors import CheckpointError, TrainingError
from common.files import sha256_file
from common.progress import Progress
from common.safetensors_files import read_safetensors_header
from pipeline.evaluation.split_report import SplitPredictions
from pipeline.training.rival_training import RivalPlan, read_training_data, train_to_file
from rivals.checkpoints import LOG_FILE, read_log
from rivals.data import PictureStore, TrainingData, read_examples
from rivals.ensemble import PUBLISHED_F1, PUBLISHED_MEMBERS, TITLE, EnsembleFile, Member, load_scorer
from rivals.evaluation import SystemPredictions, clip_probabilities, predict_samples
from rivals.files import read_system_header
from rivals.prediction import LabelScorer, TrainedSystem, load_system
from rivals.recipe_changes import Changes, adjust_recipe
from rivals.recipes import Recipe
from rivals.registry import ENSEMBLE, find_system
from rivals.system import SMALL

TRAIN, TEST = "train", "test"


@dataclass(frozen=True)
class Row:
    """What the ring measures of a system.

    Attributes:
        name: Its name.
        title: What it is, in a few words.
        published_f1: Of its report, on A2D's validation frames, in [0, 1]; None if it gives none.
        training: How it was trained, in words.
        parameters: How many numbers its files contain.
        training_seconds: Of all epochs, without decoding; None if it was not trained here. Each phase counts as its
            fastest epoch, times their number: of a night, some epochs had to share the machine.
        train_f1: On the clips that it was trained on, in [0, 1]; None likewise.
        precision: On the test clips, sample-averaged, in [0, 1], like the next two.
        recall: See `precision`.
        f1: See `precision`.
        f1_interval: 95 %, sources resampled.
        first: Share of the test clips with labels of which the most probable label is right, however probable it is.
        frames_per_second: How many of the test clips' frames there are per second that the clips took, with decoding.
        machine: What it was measured on, in words.
    """

    name: str
    title: str
    published_f1: float | None
    training: str
    parameters: int
    training_seconds: float | None
    train_f1: float | None
    precision: float
    recall: float
    f1: float
    f1_interval: tuple[float, float]
    first: float
    frames_per_second: float
    machine: str

    def to_dict(self) -> dict[str, Any]:
        """Return the row as JSON can hold it."""
        return asdict(self)


@dataclass(frozen=True)
class Ring:
    """What all rows have in common.

    Attributes:
        data: The data set, with the splits `train` and `test`.
        taxonomy: Actors and labels.
        work: Folder of trained systems, and of checkpoints, from which a training that was stopped continues.
        epochs: How often a system is shown each clip, in all phases of its recipe together; None: as its recipe says.
        seed: Of all trainings.
        device: `cpu` or `cuda:N`.
        progress: Shows the progress.
    """

    data: Path
    taxonomy: Taxonomy
    work: Path
    epochs: int | None
    seed: int
    device: str
    progress: Progress

    @cached_property
    def train(self) -> TrainingData:
        """The clips to train on; those that cannot be read are an error."""
        plan = self.plan("pcd_resnet")  # reading is the same for all
        return read_training_data(plan, self.taxonomy, SkippedSamples(strict=True), self.progress)

    @cached_property
    def test(self) -> list[Sample]:
        """The clips to score."""
        return read_samples(self.data, TEST, self.taxonomy, SkippedSamples(strict=True))

    @cached_property
    def test_frames(self) -> int:
        """How many frames the test clips have."""
        examples = read_examples(self.test, SkippedSamples(strict=True), progress=self.progress)
        return sum({example.info.clip: example.info.frames for example in examples}.values())

    def plan(self, name: str) -> RivalPlan:
        """Return how a system is trained."""
        system = find_system(name)
        recipe = system.recipe(SMALL)
        if self.epochs is not None:
            recipe = spread_epochs(recipe, self.epochs)
        out = self.work / f"{name}.safetensors"
        return RivalPlan(system, recipe, self.data, TRAIN, None, out, self.seed, self.device, strict=True)

    def score(self, scorer: LabelScorer) -> "Measured":
        """Predict the test clips with a trained system."""
        failures = SkippedSamples(strict=True)
        return self.measure(lambda: predict_samples(scorer, self.test, self.taxonomy, failures, self.progress))

    def measure(self, predict: "Callable[[], SystemPredictions | SplitPredictions]") -> "Measured":
        """Predict the test clips, and time it."""
        frames, started = self.test_frames, monotonic()
        found = predict()
        seconds = monotonic() - started
        scores = np.nan_to_num(
            np.asarray(found.scores, dtype=float), nan=-1.0
        )  # of actors that are not there: of no label
        first = np.take_along_axis(found.actual, scores.argmax(axis=1)[:, None], axis=1)
        return {
            **count(found.predicted, found.actual).sample_averaged.to_dict(),
            "f1_interval": bootstrap_f1(found.predicted, found.actual, found.groups, seed=0),
            "first": float(first[found.actual.any(axis=1)].mean()),
            "frames_per_second": frames / seconds,
            "machine": describe_device(self.device),
        }


def describe_device(device: str) -> str:
    """Describe in a few words what computes."""
    machine = describe_machine()
    units = ", ".join(machine["vector_units"]) or "no vector units"
    cpu = f"{machine['cores']} cores of {machine['cpu']} ({units})"
    return cpu if device == "cpu" else f"{device}, {cpu}"


Measured = dict[str, Any]
"""The fields of a row from `precision` on."""


def spread_epochs(recipe: Recipe, epochs: int) -> Recipe:
    """Divide epochs among a recipe's phases, evenly: the first ones get what is left over, each at least one."""
    phases = len(recipe.phases)
    each = [max(1, epochs // phases + (number < epochs % phases)) for number in range(phases)]
    return adjust_recipe(recipe, Changes(epochs=each))


def system_row(name: str, ring: Ring) -> Row:
    """Train a system, unless its file is there, and score it.

    Raises:
        UserError: If its file is that of another training, or it cannot be trained.
    """
    plan = ring.plan(name)
    if not plan.out.is_file():
        train_to_file(plan, ring.train, ring.taxonomy, ring.progress)
    header = read_system_header(plan.out)
    if (header.seed, header.recipe) != (plan.seed, json.loads(json.dumps(plan.recipe.to_dict()))):
        raise TrainingError(f"{plan.out}: trained by another recipe or seed; delete it, or name another --work")
    scorer = load_system(plan.out, ring.taxonomy, ring.device)
    inputs = plan.recipe.settings.inputs
    epochs = sum(phase.epochs for phase in plan.recipe.phases)
    frames = f" x {inputs.frames}" if inputs.frames > 1 else ""
    return Row(
        name=name,
        title=plan.system.title,
        published_f1=plan.system.published_f1,
        training=f"{plan.recipe.settings.backbone or 'no backbone'}, {inputs.size}{frames}, {epochs} epochs",
        parameters=count_numbers([plan.out]),
        training_seconds=undisturbed_seconds(read_log(plan.work / LOG_FILE)),
        train_f1=score_store(scorer, ring.train.pictures(inputs, plan.system.draw, ring.progress)),
        **ring.score(scorer),
    )


def ensemble_row(rows: Sequence[Row], ring: Ring) -> Row:
    """Make the ensemble of the report's three systems, which are trained, and score it.

    Each is weighted by its F1 on what it was trained on: there are no other clips, and the test is not for choosing.
    """
    train_f1 = {row.name: row.train_f1 or 0.0 for row in rows}
    files = {name: ring.plan(name).out for name in PUBLISHED_MEMBERS}
    members = tuple(Member(name, file.name, sha256_file(file), train_f1[name]) for name, file in files.items())
    out = ring.work / f"{ENSEMBLE}.json"
    EnsembleFile(members, {"name": ring.data.name, "split": TRAIN}, {}).save(out)
    return Row(
        name=ENSEMBLE,
        title=TITLE,
        published_f1=PUBLISHED_F1,
        training=", ".join(PUBLISHED_MEMBERS),
        parameters=count_numbers(list(files.values())),
        training_seconds=sum(row.training_seconds or 0.0 for row in rows if row.name in PUBLISHED_MEMBERS),
        train_f1=None,
        **ring.score(load_scorer(out, ring.taxonomy, ring.device)),
    )


def undisturbed_seconds(log: Sequence[Mapping[str, Any]]) -> float:
    """Return how long the epochs of a log took: the fastest of each phase, times their number.

    >>> undisturbed_seconds([{"phase": 1, "seconds": 2.0}, {"phase": 1, "seconds": 3.0}, {"phase": 1, "seconds": 60.0}])
    6.0
    """
    phases: dict[int, list[float]] = {}
    for epoch in log:
        phases.setdefault(epoch["phase"], []).append(epoch["seconds"])
    return sum(min(seconds) * len(seconds) for seconds in phases.values())


def score_store(scorer: TrainedSystem, store: PictureStore) -> float:
    """Return the sample-averaged F1 on the moments of training examples, in [0, 1]."""
    scores = np.zeros(store.targets.shape)
    for row, example in enumerate(store.examples):
        pictures = np.stack([store.pictures(row, moment) for moment in example.moments])
        scores[row] = clip_probabilities(scorer.score_pictures(pictures))
    return count(scores >= scorer.threshold, store.targets > 0).sample_averaged.f1


def count_numbers(files: Sequence[Path]) -> int:
    """Return how many numbers the tensors of safetensors files contain."""
    shapes = [shape for file in files for shape in read_safetensors_header(file, CheckpointError).shapes.values()]
    return sum(map(math.prod, shapes))
