"""What a backbone of the action heads is: how its network is built, its tensors, and where its weights come from."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from action_heads.input_kinds import MOTION_DIM, MOTION_LAYER, MOVING, VIEWS_BY_INPUT
from action_heads.preprocessing import Preprocessing
from action_heads.tuning_modes import ALL, CLASSIFIER, LAST_STAGE, NORMS
from common.errors import CheckpointError
from networks.pretrained import PretrainedWeights
from networks.tensors import network_tensors, normalization_layers


class MotionLayer(nn.Module):
    """Holds the weights of a head's motion features, and the range that the features had in training.

    Attributes:
        weight: Shape (outputs, M).
        range: Lowest and highest value of each feature, shape (2, M).
    """

    def __init__(self, outputs: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(outputs, MOTION_DIM))
        self.register_buffer("range", torch.zeros(2, MOTION_DIM))


@dataclass(frozen=True)
class Backbone:
    """A network architecture.

    Attributes:
        name: Name on the command line and in manifests.
        build: Builds an untrained network with a number of outputs: from (B, 3, S, S) to logits (B, outputs).
        pooling: Name of the global average pooling layer; empty if it is not known.
        classifier: Name of the last layer, a `nn.Linear`.
        last_stage: Names of the modules of the last stage, without the classifier; empty if it is not known.
        preprocessing: Preprocessing that its weights expect.
        pretrained: Finds its published weights, those of ImageNet where there are several.
    """

    name: str
    build: Callable[[int], nn.Module]
    pooling: str
    classifier: str
    last_stage: tuple[str, ...]
    preprocessing: Preprocessing
    pretrained: Callable[[], PretrainedWeights]

    def build_head(self, outputs: int, input_kind: str) -> nn.Module:
        """Build an untrained head for a kind of input, one of `action_heads.input_kinds.INPUT_KINDS`.

        For inputs of several views, the classifier takes their concatenated features. Such a network holds the head's
        tensors but has no valid forward pass, since each view must pass through the trunk separately. For `moving`, a
        linear layer for the motion features is added.
        """
        network = self.build(outputs)
        views = len(VIEWS_BY_INPUT[input_kind])
        if views > 1:
            features: Any = network.get_submodule(self.classifier).in_features
            network.set_submodule(self.classifier, nn.Linear(views * features, outputs))
        if input_kind == MOVING:
            network.add_module(MOTION_LAYER, MotionLayer(outputs))
        return network

    @property
    def classifier_keys(self) -> tuple[str, str]:
        """Names of the classifier's weight (outputs, features) and bias (outputs,)."""
        return f"{self.classifier}.weight", f"{self.classifier}.bias"

    def trainable_tensors(self, network: nn.Module, tuning_mode: str) -> set[str]:
        """Return the names of the tensors that a tuning mode may change.

        Args:
            network: A network of this architecture.
            tuning_mode: One of `action_heads.tuning_modes.TUNING_MODES`.

        Returns:
            Names from `network_tensors(network)`, always including the classifier's.

        Raises:
            CheckpointError: If the mode needs to know the last stage, which it does not.
        """
        names = set(network_tensors(network))
        trainable = {*self.classifier_keys} | (names & {f"{MOTION_LAYER}.weight", f"{MOTION_LAYER}.range"})
        if tuning_mode == ALL:
            return names
        if tuning_mode == NORMS:
            trainable |= {name for name in names if name.rpartition(".")[0] in normalization_layers(network)}
        if tuning_mode == LAST_STAGE:
            if not self.last_stage:
                raise CheckpointError(
                    f"the last stage of {self.name} is not known: tune {CLASSIFIER}, {NORMS} or {ALL}"
                )
            trainable |= {name for name in names if name.startswith(tuple(f"{stage}." for stage in self.last_stage))}
        return trainable
