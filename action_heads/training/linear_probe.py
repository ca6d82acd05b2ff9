"""The last layer by regression: one-vs-rest logistic regression on kept features, deterministic and done in seconds.

The features are standardised for the regression, block by block, which is then folded into the layer's weight and bias,
so that what comes out is an ordinary last layer. How strongly the weights are held back is chosen by cross-validation
within the training samples, whose groups stay together; what it says of held-out samples also gives the temperature by
which the layer is divided, so that its probabilities mean what they say.
"""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GroupKFold
from torch import nn

from a2d.metrics import count
from action_heads.crops import MOTION_LAYER
from action_heads.label_decision import decide_labels, to_probabilities
from action_heads.training.temperature import expected_calibration_error, fit_temperature
from common.errors import TrainingError

C_VALUES = (3.0, 10.0, 30.0)  # scikit-learn's C: the smaller, the more the weights are held back
DEFAULT_C = 10.0  # where there is one group only, and nothing to choose by
MIN_SPREAD = 0.05  # of the mean spread in its block: a feature that hardly ever moves must not decide when it does
FOLDS = 5
ITERATIONS = 2000


@dataclass(frozen=True)
class LabelledFeatures:
    """Features of looks at one actor, and what it does in each.

    Attributes:
        values: Shape (N, V, D), float32: V views of each look, the first one as prediction sees it.
        targets: Shape (N, outputs), True where the actor's label holds.
        sample: The sample that each look belongs to, shape (N,), from 0.
        groups: Source of each look, shape (N,).
        blocks: How many of the D features belong together, in order, each block with the same say; () for all.
    """

    values: NDArray[np.float32]
    targets: NDArray[np.bool_]
    sample: NDArray[np.int64]
    groups: NDArray[np.str_]
    blocks: tuple[int, ...] = ()

    def __len__(self) -> int:
        return len(self.values)

    def at(self, rows: NDArray[np.bool_] | NDArray[np.int64]) -> "LabelledFeatures":
        """Give some of the looks."""
        return replace(
            self,
            values=self.values[rows],
            targets=self.targets[rows],
            sample=self.sample[rows],
            groups=self.groups[rows],
        )


@dataclass(frozen=True)
class AuxiliaryFeatures:
    """Features of looks at other actors, which teach this one's head too: an action is the same, whoever does it.

    Attributes:
        features: Their targets are what would hold of the borrower's labels.
        known: For which of those labels a look says anything, shape (N, outputs).
        weight: How much a sample of theirs counts; an own one counts 1.
    """

    features: LabelledFeatures
    known: NDArray[np.bool_]
    weight: float

    def without(self, groups: NDArray[np.str_]) -> "LentFeatures":
        """Leave out what comes from some sources."""
        kept = ~np.isin(self.features.groups, groups)
        return replace(self, features=self.features.at(kept), known=self.known[kept])


@dataclass(frozen=True)
class TemperatureScaling:
    """How sure a layer may be of itself, as held-out samples showed.

    Attributes:
        temperature: By which its logits were divided.
        before: Its reliability error with the logits as they were, in [0, 1].
        after: And with the divided ones; the temperature was fitted to the same samples.
    """

    temperature: float
    before: float
    after: float


@dataclass(frozen=True)
class LinearProbe:
    """A last layer: logits are `features @ weight.T + bias`.

    Attributes:
        weight: Shape (outputs, D), float32.
        bias: Shape (outputs,), float32.
        strength: scikit-learn's C.
        tried: Sample-averaged F1 by strength, in the cross-validation; empty where nothing was tried.
        calibration: What weight and bias were divided by; None where nothing was held out to see.
    """

    weight: NDArray[np.float32]
    bias: NDArray[np.float32]
    strength: float
    tried: dict[float, float]
    calibration: TemperatureScaling | None = None

    def probabilities(self, features: NDArray[np.float32]) -> NDArray[np.float32]:
        """Give each label's probability, from features (..., D) to (..., outputs), in [0, 1]."""
        return to_probabilities(self.logits(features))

    def logits(self, features: NDArray[np.float32]) -> NDArray[np.float32]:
        """Give each label's logit, from features (..., D) to (..., outputs)."""
        return features @ self.weight.T + self.bias

    def put_into(self, network: nn.Module, name: str) -> None:
        """Make it a network's last layer; what it makes of motion becomes a layer `motion` beside it."""
        layer: Any = network.get_submodule(name)
        images = layer.in_features
        with torch.no_grad():
            layer.weight.copy_(torch.from_numpy(self.weight[:, :images]))
            layer.bias.copy_(torch.from_numpy(self.bias))
            if self.weight.shape[1] > images:
                motion: Any = network.get_submodule(MOTION_LAYER)
                motion.weight.copy_(torch.from_numpy(self.weight[:, images:]))

    def recipe(self) -> dict[str, Any]:
        """Say how it was made, for a manifest."""
        tried = {f"{strength:g}": round(f1, 4) for strength, f1 in self.tried.items()}
        made = {"name": "logistic_regression", "strength": self.strength, "f1_by_strength": tried, "folds": FOLDS}
        if self.calibration:
            made["temperature"] = round(self.calibration.temperature, 4)
            made["reliability_error"] = {
                "before": round(self.calibration.before, 4),
                "after": round(self.calibration.after, 4),
            }
        return made


def fit_linear_probe(features: LabelledFeatures, lent: AuxiliaryFeatures | None = None) -> LinearProbe:
    """Fit the last layer, its strength and its temperature chosen within the material.

    Args:
        features: What to learn from.
        lent: What looks at other actors teach besides; None for nothing.

    Returns:
        The layer.

    Raises:
        TrainingError: If there is nothing to learn from.
    """
    if not len(features):
        raise TrainingError("no frame to train on")
    held_out = predict_held_out(features, lent)
    tried = {strength: score_samples(logits, features) for strength, logits in held_out.items()}
    strength = max(tried, key=lambda value: (round(tried[value], 6), -value)) if tried else DEFAULT_C
    (layer,) = fit_for_c_values(features, [strength], lent)
    if not tried:
        return layer
    logits, targets = pool_logits(held_out[strength], features)
    temperature = fit_temperature(logits, targets)
    before, after = (expected_calibration_error(to_probabilities(logits / by), targets) for by in (1, temperature))
    # A label of which there was nothing to learn has a constant, which says how much there was, and that stays.
    divisor = np.where(layer.weight.any(axis=1), temperature, 1).astype(np.float32)
    calibration = TemperatureScaling(temperature, before, after)
    return LinearProbe(layer.weight / divisor[:, None], layer.bias / divisor, strength, tried, calibration)


def fit_for_c_values(
    features: LabelledFeatures, strengths: list[float], lent: AuxiliaryFeatures | None = None
) -> list[LinearProbe]:
    """Fit one layer for each strength, rising, to the mean of each sample's looks; all own samples weigh the same.

    Args:
        features: What to learn from; at least one look.
        strengths: scikit-learn's C, rising, so that each fit can start from the one before.
        lent: What looks at other actors teach besides; None for nothing.
    """
    table = _tabulate(features, lent)
    rows = table.rows[: table.own]
    mean, std = rows.mean(axis=0), _spread(rows, features.blocks)
    inputs = ((table.rows - mean) / std).astype(np.float64)  # in single precision the search for the optimum stalls
    basis = None
    if inputs.shape[1] > len(inputs):  # no more than so many directions are told apart by so few samples
        left, values, basis = np.linalg.svd(inputs, full_matrices=False)
        inputs = left * values
    found = np.zeros((len(strengths), table.targets.shape[1], inputs.shape[1] + 1))
    for label, known in enumerate(table.known.T):
        found[:, label] = _regress(inputs[known], table.targets[known, label], table.weights[known], strengths)
    layers = []
    for strength, solution in zip(strengths, found, strict=True):
        weight = (solution[:, :-1] if basis is None else solution[:, :-1] @ basis) / std
        bias = solution[:, -1] - weight @ mean
        layers.append(LinearProbe(weight.astype(np.float32), bias.astype(np.float32), strength, {}))
    return layers


def pool_samples(features: LabelledFeatures) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Give the mean of each sample's looks, shape (samples, V, D), and its targets, shape (samples, outputs)."""
    _, first, place = np.unique(features.sample, return_index=True, return_inverse=True)
    sums = np.zeros((len(first), *features.values.shape[1:]), np.float32)
    np.add.at(sums, place, features.values)
    looks = np.bincount(place).astype(np.float32)
    return (sums / looks[:, None, None]).astype(np.float32), features.targets[first]


def _spread(rows: NDArray[np.float32], blocks: tuple[int, ...]) -> NDArray[np.float64]:
    """Say by what features (N, D) are divided, shape (D,), so that all blocks have a variance of 1 in all."""
    parts = np.split(rows.std(axis=0, dtype=np.float64), np.cumsum(blocks or [rows.shape[1]])[:-1])
    return np.concatenate([(part + MIN_SPREAD * part.mean() + 1e-6) * np.sqrt(len(part)) for part in parts])


def pool_logits(
    logits: NDArray[np.float32], features: LabelledFeatures
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Give the mean of what is said of each sample's looks, and its targets, both of shape (samples, outputs).

    Args:
        logits: Of each look, shape (N, outputs).
        features: The looks' samples and truth.
    """
    _, first, place = np.unique(features.sample, return_index=True, return_inverse=True)
    means = np.stack([np.bincount(place, column) for column in logits.T], axis=1) / np.bincount(place)[:, None]
    return means, features.targets[first]


def score_samples(logits: NDArray[np.float32], features: LabelledFeatures) -> float:
    """Give the sample-averaged F1 of what is said of each sample, read out as the tagger does: F1 in [0, 1].

    Args:
        logits: Of each look, shape (N, outputs).
        features: The looks' samples and truth.
    """
    means, targets = pool_logits(logits, features)
    return count(decide_labels(to_probabilities(means)), targets).sample_averaged.f1


def predict_held_out(features: LabelledFeatures, lent: AuxiliaryFeatures | None) -> dict[float, NDArray[np.float32]]:
    """Give every look's logits (N, outputs) by layers that know nothing of its source; empty for one source alone."""
    folds = min(FOLDS, len(set(features.groups.tolist())))
    if folds < 2:
        return {}
    logits = {strength: np.zeros(features.targets.shape, np.float32) for strength in C_VALUES}
    for train, held_out in GroupKFold(folds).split(features.values, groups=features.groups):
        known = lent.without(features.groups[held_out]) if lent else None
        for layer in fit_for_c_values(features.at(train), list(C_VALUES), known):
            logits[layer.strength][held_out] = layer.logits(features.values[held_out, 0])
    return logits


@dataclass(frozen=True)
class _Table:
    """What a regression learns from, a row for each view of each sample; own samples come first.

    Attributes:
        rows: Shape (R, D), float32.
        targets: Shape (R, outputs).
        known: Which targets count, shape (R, outputs).
        weights: Shape (R,).
        own: How many rows are of own samples.
    """

    rows: NDArray[np.float32]
    targets: NDArray[np.bool_]
    known: NDArray[np.bool_]
    weights: NDArray[np.float64]
    own: int


def _tabulate(features: LabelledFeatures, lent: AuxiliaryFeatures | None) -> _Table:
    pooled, targets = pool_samples(features)
    known, weights = np.ones(targets.shape, dtype=bool), np.ones(len(pooled))
    samples, views, _ = pooled.shape
    if lent and len(lent.features):
        others, would_hold = pool_samples(lent.features)
        _, first = np.unique(lent.features.sample, return_index=True)
        pooled, targets = np.concatenate([pooled, others]), np.concatenate([targets, would_hold])
        known = np.concatenate([known, lent.known[first]])
        weights = np.append(weights, np.full(len(others), lent.weight))
    rows = pooled.reshape(len(pooled) * views, -1)
    targets, known, weights = (np.repeat(array, views, axis=0) for array in (targets, known, weights / views))
    return _Table(rows, targets, known, weights, samples * views)


def _regress(
    inputs: NDArray[np.float64], target: NDArray[np.bool_], weights: NDArray[np.float64], strengths: list[float]
) -> NDArray[np.float64]:
    """Give weights and bias for each strength, shape (strengths, D + 1)."""
    solution = np.zeros((len(strengths), inputs.shape[1] + 1))
    if target.all() or not target.any():
        # Nothing tells the label from the rest: say how likely it is after so many samples (Laplace); after a single
        # one as after two, for a label that was never seen must stay below the threshold from which labels are said.
        samples = max(weights.sum(), 2.0)
        solution[:, -1] = np.log(samples + 1) * (1 if target.all() else -1)
        return solution
    model = LogisticRegression(solver="newton-cg", max_iter=ITERATIONS, warm_start=True)  # half of lbfgs's time
    for place, strength in enumerate(strengths):
        model.C = strength
        model.fit(inputs, target, sample_weight=weights)
        solution[place] = [*model.coef_[0], model.intercept_[0]]
    return solution
