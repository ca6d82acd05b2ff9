"""Precision, recall and F1 of multi-label predictions.

The challenge metric is sample-averaged, so its F1 is the mean of the samples' F1 and not 2PR / (P + R). With x the
0/1 prediction row and y the ground-truth row of a sample, it is (A2D actor-action challenge, 2020):

    P = mean(sum(xy) / (sum(x) + 1e-8))    R = mean(sum(xy) / sum(y))    F1 = mean(2 sum(xy) / (sum(x) + sum(y)))

and equals scikit-learn's `average="samples"` where every sample has a label. The formulas leave open what a sample
without a label is worth, such as a clip in which no actor is. Here it is right or wrong as a whole: all three are 1 if
nothing is predicted for it, and 0 otherwise.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

EPSILON = 1e-8


@dataclass(frozen=True)
class Scores:
    """Precision, recall and F1, each a fraction in [0, 1]."""

    precision: float
    recall: float
    f1: float

    def to_dict(self) -> dict[str, float]:
        """Return the three fractions by name."""
        return {"precision": self.precision, "recall": self.recall, "f1": self.f1}


@dataclass(frozen=True)
class MultilabelCounts:
    """Counts from which every average follows; the sum of two is that of both sets of samples.

    Attributes:
        samples: Number of samples.
        sample_sums: Sums over samples of precision, recall and F1, shape (3,).
        true_positives: Samples in which the label is predicted and true, shape (labels,).
        predicted: Samples in which the label is predicted, shape (labels,).
        actual: Samples in which the label is true, shape (labels,).
    """

    samples: int
    sample_sums: NDArray[np.float64]
    true_positives: NDArray[np.int64]
    predicted: NDArray[np.int64]
    actual: NDArray[np.int64]

    def __add__(self, other: "MultilabelCounts") -> "MultilabelCounts":
        """Pool the samples of two counts over the same labels."""
        return MultilabelCounts(
            self.samples + other.samples,
            self.sample_sums + other.sample_sums,
            self.true_positives + other.true_positives,
            self.predicted + other.predicted,
            self.actual + other.actual,
        )

    @property
    def sample_averaged(self) -> Scores:
        """The challenge metric: mean over samples."""
        precision, recall, f1 = self.sample_sums / max(self.samples, 1)
        return Scores(float(precision), float(recall), float(f1))

    @property
    def micro(self) -> Scores:
        """Scores of the decisions on all labels pooled."""
        return self.of_labels(range(len(self.actual)))

    @property
    def macro(self) -> Scores:
        """Mean over labels; a label that is neither predicted nor true counts as 0, as in scikit-learn."""
        if not len(self.actual):
            return Scores(0.0, 0.0, 0.0)
        rows = np.array([(s.precision, s.recall, s.f1) for s in self.per_label])
        precision, recall, f1 = rows.mean(axis=0)
        return Scores(float(precision), float(recall), float(f1))

    @property
    def per_label(self) -> list[Scores]:
        """Scores of each label, in label order."""
        return [self.of_labels([index]) for index in range(len(self.actual))]

    def of_labels(self, indices: Sequence[int] | range) -> Scores:
        """Micro-average over some labels, for example those of one actor.

        Args:
            indices: Indices of the labels, from 0.

        Returns:
            Their scores; 0 where nothing is predicted or nothing is true.
        """
        selected = list(indices)
        hits = int(self.true_positives[selected].sum())
        predicted = int(self.predicted[selected].sum())
        actual = int(self.actual[selected].sum())
        return Scores(hits / max(predicted, 1), hits / max(actual, 1), 2 * hits / max(predicted + actual, 1))


def count(predicted: NDArray[np.bool_], actual: NDArray[np.bool_]) -> MultilabelCounts:
    """Count predictions against the ground truth.

    Args:
        predicted: Shape (samples, labels), True where the label is predicted.
        actual: Shape (samples, labels), True where the label is true.

    Returns:
        The counts.

    Raises:
        ValueError: If the shapes differ or are not two-dimensional.

    >>> actual = np.array([[1, 0, 1], [0, 1, 0]], dtype=bool)
    >>> predicted = np.array([[1, 1, 0], [0, 0, 0]], dtype=bool)
    >>> scores = count(predicted, actual).sample_averaged
    >>> round(scores.precision, 6), scores.recall, scores.f1
    (0.25, 0.25, 0.25)
    """
    predicted, actual = np.asarray(predicted, dtype=bool), np.asarray(actual, dtype=bool)
    if predicted.shape != actual.shape or predicted.ndim != 2:
        raise ValueError(f"two arrays (samples, labels) were expected, found {predicted.shape = }, {actual.shape = }")
    hits = (predicted & actual).sum(axis=1)
    scores = score_samples(hits, predicted.sum(axis=1), actual.sum(axis=1))
    sums = scores.sum(axis=1) if actual.shape[1] else np.zeros(3)
    return MultilabelCounts(
        len(actual), sums, (predicted & actual).sum(axis=0), predicted.sum(axis=0), actual.sum(axis=0)
    )


def score_samples(
    hits: NDArray[np.integer], predicted: NDArray[np.integer], actual: NDArray[np.integer]
) -> NDArray[np.float64]:
    """Score each sample, before averaging.

    Args:
        hits: Number of labels that are predicted and true, shape (samples,).
        predicted: Number of predicted labels, shape (samples,).
        actual: Number of true labels, shape (samples,).

    Returns:
        Precision, recall and F1 of each sample, shape (3, samples).

    >>> score_samples(np.array([0, 0]), np.array([0, 1]), np.array([0, 0])).T.tolist()
    [[1.0, 1.0, 1.0], [0.0, 0.0, 0.0]]
    """
    is_rightly_empty = predicted + actual == 0
    precision = hits / (predicted + EPSILON) + is_rightly_empty
    recall = hits / np.maximum(actual, 1) + is_rightly_empty
    return np.stack([precision, recall, 2 * hits / np.maximum(predicted + actual, 1) + is_rightly_empty])
