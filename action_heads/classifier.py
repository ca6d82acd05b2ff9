"""The last layer by regression: one-vs-rest logistic regression on kept features, deterministic and done in seconds.

The features are standardised for the regression, block by block, which is then folded into the layer's weight and bias,
so that what comes out is an ordinary last layer. How strongly the weights are held back is chosen by cross-validation
within the training samples, whose groups stay together.
"""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GroupKFold
from torch import nn

from a2d.errors import TrainingError
from a2d.metrics import count
from action_heads.crops import MOTION_LAYER
from action_heads.readout import say_labels, to_probabilities

STRENGTHS = (3.0, 10.0, 30.0)  # scikit-learn's C: the smaller, the more the weights are held back
LONE_STRENGTH = 10.0  # where there is one group only, and nothing to choose by
LEAST_SPREAD = 0.05  # of the mean spread in its block: a feature that hardly ever moves must not decide when it does
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
class LastLayer:
    """A last layer: logits are `features @ weight.T + bias`.

    Attributes:
        weight: Shape (outputs, D), float32.
        bias: Shape (outputs,), float32.
        strength: scikit-learn's C.
        tried: Sample-averaged F1 by strength, in the cross-validation; empty where nothing was tried.
    """

    weight: NDArray[np.float32]
    bias: NDArray[np.float32]
    strength: float
    tried: dict[float, float]

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
        return {"name": "logistic_regression", "strength": self.strength, "f1_by_strength": tried, "folds": FOLDS}


def fit_last_layer(features: LabelledFeatures) -> LastLayer:
    """Fit the last layer, its strength chosen within the material.

    Args:
        features: What to learn from.

    Returns:
        The layer.

    Raises:
        TrainingError: If there is nothing to learn from.
    """
    if not len(features):
        raise TrainingError("no frame to train on")
    tried = _try_strengths(features)
    strength = max(tried, key=lambda value: (round(tried[value], 6), -value)) if tried else LONE_STRENGTH
    (layer,) = fit_strengths(features, [strength])
    return LastLayer(layer.weight, layer.bias, strength, tried)


def fit_strengths(features: LabelledFeatures, strengths: list[float]) -> list[LastLayer]:
    """Fit one layer for each strength, rising, to the mean of each sample's looks; all samples weigh the same.

    Args:
        features: What to learn from; at least one look.
        strengths: scikit-learn's C, rising, so that each fit can start from the one before.
    """
    pooled, targets = pool_samples(features)
    samples, views, _ = pooled.shape
    rows = pooled.reshape(samples * views, -1)
    weights = np.full(len(rows), 1 / views)
    mean, std = rows.mean(axis=0), _spread(rows, features.blocks)
    inputs = ((rows - mean) / std).astype(np.float64)  # in single precision the search for the optimum stalls
    basis = None
    if inputs.shape[1] > len(inputs):  # no more than so many directions are told apart by so few samples
        left, values, basis = np.linalg.svd(inputs, full_matrices=False)
        inputs = left * values
    found = np.zeros((len(strengths), features.targets.shape[1], inputs.shape[1] + 1))
    for label in range(targets.shape[1]):
        found[:, label] = _regress(inputs, np.repeat(targets[:, label], views), weights, strengths)
    layers = []
    for strength, solution in zip(strengths, found, strict=True):
        weight = (solution[:, :-1] if basis is None else solution[:, :-1] @ basis) / std
        bias = solution[:, -1] - weight @ mean
        layers.append(LastLayer(weight.astype(np.float32), bias.astype(np.float32), strength, {}))
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
    return np.concatenate([(part + LEAST_SPREAD * part.mean() + 1e-6) * np.sqrt(len(part)) for part in parts])


def score_samples(logits: NDArray[np.float32], features: LabelledFeatures) -> float:
    """Give the sample-averaged F1 of what is said of each sample, read out as the tagger does: F1 in [0, 1].

    Args:
        logits: Of each look, shape (N, outputs).
        features: The looks' samples and truth.
    """
    _, first, place = np.unique(features.sample, return_index=True, return_inverse=True)
    means = np.stack([np.bincount(place, column) for column in logits.T], axis=1) / np.bincount(place)[:, None]
    return count(say_labels(to_probabilities(means)), features.targets[first]).sample_averaged.f1


def _try_strengths(features: LabelledFeatures) -> dict[float, float]:
    """Cross-validate each strength; empty where there is one group only."""
    folds = min(FOLDS, len(set(features.groups.tolist())))
    if folds < 2:
        return {}
    logits = np.zeros((len(STRENGTHS), *features.targets.shape), np.float32)
    for train, held_out in GroupKFold(folds).split(features.values, groups=features.groups):
        for place, layer in enumerate(fit_strengths(features.at(train), list(STRENGTHS))):
            logits[place, held_out] = layer.logits(features.values[held_out, 0])
    return {strength: score_samples(logits[place], features) for place, strength in enumerate(STRENGTHS)}


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
