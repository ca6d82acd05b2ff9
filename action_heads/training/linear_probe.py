"""Linear probe: a head's classifier as one-vs-rest logistic regression on cached features, deterministic and fast.

The features are standardized, block by block, for the regression only; the scaling is then folded into the classifier's
weight and bias. The regularization C is chosen by cross-validation within the training samples, grouped by source. The
held-out predictions of the same cross-validation determine the temperature by which the classifier is divided, so that
its probabilities are calibrated.
"""

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.model_selection import GroupKFold
from torch import nn

from a2d.metrics import count
from action_heads.input_kinds import MOTION_LAYER
from action_heads.label_decision import decide_labels, to_probabilities
from action_heads.training.logistic_regression import fit_logistic_regressions
from action_heads.training.temperature import expected_calibration_error, fit_temperature
from common.errors import TrainingError

C_VALUES = (3.0, 10.0, 30.0)  # scikit-learn's C: the smaller, the stronger the regularization
DEFAULT_C = 10.0  # if there is only one group, so that cross-validation is impossible
MIN_STD = 0.05  # added to each standard deviation, relative to the block's mean: damps nearly constant features
FOLDS = 5


@dataclass(frozen=True)
class LabelledFeatures:
    """Features of sampled frames of one actor, with their targets.

    Attributes:
        values: Shape (N, V, D), float32: V versions of each frame, the first one as in prediction, then mirrored.
        targets: Shape (N, outputs).
        sample: Index of each frame's sample, shape (N,), from 0.
        groups: Source of each frame, shape (N,).
        blocks: Sizes of the blocks that the D features consist of, in order; each block gets the same total variance.
            Empty for a single block.
        motion_dim: How many of the last features describe the actor's motion; they are clipped to their range.
    """

    values: NDArray[np.float32]
    targets: NDArray[np.bool_]
    sample: NDArray[np.int64]
    groups: NDArray[np.str_]
    blocks: tuple[int, ...] = ()
    motion_dim: int = 0

    def __len__(self) -> int:
        return len(self.values)

    def take(self, rows: NDArray[np.bool_] | NDArray[np.int64]) -> "LabelledFeatures":
        """Return the features of some of the frames."""
        return replace(
            self,
            values=self.values[rows],
            targets=self.targets[rows],
            sample=self.sample[rows],
            groups=self.groups[rows],
        )


@dataclass(frozen=True)
class AuxiliaryFeatures:
    """Features of additional training data: the same action performed by other actors, or labelled stills.

    Attributes:
        features: Their targets are in terms of the trained actor's labels.
        known: Mask of the known targets, shape (N, outputs).
        weight: Of each frame's sample, shape (N,), float64; the actor's own clips have weight 1.
    """

    features: LabelledFeatures
    known: NDArray[np.bool_]
    weight: NDArray[np.float64]

    def without(self, groups: NDArray[np.str_]) -> "AuxiliaryFeatures":
        """Return the features without those from some sources."""
        rows = ~np.isin(self.features.groups, groups)
        return AuxiliaryFeatures(self.features.take(rows), self.known[rows], self.weight[rows])


@dataclass(frozen=True)
class TemperatureScaling:
    """Calibration of a classifier on held-out predictions.

    Attributes:
        temperature: Divisor of the logits.
        error_before: Expected calibration error of the original logits, in [0, 1].
        error_after: Of the divided logits, on the samples that the temperature was fitted to.
    """

    temperature: float
    error_before: float
    error_after: float


@dataclass(frozen=True)
class LinearProbe:
    """A linear classifier: logits are `features @ weight.T + bias`.

    Attributes:
        weight: Shape (outputs, D), float32.
        bias: Shape (outputs,), float32.
        C: scikit-learn's inverse regularization strength.
        f1_by_c: Sample-averaged F1 in the cross-validation by value of C; empty without cross-validation.
        calibration: Temperature by which weight and bias were divided; None without cross-validation.
        motion_range: Lowest and highest value in training of each of the M last features, which describe the actor's
            motion and are clipped to it, shape (2, M); M may be 0.
    """

    weight: NDArray[np.float32]
    bias: NDArray[np.float32]
    C: float
    f1_by_c: dict[float, float]
    calibration: TemperatureScaling | None = None
    motion_range: NDArray[np.float32] = field(default_factory=lambda: np.zeros((2, 0), np.float32))

    def probabilities(self, features: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the labels' probabilities, from features (..., D) to (..., outputs), in [0, 1]."""
        return to_probabilities(self.logits(features))

    def logits(self, features: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the labels' logits, from features (..., D) to (..., outputs)."""
        if first := self.motion_range.shape[1]:
            clipped = np.clip(features[..., -first:], *self.motion_range)
            features = np.concatenate([features[..., :-first], clipped], axis=-1)
        return features @ self.weight.T + self.bias

    def copy_into(self, network: nn.Module, classifier: str) -> None:
        """Copy the weights into a network's layer `classifier`, and those of motion features into its motion layer."""
        layer: Any = network.get_submodule(classifier)
        size = layer.in_features
        with torch.no_grad():
            layer.weight.copy_(torch.from_numpy(self.weight[:, :size]))
            layer.bias.copy_(torch.from_numpy(self.bias))
            if self.weight.shape[1] > size:
                motion: Any = network.get_submodule(MOTION_LAYER)
                motion.weight.copy_(torch.from_numpy(self.weight[:, size:]))
                motion.range.copy_(torch.from_numpy(self.motion_range))

    def recipe(self) -> dict[str, Any]:
        """Return a description of the training, for a manifest."""
        f1_by_c = {f"{c:g}": round(f1, 4) for c, f1 in self.f1_by_c.items()}
        recipe = {"name": "logistic_regression", "strength": self.C, "f1_by_strength": f1_by_c, "folds": FOLDS}
        if self.calibration:
            recipe["temperature"] = round(self.calibration.temperature, 4)
            recipe["reliability_error"] = {
                "before": round(self.calibration.error_before, 4),
                "after": round(self.calibration.error_after, 4),
            }
        return recipe


def fit_linear_probe(features: LabelledFeatures, auxiliary: AuxiliaryFeatures | None = None) -> LinearProbe:
    """Fit a classifier, with C and the temperature chosen by cross-validation.

    Args:
        features: Training data.
        auxiliary: Additional training data.

    Returns:
        The classifier.

    Raises:
        TrainingError: If there is no training data.
    """
    if not len(features):
        raise TrainingError("no frame to train on")
    held_out = predict_held_out(features, auxiliary)
    f1_by_c = {c: score_samples(logits, features) for c, logits in held_out.items()}
    best_c = max(f1_by_c, key=lambda c: (round(f1_by_c[c], 6), -c)) if f1_by_c else DEFAULT_C
    (probe,) = fit_for_c_values(features, [best_c], auxiliary)
    if not f1_by_c:
        return probe
    logits, targets = pool_logits(held_out[best_c], features)
    temperature = fit_temperature(logits, targets)
    before, after = (expected_calibration_error(to_probabilities(logits / by), targets) for by in (1, temperature))
    # The constant of a label without any contrast reflects the number of samples, so it is not scaled.
    divisor = np.where(probe.weight.any(axis=1), temperature, 1).astype(np.float32)
    calibration = TemperatureScaling(temperature, before, after)
    return LinearProbe(
        probe.weight / divisor[:, None], probe.bias / divisor, best_c, f1_by_c, calibration, probe.motion_range
    )


def fit_for_c_values(
    features: LabelledFeatures, c_values: list[float], auxiliary: AuxiliaryFeatures | None = None
) -> list[LinearProbe]:
    """Fit one classifier per value of C to the mean features of each sample, all samples with the same weight.

    Args:
        features: Training data with at least one frame.
        c_values: In ascending order, so that each fit can start from the previous one.
        auxiliary: Additional training data.
    """
    table = _build_table(features, auxiliary)
    rows = table.rows[: table.primary_rows]
    mean, std = rows.mean(axis=0), _scale(rows, features.blocks)
    inputs = ((table.rows - mean) / std).astype(np.float32)
    basis = None
    if inputs.shape[1] > 2 * len(inputs):  # the rows span at most as many dimensions as there are rows
        left, values, basis = np.linalg.svd(inputs, full_matrices=False)
        inputs = left * values
    weights = (table.known * table.weights[:, None]).astype(np.float32)
    solutions = fit_logistic_regressions(inputs, table.targets, weights, c_values)
    motion = table.rows[:, table.rows.shape[1] - features.motion_dim :]
    motion_range = np.stack([motion.min(axis=0), motion.max(axis=0)])
    probes = []
    for c, solution in zip(c_values, solutions, strict=True):
        weight = (solution[:, :-1] if basis is None else solution[:, :-1] @ basis).astype(np.float64) / std
        bias = solution[:, -1] - weight @ mean
        probes.append(LinearProbe(weight.astype(np.float32), bias.astype(np.float32), c, {}, motion_range=motion_range))
    return probes


def pool_samples(features: LabelledFeatures) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Return each sample's mean features, shape (samples, V, D), and its targets, shape (samples, outputs)."""
    _, first, index = np.unique(features.sample, return_index=True, return_inverse=True)
    sums = np.zeros((len(first), *features.values.shape[1:]), np.float32)
    np.add.at(sums, index, features.values)
    counts = np.bincount(index).astype(np.float32)
    return (sums / counts[:, None, None]).astype(np.float32), features.targets[first]


def pool_logits(
    logits: NDArray[np.float32], features: LabelledFeatures
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Return each sample's mean logits and its targets, both of shape (samples, outputs).

    Args:
        logits: Of each frame, shape (N, outputs).
        features: Provides the frames' samples and targets.
    """
    _, first, index = np.unique(features.sample, return_index=True, return_inverse=True)
    means = np.stack([np.bincount(index, column) for column in logits.T], axis=1) / np.bincount(index)[:, None]
    return means, features.targets[first]


def score_samples(logits: NDArray[np.float32], features: LabelledFeatures) -> float:
    """Return the sample-averaged F1, in [0, 1], of labels decided from each sample's mean logits, as in the tagger.

    Args:
        logits: Of each frame, shape (N, outputs).
        features: Provides the frames' samples and targets.
    """
    means, targets = pool_logits(logits, features)
    return count(decide_labels(to_probabilities(means)), targets).sample_averaged.f1


def predict_held_out(
    features: LabelledFeatures, auxiliary: AuxiliaryFeatures | None
) -> dict[float, NDArray[np.float32]]:
    """Return logits (N, outputs) by value of C, cross-validated in groups by source; empty for a single source."""
    folds = min(FOLDS, len(set(features.groups.tolist())))
    if folds < 2:
        return {}
    logits = {c: np.zeros(features.targets.shape, np.float32) for c in C_VALUES}
    for train, held_out in GroupKFold(folds).split(features.values, groups=features.groups):
        allowed = auxiliary.without(features.groups[held_out]) if auxiliary else None
        for probe in fit_for_c_values(features.take(train), list(C_VALUES), allowed):
            logits[probe.C][held_out] = probe.logits(features.values[held_out, 0])
    return logits


@dataclass(frozen=True)
class _Table:
    """Training data of a regression, one row per version of each sample; auxiliary samples come last.

    Attributes:
        rows: Shape (R, D), float32.
        targets: Shape (R, outputs).
        known: Mask of the known targets, shape (R, outputs).
        weights: Shape (R,).
        primary_rows: Number of rows that are not auxiliary.
    """

    rows: NDArray[np.float32]
    targets: NDArray[np.bool_]
    known: NDArray[np.bool_]
    weights: NDArray[np.float64]
    primary_rows: int


def _build_table(features: LabelledFeatures, auxiliary: AuxiliaryFeatures | None) -> _Table:
    pooled, targets = pool_samples(features)
    known, weights = np.ones(targets.shape, dtype=bool), np.ones(len(pooled))
    samples, versions, _ = pooled.shape
    if auxiliary and len(auxiliary.features):
        auxiliary_pooled, auxiliary_targets = pool_samples(auxiliary.features)
        _, first = np.unique(auxiliary.features.sample, return_index=True)
        pooled, targets = np.concatenate([pooled, auxiliary_pooled]), np.concatenate([targets, auxiliary_targets])
        known = np.concatenate([known, auxiliary.known[first]])
        weights = np.append(weights, auxiliary.weight[first])
    rows = pooled.reshape(len(pooled) * versions, -1)
    targets, known, weights = (np.repeat(array, versions, axis=0) for array in (targets, known, weights / versions))
    return _Table(rows, targets, known, weights, samples * versions)


def _scale(rows: NDArray[np.float32], blocks: tuple[int, ...]) -> NDArray[np.float64]:
    """Return the divisors of features (N, D), shape (D,), which give each block a total variance of 1."""
    parts = np.split(rows.std(axis=0, dtype=np.float64), np.cumsum(blocks or [rows.shape[1]])[:-1])
    return np.concatenate([(part + MIN_STD * part.mean() + 1e-6) * np.sqrt(len(part)) for part in parts])
