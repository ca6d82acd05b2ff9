"""The scores of a split: counts, confidence intervals, error budget and confusions, as a table and as JSON."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tabulate import tabulate

from a2d.calibration import Reliability, measure_reliability
from a2d.confidence_intervals import bootstrap_f1
from a2d.metrics import MultilabelCounts, Scores, count
from a2d.taxonomy import Taxonomy
from pipeline.evaluation.error_budget import UNLABELLED, confusion, confusion_table, error_budget, false_alarms
from pipeline.results import Weights

BoolArray = NDArray[np.bool_]


@dataclass(frozen=True)
class SplitPredictions:
    """The predictions for every sample of a split, and the ground truth.

    Attributes:
        predicted: Predicted labels, shape (samples, labels).
        gated: Actors that passed their gate, shape (samples, actors).
        actual: True labels, shape (samples, labels).
        groups: Source of each sample.
        failures: One line for every sample whose clip could not be read (nothing is predicted for it) or is truncated
            (the prediction is that of the part that could be decoded).
        skipped: One line for every sample that is not scored.
        scores: Probability of every label in [0, 1], shape (samples, labels), NaN where the actor did not pass its gate
            and its head was not asked; None if unknown.
    """

    predicted: BoolArray
    gated: BoolArray
    actual: BoolArray
    groups: tuple[str, ...]
    failures: tuple[str, ...]
    skipped: tuple[str, ...] = ()
    scores: NDArray[np.float64] | None = None


@dataclass(frozen=True)
class Origin:
    """What was scored, and what determined the scores.

    Attributes:
        data: The data set's name.
        split: The split scored.
        baseline_split: Where the most common labels were counted.
        level: `frame` if the labels refer to frames, `clip` if they refer to clips, `mixed` for both.
        weights: SHA-256 of detector, gates and heads.
        settings: The other settings, by name.
        system: What is scored, by the name that it has in the tables.
    """

    data: str
    split: str
    baseline_split: str
    level: str
    weights: Weights
    settings: Mapping[str, Any]
    system: str = "pipeline"


@dataclass(frozen=True)
class SplitReport:
    """The scores of one split.

    Attributes:
        origin: What was scored, and what determined the scores.
        taxonomy: The run's.
        systems: Label counts by system: the pipeline first, then the trivial baselines.
        intervals: 95 % interval of each system's sample-averaged F1, sources resampled.
        gates: Actor counts of the gates.
        budget: The F1 lost to each kind of error, see `pipeline.evaluation.error_budget`.
        confusions: What is predicted instead of the true label, by actor that occurs.
        false_alarms: What is predicted where the actor is not there, by actor, see `pipeline.evaluation.error_budget`.
        reliability: Of the probabilities of all labels of the actors that passed their gate; None if unknown.
        failures: One line for every sample whose clip could not be read, or not to its end.
        skipped: One line for every sample that is not scored.
    """

    origin: Origin
    taxonomy: Taxonomy
    systems: Mapping[str, MultilabelCounts]
    intervals: Mapping[str, tuple[float, float]]
    gates: MultilabelCounts
    budget: Mapping[str, float]
    confusions: Mapping[str, Mapping[str, Mapping[str, float]]]
    false_alarms: Mapping[str, Mapping[str, float]]
    reliability: Reliability | None
    failures: tuple[str, ...]
    skipped: tuple[str, ...] = ()

    @property
    def pipeline(self) -> MultilabelCounts:
        """Counts of the pipeline itself."""
        return next(iter(self.systems.values()))

    @property
    def labels_without_samples(self) -> list[str]:
        """Labels that no sample of the split shows."""
        actual = self.pipeline.actual
        return [label.name for label in self.taxonomy.labels if not actual[label.index]]

    def warnings(self) -> list[str]:
        """Name the actors and labels on which the split says nothing, with counts."""
        samples, missing = self.pipeline.samples, self.labels_without_samples
        lines = []
        for actor, showing in zip(self.taxonomy.actor_names, self.gates.actual.tolist(), strict=True):
            if showing in (0, samples):
                untested = "false alarms" if showing else "misses"
                lines.append(f"{actor}: {showing} of {samples} samples show it: {untested} of its gate are not tested")
        if missing:
            lines.append(
                f"{len(missing)} of {len(self.taxonomy.labels)} labels have no sample in split {self.origin.split!r}: "
                + ", ".join(missing)
            )
        return lines

    def to_dict(self) -> dict[str, Any]:
        """Return all scores as fractions, for `scores.json`."""
        counts = self.pipeline
        return {
            "schema": 1,
            **asdict(self.origin),
            "samples": counts.samples,
            "failures": list(self.failures),
            "skipped": list(self.skipped),
            "labels_without_samples": self.labels_without_samples,
            "systems": {
                name: _averages(system) | {"f1_interval": list(self.intervals[name])}
                for name, system in self.systems.items()
            },
            "error_budget": dict(self.budget),
            "confusions": {name: dict(matrix) for name, matrix in self.confusions.items()},
            "false_alarms": {name: dict(line) for name, line in self.false_alarms.items()},
            "calibration": self.reliability.to_dict() if self.reliability else None,
            "gates": _averages(self.gates)
            | {"per_actor": _by_name(self.taxonomy.actor_names, self.gates.per_label, self.gates)},
            "per_actor": {
                actor.name: counts.of_labels(actor.label_indices.tolist()).to_dict() for actor in self.taxonomy.actors
            },
            "per_label": _by_name(self.taxonomy.label_names, counts.per_label, counts),
        }

    def table(self) -> str:
        """Format the scores as text, in percent."""
        title = (
            f"{self.origin.data}, split '{self.origin.split}': {self.pipeline.samples} samples, {self.origin.level} "
            f"level; most common labels counted on '{self.origin.baseline_split}'"
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
            "Gates: which actors are present (%)",
            _tabulate(self._gate_rows(), ["actor", "P", "R", "F1", "predicted", "true"]),
            "Where the F1 went (points of sample-averaged F1, in the order of correction)",
            _tabulate(self._budget_rows(), ["lost to", "points"]),
            "Per label that was predicted or is true (%)",
            _tabulate(self._label_rows(), ["label", "P", "R", "F1", "predicted", "true"]),
            *self._missing_labels(),
            "What is predicted instead of the true label (samples)",
            *(_tabulate(*confusion_table(matrix)) for matrix in self.confusions.values()),
        ]
        return "\n\n".join(parts)

    def _missing_labels(self) -> list[str]:
        missing, labels = len(self.labels_without_samples), len(self.taxonomy.labels)
        if not missing:
            return []
        return [f"{missing} of {labels} labels have no sample in this split; macro averages count each as 0"]

    def _gate_rows(self) -> list[list[str]]:
        rows = [
            [name, *_percent(scores), str(self.gates.predicted[index]), str(self.gates.actual[index])]
            for index, (name, scores) in enumerate(zip(self.taxonomy.actor_names, self.gates.per_label, strict=True))
        ]
        return [*rows, ["sample-averaged", *_percent(self.gates.sample_averaged), "", ""]]

    def _budget_rows(self) -> list[list[str]]:
        rows = [["(correct)", f"{100 * self.pipeline.sample_averaged.f1:.1f}"]]
        rows += [[kind, f"{100 * lost:.1f}"] for kind, lost in self.budget.items() if kind != UNLABELLED]
        return [*rows, ["total", f"{100 * (self.pipeline.sample_averaged.f1 + sum(self.budget.values())):.1f}"]]

    def _label_rows(self) -> list[list[str]]:
        counts = self.pipeline
        return [
            [label.name, *_percent(scores), str(counts.predicted[label.index]), str(counts.actual[label.index])]
            for label, scores in zip(self.taxonomy.labels, counts.per_label, strict=True)
            if counts.predicted[label.index] or counts.actual[label.index]
        ]


def report_split(
    origin: Origin, predictions: SplitPredictions, training_labels: BoolArray, taxonomy: Taxonomy
) -> SplitReport:
    """Score the predictions, and trivial baselines for comparison.

    Args:
        origin: What is scored, and what determines the scores.
        predictions: Of its samples, with the ground truth.
        training_labels: True labels of the samples from which the most common ones are taken, shape (samples, labels).
        taxonomy: The run's.

    Returns:
        The report.
    """
    actual, gated = predictions.actual, predictions.gated
    rows = {origin.system: predictions.predicted, **trivial_baselines(gated, actual, training_labels, taxonomy)}
    confusions = {actor.name: confusion(predictions.predicted, actual, actor) for actor in taxonomy.actors}
    return SplitReport(
        origin,
        taxonomy,
        {name: count(predicted, actual) for name, predicted in rows.items()},
        {name: bootstrap_f1(predicted, actual, predictions.groups, seed=0) for name, predicted in rows.items()},
        count(gated, taxonomy.actors_of(actual)),
        error_budget(predictions.predicted, gated, actual, taxonomy),
        {name: matrix for name, matrix in confusions.items() if matrix},
        {actor.name: false_alarms(predictions.predicted, actual, actor) for actor in taxonomy.actors},
        _reliability(predictions),
        predictions.failures,
        predictions.skipped,
    )


def _reliability(predictions: SplitPredictions) -> Reliability | None:
    if predictions.scores is None:
        return None
    known = ~np.isnan(predictions.scores)
    return measure_reliability(predictions.scores[known], predictions.actual[known])


def trivial_baselines(
    gated: BoolArray, actual: BoolArray, training_labels: BoolArray, taxonomy: Taxonomy
) -> dict[str, BoolArray]:
    """Return the predictions of trivial baselines, which show what a score is worth.

    Args:
        gated: Actors that passed their gate, shape (samples, actors).
        actual: True labels, shape (samples, labels).
        training_labels: Where the most common labels are counted, shape (training samples, labels).
        taxonomy: The run's.

    Returns:
        Predicted labels, shape (samples, labels), by baseline.
    """
    frequency = training_labels.sum(axis=0)
    most_common = int(frequency.argmax())
    always = np.zeros_like(actual)
    always[:, most_common] = True
    return {
        "gates, then each actor's commonest action": _most_common_actions(gated, frequency, taxonomy),
        "true actors, each one's commonest action": _most_common_actions(
            taxonomy.actors_of(actual), frequency, taxonomy
        ),
        f"always {taxonomy.labels[most_common].name}": always,
        "all labels": np.ones_like(actual),
    }


def _most_common_actions(present: BoolArray, frequency: NDArray[np.int64], taxonomy: Taxonomy) -> BoolArray:
    """Predict the most common training action of every present actor, shape (samples, labels)."""
    predicted = np.zeros((len(present), len(taxonomy.labels)), dtype=bool)
    for actor in taxonomy.actors:
        most_common = actor.label_indices[frequency[actor.label_indices].argmax()]
        predicted[:, most_common] = present[:, actor.index]
    return predicted


def _averages(counts: MultilabelCounts) -> dict[str, Any]:
    return {
        "sample_averaged": counts.sample_averaged.to_dict(),
        "micro": counts.micro.to_dict(),
        "macro": counts.macro.to_dict(),
    }


def _by_name(names: Sequence[str], scores: Sequence[Scores], counts: MultilabelCounts) -> dict[str, Any]:
    return {
        name: score.to_dict() | {"said": int(counts.predicted[index]), "true": int(counts.actual[index])}
        for index, (name, score) in enumerate(zip(names, scores, strict=True))
    }


def _percent(scores: Scores) -> list[str]:
    return [f"{100 * value:.1f}" for value in (scores.precision, scores.recall, scores.f1)]


def _interval(bounds: tuple[float, float]) -> str:
    return "–".join(f"{100 * bound:.1f}" for bound in bounds)


def _tabulate(rows: list[list[str]], columns: list[str]) -> str:
    return tabulate(rows, headers=columns, disable_numparse=True, colalign=("left", *["right"] * (len(columns) - 1)))
