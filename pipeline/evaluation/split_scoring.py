"""Batch scoring of a labelled split: the whole pipeline against the truth, with what costs nothing beside it."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tabulate import tabulate

from a2d.confidence_intervals import bootstrap_f1
from a2d.dataset import read_samples, split_names
from a2d.formats.base import Sample
from a2d.metrics import MultilabelCounts, Scores, count
from a2d.taxonomy import Taxonomy
from actor_detector.detections import ClipDetections
from common.errors import ClipError
from pipeline.cached_detector import DetectedClip, UnreadableClip
from pipeline.evaluation.error_budget import confusion, confusion_table, error_budget
from pipeline.results import Weights
from pipeline.tagger import ActorActionTagger

Progress = Callable[[Sequence[Path]], Iterable[Path]]
BoolArray = NDArray[np.bool_]


@dataclass(frozen=True)
class SplitPredictions:
    """What was said of every sample of a split, and what is true.

    Attributes:
        said: Labels said, shape (samples, labels).
        gated: Actors that passed their gate, shape (samples, actors).
        actual: Labels that hold, shape (samples, labels).
        groups: Source of each sample.
        failures: One line for every sample whose clip could not be read (nothing is said of it) or breaks off (what is
            said comes from the part that could be decoded).
    """

    said: BoolArray
    gated: BoolArray
    actual: BoolArray
    groups: tuple[str, ...]
    failures: tuple[str, ...]


@dataclass(frozen=True)
class Origin:
    """What scores speak of, and what decided them.

    Attributes:
        data: The data set's name.
        split: The split scored.
        baseline_split: Where the commonest labels were counted.
        level: `frame` where the labels speak of frames, `clip` where they speak of clips, `mixed` for both.
        weights: SHA-256 of detector, gates and heads.
        settings: What else decided, by name.
    """

    data: str
    split: str
    baseline_split: str
    level: str
    weights: Weights
    settings: Mapping[str, Any]


@dataclass(frozen=True)
class SplitReport:
    """The scores of one split.

    Attributes:
        origin: What they speak of, and what decided them.
        taxonomy: The run's.
        systems: Label counts by system: the pipeline first, then what costs nothing.
        intervals: Of each system's sample-averaged F1, 95 %, sources drawn with replacement.
        gates: Actor counts of the gates.
        budget: What of the F1 is lost to what, see `pipeline.evaluation.error_budget`.
        confusions: What is said instead of what is true, by actor that is there.
        failures: One line for every sample whose clip could not be read, or not to its end.
    """

    origin: Origin
    taxonomy: Taxonomy
    systems: Mapping[str, MultilabelCounts]
    intervals: Mapping[str, tuple[float, float]]
    gates: MultilabelCounts
    budget: Mapping[str, float]
    confusions: Mapping[str, Mapping[str, Mapping[str, float]]]
    failures: tuple[str, ...]

    @property
    def pipeline(self) -> MultilabelCounts:
        """Counts of the pipeline itself."""
        return next(iter(self.systems.values()))

    def to_dict(self) -> dict[str, Any]:
        """Give all scores as fractions, for `scores.json`."""
        counts = self.pipeline
        return {
            "schema": 1,
            **asdict(self.origin),
            "samples": counts.samples,
            "failures": list(self.failures),
            "systems": {
                name: _averages(system) | {"f1_interval": list(self.intervals[name])}
                for name, system in self.systems.items()
            },
            "error_budget": dict(self.budget),
            "confusions": {name: dict(matrix) for name, matrix in self.confusions.items()},
            "gates": _averages(self.gates)
            | {"per_actor": _by_name(self.taxonomy.actor_names, self.gates.per_label, self.gates)},
            "per_actor": {
                actor.name: counts.of_labels(actor.label_indices.tolist()).to_dict() for actor in self.taxonomy.actors
            },
            "per_label": _by_name(self.taxonomy.label_names, counts.per_label, counts),
        }

    def table(self) -> str:
        """Lay the scores out as text, in percent."""
        title = (
            f"{self.origin.data}, split '{self.origin.split}': {self.pipeline.samples} samples, {self.origin.level} "
            f"level; commonest labels counted on '{self.origin.baseline_split}'"
        )
        systems = [
            [
                name,
                *_percent(c.sample_averaged),
                _interval(self.intervals[name]),
                *_percent(c.micro),
                *_percent(c.macro),
            ]
            for name, c in self.systems.items()
        ]
        columns = [f"{letter}\n{kind}" for kind in ("sample", "micro", "macro") for letter in ("P", "R", "F1")]
        columns.insert(3, "95 %\nF1")
        parts = [
            title,
            "Who does what (%)",
            _tabulate(systems, ["labels", *columns]),
            "Gates: which actors are there (%)",
            _tabulate(self._gate_rows(), ["actor", "P", "R", "F1", "said", "true"]),
            "Where the F1 went (points of sample-averaged F1, in the order of repair)",
            _tabulate(self._budget_rows(), ["lost to", "points"]),
            "Per label, where it was said or is true (%)",
            _tabulate(self._label_rows(), ["label", "P", "R", "F1", "said", "true"]),
            "What is said instead of what is true (samples)",
            *(_tabulate(*confusion_table(matrix)) for matrix in self.confusions.values()),
        ]
        return "\n\n".join(parts)

    def _gate_rows(self) -> list[list[str]]:
        rows = [
            [name, *_percent(scores), str(self.gates.predicted[index]), str(self.gates.actual[index])]
            for index, (name, scores) in enumerate(zip(self.taxonomy.actor_names, self.gates.per_label, strict=True))
        ]
        return [*rows, ["sample-averaged", *_percent(self.gates.sample_averaged), "", ""]]

    def _budget_rows(self) -> list[list[str]]:
        rows = [["(right)", f"{100 * self.pipeline.sample_averaged.f1:.1f}"]]
        rows += [[kind, f"{100 * lost:.1f}"] for kind, lost in self.budget.items()]
        return [*rows, ["together", f"{100 * (self.pipeline.sample_averaged.f1 + sum(self.budget.values())):.1f}"]]

    def _label_rows(self) -> list[list[str]]:
        counts = self.pipeline
        return [
            [label.name, *_percent(scores), str(counts.predicted[label.index]), str(counts.actual[label.index])]
            for label, scores in zip(self.taxonomy.labels, counts.per_label, strict=True)
            if counts.predicted[label.index] or counts.actual[label.index]
        ]


def score_split(
    tagger: ActorActionTagger,
    data: Path,
    split: str,
    baseline_split: str | None = None,
    progress: Progress = lambda clips: clips,
    near_seconds: float | None = None,
) -> SplitReport:
    """Score the pipeline on one split of a labelled data set.

    Args:
        tagger: The pipeline.
        data: The data set.
        split: What to score.
        baseline_split: Where the commonest labels are counted for the trivial answers; None takes `train`, or `split`
            itself where there is no such split.
        progress: Wraps the clips, for a progress bar.
        near_seconds: As for `predict_split`.

    Returns:
        The report.

    Raises:
        DatasetError: If the data set is wrong.
    """
    samples = read_samples(data, split, tagger.taxonomy)
    if baseline_split is None:
        baseline_split = "train" if "train" in split_names(data) else split
    common = read_samples(data, baseline_split, tagger.taxonomy)
    training_labels = np.stack([tagger.taxonomy.encode(sample.labels) for sample in common])
    predictions = predict_split(tagger, samples, progress, near_seconds)
    settings = {**tagger.settings, "near_seconds": near_seconds}
    origin = Origin(data.name, split, baseline_split, _level(samples), tagger.weights, settings)
    return report_split(origin, predictions, training_labels, tagger.taxonomy)


def predict_split(
    tagger: ActorActionTagger,
    samples: Sequence[Sample],
    progress: Progress = lambda clips: clips,
    near_seconds: float | None = None,
) -> SplitPredictions:
    """Run the pipeline on every sample.

    A sample that speaks of a frame is gated by its whole clip, and its heads see that frame, as published; one that
    speaks of a clip is tagged as `run_pipeline.py` tags it.

    Args:
        tagger: The pipeline.
        samples: What to predict.
        progress: Wraps the clips, for a progress bar.
        near_seconds: A sample that speaks of a frame is gated by the frames so near to it, and heads that look at crops
            may take the actor's box from them, as the challenge report proposes (section 6); None takes the whole clip.

    Returns:
        Predictions and truth, in the samples' order.
    """
    taxonomy = tagger.taxonomy
    said = np.zeros((len(samples), len(taxonomy.labels)), dtype=bool)
    gated = np.zeros((len(samples), len(taxonomy.actors)), dtype=bool)
    failures = []
    rows: dict[Path, list[int]] = defaultdict(list)
    for row, sample in enumerate(samples):
        rows[sample.clip].append(row)
    for clip, detected in zip(progress(list(rows)), tagger.look_at(rows), strict=True):
        try:
            if isinstance(detected, UnreadableClip):
                raise detected.error
            for row in rows[clip]:
                seen, labelled = detected.detections, samples[row].frame_index
                if near_seconds is not None and labelled is not None:
                    seen = seen.near(labelled, near_seconds)
                gated[row] = tagger.present_actors(seen)
                said[row] = _say(tagger, samples[row], detected, seen, near_seconds or 0.0)
        except ClipError as reason:
            failures += [f"{reason}; nothing is said of it"] * len(rows[clip])
            continue
        if detected.detections.truncated:
            failures += [f"{clip}: {detected.detections.truncated}; scored as far as it goes"] * len(rows[clip])
    actual = np.stack([taxonomy.encode(sample.labels) for sample in samples])
    return SplitPredictions(said, gated, actual, tuple(sample.group for sample in samples), tuple(failures))


def report_split(
    origin: Origin, predictions: SplitPredictions, training_labels: BoolArray, taxonomy: Taxonomy
) -> SplitReport:
    """Count the predictions, and beside them what costs nothing.

    Args:
        origin: What is scored, and what decided.
        predictions: What was said of its samples, and what is true.
        training_labels: Truth of the samples that the commonest labels are taken from, shape (samples, labels).
        taxonomy: The run's.

    Returns:
        The report.
    """
    actual, gated = predictions.actual, predictions.gated
    rows = {"pipeline": predictions.said, **trivial_answers(gated, actual, training_labels, taxonomy)}
    confusions = {actor.name: confusion(predictions.said, actual, actor) for actor in taxonomy.actors}
    return SplitReport(
        origin,
        taxonomy,
        {name: count(said, actual) for name, said in rows.items()},
        {name: bootstrap_f1(said, actual, predictions.groups, seed=0) for name, said in rows.items()},
        count(gated, taxonomy.actors_of(actual)),
        error_budget(predictions.said, gated, actual, taxonomy),
        {name: matrix for name, matrix in confusions.items() if matrix},
        predictions.failures,
    )


def trivial_answers(
    gated: BoolArray, actual: BoolArray, training_labels: BoolArray, taxonomy: Taxonomy
) -> dict[str, BoolArray]:
    """Give the answers that cost nothing and show what a score is worth.

    Args:
        gated: Actors that passed their gate, shape (samples, actors).
        actual: Labels that hold, shape (samples, labels).
        training_labels: Where the commonest labels are counted, shape (training samples, labels).
        taxonomy: The run's.

    Returns:
        Labels said, shape (samples, labels), by what says them.
    """
    frequency = training_labels.sum(axis=0)
    commonest = int(frequency.argmax())
    always = np.zeros_like(actual)
    always[:, commonest] = True
    return {
        "gates, then each actor's commonest action": _commonest_actions(gated, frequency, taxonomy),
        "true actors, each one's commonest action": _commonest_actions(taxonomy.actors_of(actual), frequency, taxonomy),
        f"always {taxonomy.labels[commonest].name}": always,
        "all labels": np.ones_like(actual),
    }


def _say(
    tagger: ActorActionTagger, sample: Sample, detected: DetectedClip, seen: ClipDetections, near_seconds: float
) -> BoolArray:
    """Give the labels said of one sample, shape (labels,), whose gates know what was `seen`."""
    frames = tagger.choose_frames(seen)
    if sample.frame_index is not None:
        frames = dict.fromkeys(frames, (sample.frame_index,))
    return tagger.say(tagger.score_actions(tagger.look_at_actors(detected, frames, near_seconds)))


def _commonest_actions(present: BoolArray, frequency: NDArray[np.int64], taxonomy: Taxonomy) -> BoolArray:
    """Say of every present actor what it does most often in training, shape (samples, labels)."""
    said = np.zeros((len(present), len(taxonomy.labels)), dtype=bool)
    for actor in taxonomy.actors:
        commonest = actor.label_indices[frequency[actor.label_indices].argmax()]
        said[:, commonest] = present[:, actor.index]
    return said


def _level(samples: Sequence[Sample]) -> str:
    levels = {"clip" if sample.frame_index is None else "frame" for sample in samples}
    return levels.pop() if len(levels) == 1 else "mixed"


def _averages(counts: MultilabelCounts) -> dict[str, Any]:
    return {
        "sample_averaged": counts.sample_averaged.to_dict(),
        "micro": counts.micro.to_dict(),
        "macro": counts.macro.to_dict(),
    }


def _by_name(names: Sequence[str], scores: Sequence[Scores], counts: MultilabelCounts) -> dict[str, Any]:
    return {
        name: score.to_dict() | {"said": int(counts.predicted[place]), "true": int(counts.actual[place])}
        for place, (name, score) in enumerate(zip(names, scores, strict=True))
    }


def _percent(scores: Scores) -> list[str]:
    return [f"{100 * value:.1f}" for value in (scores.precision, scores.recall, scores.f1)]


def _interval(bounds: tuple[float, float]) -> str:
    return "–".join(f"{100 * bound:.1f}" for bound in bounds)


def _tabulate(rows: list[list[str]], columns: list[str]) -> str:
    return tabulate(rows, headers=columns, disable_numparse=True, colalign=("left", *["right"] * (len(columns) - 1)))
