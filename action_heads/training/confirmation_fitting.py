"""Fitting of confirmation layers: per actor, boxes in clips that show it against its boxes in all other clips."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from action_heads.confirmation import ConfirmationLayers
from action_heads.training.logistic_regression import fit_logistic_regressions
from common.errors import TrainingError

PARTS = 5  # of the data, by source
C_VALUES = (0.003, 0.01, 0.03, 0.1, 0.3)  # inverse strengths of the regularization, on standardized features
MIN_CLIPS = 3  # with the actor, and without, for a layer to be fitted
MIN_STD = 0.05  # of a feature that is divided by its standard deviation


@dataclass(frozen=True, eq=False)
class JudgedBoxes:
    """Boxes that a detector drew for one actor, and whether the actor is there.

    Attributes:
        features: Of each crop and its mirror image, shape (N, 2, D).
        clip: Index of each box's clip, shape (N,), int64.
        is_there: Whether the clip is labelled with the actor, shape (N,).
    """

    features: NDArray[np.float32]
    clip: NDArray[np.int64]
    is_there: NDArray[np.bool_]

    @property
    def has_contrast(self) -> bool:
        """Whether there are enough clips with and without the actor."""
        return all(len(np.unique(self.clip[mask])) >= MIN_CLIPS for mask in (self.is_there, ~self.is_there))

    def take(self, rows: NDArray[np.bool_]) -> "JudgedBoxes":
        """Select boxes by a mask (N,)."""
        return JudgedBoxes(self.features[rows], self.clip[rows], self.is_there[rows])


@dataclass(frozen=True, eq=False)
class FittedConfirmation:
    """The layers, and how well they judge.

    Attributes:
        actors: Names of the actors that have a layer.
        layers: The layers.
        c: The chosen inverse strength of the regularization.
        loss_by_c: Mean log loss on the parts that a layer was not fitted to, by value of C.
        scores: On these parts, by actor: share of its boxes that were confirmed in clips with it, and in clips without
            (each clip counts once), and the numbers of these clips.
    """

    actors: tuple[str, ...]
    layers: ConfirmationLayers
    c: float
    loss_by_c: dict[float, float]
    scores: dict[str, dict[str, float]]


def assign_parts(groups: Sequence[str], seed: int) -> NDArray[np.int64]:
    """Assign clips to parts of about equal size, those of one source to the same one.

    Args:
        groups: Source of each clip.
        seed: Of the order in which sources of equal size are assigned.

    Returns:
        The part of each clip, from 1, shape (clips,), int64.
    """
    names, index, counts = np.unique(np.array(groups), return_inverse=True, return_counts=True)
    shuffled = np.random.default_rng(seed).permutation(len(names))
    part_of_name = np.zeros(len(names), np.int64)
    sizes = np.zeros(PARTS, np.int64)
    for name in shuffled[np.argsort(-counts[shuffled], kind="stable")]:  # the largest first
        part_of_name[name] = sizes.argmin() + 1
        sizes[sizes.argmin()] += counts[name]
    return part_of_name[index]


def fit_confirmation(boxes: Mapping[str, JudgedBoxes], part_of_clip: NDArray[np.int64]) -> FittedConfirmation:
    """Fit the layers, with C chosen by the loss on the parts that a layer was not fitted to.

    Args:
        boxes: By actor.
        part_of_clip: Part of each clip, from 1, shape (clips,), see `assign_parts`.

    Returns:
        The layers of the actors that have enough clips with and without them.

    Raises:
        TrainingError: If no actor has.
    """
    usable = {name: found for name, found in boxes.items() if found.has_contrast}
    if not usable:
        raise TrainingError(
            "nothing to learn from: for no actor, there are boxes in "
            f"{MIN_CLIPS} clips with it and in {MIN_CLIPS} without; lower --conf, or add clips"
        )
    fitted = {name: _fit_parts(found, part_of_clip) for name, found in usable.items()}
    held_out = {name: _predict_held_out(fitted[name], found, part_of_clip) for name, found in usable.items()}
    losses = np.mean([_log_loss(held_out[name], found) for name, found in usable.items()], axis=0)
    best = int(losses.argmin())
    layers = np.stack([solutions[best] for solutions in fitted.values()], axis=1)
    return FittedConfirmation(
        tuple(usable),
        ConfirmationLayers(np.ascontiguousarray(layers[..., :-1]), np.ascontiguousarray(layers[..., -1])),
        C_VALUES[best],
        dict(zip(C_VALUES, losses.round(4).tolist(), strict=True)),
        {name: _describe(held_out[name][best] > 0, found) for name, found in usable.items()},
    )


def _fit_parts(boxes: JudgedBoxes, part_of_clip: NDArray[np.int64]) -> NDArray[np.float32]:
    """Fit one layer to all boxes, then one without each part, shape (values of C, 1 + parts, D + 1)."""
    parts = part_of_clip[boxes.clip]
    rest = [boxes, *(boxes.take(parts != part) for part in range(1, PARTS + 1))]
    return np.stack([_fit(some) for some in rest], axis=1)


def _fit(boxes: JudgedBoxes) -> NDArray[np.float32]:
    """Fit a layer for each value of C, all clips with the same weight, shape (values of C, D + 1)."""
    views = boxes.features.shape[1]
    rows = boxes.features.reshape(-1, boxes.features.shape[2]).astype(np.float64)
    mean, std = rows.mean(axis=0), rows.std(axis=0) + MIN_STD
    weights = np.repeat(_weights(boxes) / views, views)[:, None].astype(np.float32)
    targets = np.repeat(boxes.is_there, views)[:, None]
    inputs = ((rows - mean) / std).astype(np.float32)
    solutions = fit_logistic_regressions(inputs, targets, weights, C_VALUES)[:, 0].astype(np.float64)
    weight = solutions[:, :-1] / std
    bias = solutions[:, -1] - weight @ mean
    return np.column_stack([weight, bias]).astype(np.float32)


def _weights(boxes: JudgedBoxes) -> NDArray[np.float64]:
    """Return a weight for each box, so that those of one clip have the sum 1, shape (N,)."""
    _, index, counts = np.unique(boxes.clip, return_inverse=True, return_counts=True)
    weights: NDArray[np.float64] = 1 / counts[index]
    return weights


def _predict_held_out(
    solutions: NDArray[np.float32], boxes: JudgedBoxes, part_of_clip: NDArray[np.int64]
) -> NDArray[np.float32]:
    """Return each box's logit by the layer that was not fitted to its clip, shape (values of C, N)."""
    parts = part_of_clip[boxes.clip]
    features = boxes.features[:, 0]
    logits: NDArray[np.float32] = np.einsum("cnd,nd->cn", solutions[:, parts, :-1], features) + solutions[:, parts, -1]
    return logits


def _log_loss(logits: NDArray[np.float32], boxes: JudgedBoxes) -> NDArray[np.float64]:
    """Return the mean log loss over the clips for each value of C."""
    losses = np.logaddexp(0, np.where(boxes.is_there, -logits, logits).astype(np.float64))
    return np.asarray(np.average(losses, axis=1, weights=_weights(boxes)))


def _describe(confirmed: NDArray[np.bool_], boxes: JudgedBoxes) -> dict[str, float]:
    weights, is_there = _weights(boxes), boxes.is_there
    return {
        "confirmed_with": round(float(np.average(confirmed[is_there], weights=weights[is_there])), 4),
        "confirmed_without": round(float(np.average(confirmed[~is_there], weights=weights[~is_there])), 4),
        "clips_with": len(np.unique(boxes.clip[is_there])),
        "clips_without": len(np.unique(boxes.clip[~is_there])),
    }
