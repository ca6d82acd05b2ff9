"""The actor and the action of each label, for networks that also classify these two on their own."""

from collections.abc import Sequence

import torch
from torch import nn

from rivals.losses import bce

PartOutputs = tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]
"""Logits of actors (B, K), of actions (B, A), of pairs (B, labels), the final ones (B, labels), and which labels each
actor and each action is part of, (K, labels) and (A, labels), which the losses need besides the targets."""


class LabelParts(nn.Module):
    """Which labels each actor and each action is part of: 7 actors and 9 actions for A2D.

    Args:
        labels: Names, `ACTOR-ACTION`.

    Attributes:
        actors: Names of the actors, sorted.
        actions: Names of the actions, sorted.
        actor_members: 1 where a label has an actor, otherwise 0, shape (actors, labels).
        action_members: The same of the actions.

    >>> parts = LabelParts(["cat-eating", "adult-eating", "adult-none"])
    >>> parts.actors, parts.actions, parts.action_members.tolist()
    (('adult', 'cat'), ('eating', 'none'), [[1.0, 1.0, 0.0], [0.0, 0.0, 1.0]])
    """

    def __init__(self, labels: Sequence[str]) -> None:
        super().__init__()
        pairs = [label.rpartition("-") for label in labels]
        self.actors = tuple(sorted({actor for actor, _, _ in pairs}))
        self.actions = tuple(sorted({action for _, _, action in pairs}))
        self.actor_members: torch.Tensor
        self.action_members: torch.Tensor
        actor_members = [[float(actor == name) for actor, _, _ in pairs] for name in self.actors]
        action_members = [[float(action == name) for _, _, action in pairs] for name in self.actions]
        self.register_buffer("actor_members", torch.tensor(actor_members), persistent=False)
        self.register_buffer("action_members", torch.tensor(action_members), persistent=False)


def separate_bce(outputs: PartOutputs, targets: torch.Tensor) -> torch.Tensor:
    """Compute the cross-entropies of actors, actions and pairs, each a mean, and return their sum.

    An actor is a target if any of its labels is one; so is an action.
    """
    actors, actions, pairs, _, actor_members, action_members = outputs
    actor_targets = (targets @ actor_members.T).clamp(max=1)
    action_targets = (targets @ action_members.T).clamp(max=1)
    return bce(actors, actor_targets) + bce(actions, action_targets) + bce(pairs, targets)


def final_bce(outputs: PartOutputs, targets: torch.Tensor) -> torch.Tensor:
    """Compute the cross-entropy of the final logits alone."""
    return bce(outputs[3], targets)


def separate_and_final_bce(outputs: PartOutputs, targets: torch.Tensor) -> torch.Tensor:
    """Compute the sum of all four."""
    return separate_bce(outputs, targets) + final_bce(outputs, targets)


def final_probabilities(outputs: PartOutputs) -> torch.Tensor:
    """Return the probabilities of the final logits, shape (B, labels)."""
    return torch.sigmoid(outputs[3])
