"""Losses by name, and how outputs become probabilities."""

from typing import TYPE_CHECKING

import torch
from torch.nn import functional

if TYPE_CHECKING:
    from rivals.system import Loss, System


def two_way_softmax(outputs: torch.Tensor) -> torch.Tensor:
    """Return the second of each label's two probabilities: from (B, labels, 2) to (B, labels)."""
    return outputs.softmax(dim=-1)[..., 1]


def two_way_log_loss(outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Compute the log loss of detectors of two outputs, (B, labels, 2): summed over labels, averaged over samples.

    The PCD report's equation 1 is a sum over the labels; it does not name the reduction over a batch.
    """
    per_label = functional.cross_entropy(outputs.flatten(0, 1), targets.flatten().long(), reduction="none")
    return per_label.sum() / len(outputs)


def log_loss(outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Compute the log loss of detectors of one output, (B, labels), reduced likewise."""
    return functional.binary_cross_entropy_with_logits(outputs, targets, reduction="sum") / len(outputs)


def bce(outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Compute the binary cross-entropy with logits, (B, labels): the mean, as PyTorch's `BCEWithLogitsLoss` does."""
    return functional.binary_cross_entropy_with_logits(outputs, targets)


def positive_weights(targets: torch.Tensor) -> torch.Tensor:
    """Return the weight of each label's positive samples in a batch: negatives / positives, shape (labels,).

    A label without a positive sample has nothing to weight; its weight is 1.

    >>> positive_weights(torch.tensor([[1.0, 0.0], [0.0, 0.0], [0.0, 0.0], [0.0, 0.0]])).tolist()
    [3.0, 1.0]
    """
    positives = targets.sum(dim=0)
    return torch.where(positives > 0, (len(targets) - positives) / positives.clamp(min=1), 1.0)


def balanced_bce(outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Compute the binary cross-entropy with each batch's own positive weights."""
    return functional.binary_cross_entropy_with_logits(outputs, targets, pos_weight=positive_weights(targets))


LOSSES: "dict[str, Loss]" = {
    "two_way_log_loss": two_way_log_loss,
    "log_loss": log_loss,
    "bce": bce,
    "balanced_bce": balanced_bce,
}


def find_loss(system: "System", name: str) -> "Loss":
    """Return a loss by name: one of the system's own, or of `LOSSES`."""
    return {**LOSSES, **system.losses}[name]
