"""Fine-tuning of one head, in memory."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.utils.data import DataLoader, Dataset, RandomSampler, Sampler, WeightedRandomSampler

from a2d.metrics import Scores, count
from action_heads.label_decision import decide_labels
from action_heads.model import Trunk, initialize_from_trunk
from action_heads.preprocessing import Preprocessing, evaluation_transform, training_transform
from action_heads.training.recipes import Recipe
from action_heads.training.samples import LabelledFrames
from action_heads.tuning_modes import ALL
from common.errors import TrainingError
from common.progress import Progress, no_progress
from common.system import reuse_large_allocations
from inference.image_tensors import bgr_to_rgb_tensor
from inference.torch_engine import fast_bfloat16
from networks.tensors import normalization_layers, round_convolutions

STEP_EPOCHS = 7  # of the published schedule: the learning rate drops to a tenth every 7 epochs
PREDICTION_BATCH_SIZE = 16


class FrameDataset(Dataset[tuple[torch.Tensor, torch.Tensor]]):
    """Provides transformed inputs (3, S, S) and targets (outputs,) of stored frames."""

    def __init__(self, frames: LabelledFrames, transform: Callable[[torch.Tensor], torch.Tensor]) -> None:
        self.frames = frames
        self.transform = transform

    def __len__(self) -> int:
        return len(self.frames)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, torch.Tensor]:
        image = self.transform(bgr_to_rgb_tensor(self.frames.images[index]))
        return image, torch.from_numpy(self.frames.targets[index].astype(np.float32))


@dataclass(frozen=True)
class FinetuningPlan:
    """How to fine-tune a head.

    Attributes:
        recipe: Hyperparameters.
        tuning_mode: Which tensors may change, one of `action_heads.tuning_modes.TUNING_MODES`.
        seed: Determines the classifier's initial weights, the order of the samples and the augmentation.
        device: `cpu` or `cuda:N`.
    """

    recipe: Recipe
    tuning_mode: str = ALL
    seed: int = 0
    device: str = "cpu"


@dataclass(frozen=True)
class FinetuningEpoch:
    """Report of one epoch.

    Attributes:
        epoch: Number of the epoch, from 1.
        loss: Mean over the samples.
        learning_rate: At the start of the epoch.
        scores: Sample-averaged scores at its end by split, if they were asked for.
    """

    epoch: int
    loss: float
    learning_rate: float
    scores: Mapping[str, Scores] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Return the numbers, for a line of the log; without scores if they were not asked for."""
        report = {"epoch": self.epoch, "loss": self.loss, "learning_rate": self.learning_rate}
        scores = {split: scores.to_dict() for split, scores in self.scores.items()}
        return report | ({"scores": scores} if scores else {})


@reuse_large_allocations()
def train_head(
    frames: LabelledFrames,
    trunk: Trunk,
    plan: FinetuningPlan,
    on_epoch: Callable[[FinetuningEpoch], None] = lambda report: None,
    progress: Progress = no_progress,
    score_epoch: Callable[[nn.Module], Mapping[str, Scores]] | None = None,
) -> nn.Module:
    """Fine-tune one actor's head; the caller's random state remains unchanged.

    Args:
        frames: Training data, stored at `stored_size` of the trunk's preprocessing (at `size` without augmentation).
        trunk: Initial weights and preprocessing.
        plan: How to train.
        on_epoch: Called with the report of every epoch.
        progress: Shows the progress over the epochs.
        score_epoch: Scores the network after every epoch, before it is rounded, by split; the training is the same with
            it and without.

    Returns:
        The trained network, in evaluation mode, on the device, its convolutions rounded as they are stored.

    Raises:
        TrainingError: If there are no frames, or the loss becomes infinite or NaN.
    """
    if not len(frames):
        raise TrainingError("no frame to train on")
    devices = [torch.device(plan.device)] if plan.device.startswith("cuda") else []
    with torch.random.fork_rng(devices):
        torch.manual_seed(plan.seed)
        network = trunk.backbone.build(frames.targets.shape[1])
        initialize_from_trunk(network, trunk)
        network = network.to(plan.device).to(memory_format=torch.channels_last)
        trainer = _Trainer(network, frames, trunk, plan)
        for epoch in progress(range(1, plan.recipe.epochs + 1), "training", "epoch"):
            report = trainer.train_epoch(epoch)
            if score_epoch:
                # Data loaders draw a random number, even where they shuffle nothing.
                with torch.random.fork_rng(devices):
                    report = replace(report, scores=score_epoch(network.eval()))
            on_epoch(report)
    round_convolutions(network)
    return network.eval()


class _Trainer:
    """State of one fine-tuning."""

    def __init__(self, network: nn.Module, frames: LabelledFrames, trunk: Trunk, plan: FinetuningPlan) -> None:
        recipe = plan.recipe
        self.network = network
        self.device = plan.device
        self.trainable = trunk.backbone.trainable_tensors(network, plan.tuning_mode)
        for name, parameter in network.named_parameters():
            parameter.requires_grad_(name in self.trainable)
        transform = (training_transform if recipe.augment else evaluation_transform)(trunk.preprocessing)
        self.loader = DataLoader(FrameDataset(frames, transform), recipe.batch_size, sampler=_sampler(frames, recipe))
        self.optimizer, self.scheduler = _optimizer(network, recipe)
        self.loss = LOSSES[recipe.loss]
        bf16 = recipe.bf16 and fast_bfloat16(plan.device)
        self.autocast = torch.autocast(plan.device.split(":")[0], torch.bfloat16, enabled=bf16)

    def train_epoch(self, epoch: int) -> FinetuningEpoch:
        """Train on every sample that the sampler draws in one epoch."""
        self._set_train_mode()
        learning_rate = self.optimizer.param_groups[0]["lr"]
        total, samples = 0.0, 0
        for inputs, targets in self.loader:
            inputs = inputs.to(self.device, memory_format=torch.channels_last)
            with self.autocast:
                logits = self.network(inputs)
            loss = self.loss(logits.float(), targets.to(self.device))
            if not math.isfinite(loss.item()):
                raise TrainingError(f"the loss became {loss.item()} in epoch {epoch}; try a lower learning rate")
            self.optimizer.zero_grad(set_to_none=True)
            loss.backward()
            self.optimizer.step()
            total += loss.item() * len(inputs)
            samples += len(inputs)
        self.scheduler.step()
        return FinetuningEpoch(epoch, total / samples, learning_rate)

    def _set_train_mode(self) -> None:
        """Set the network to training mode, except for frozen normalization layers, whose statistics stay fixed."""
        self.network.train()
        for name, layer in normalization_layers(self.network).items():
            if f"{name}.running_mean" not in self.trainable:
                layer.eval()


@reuse_large_allocations()
def predict_frames(
    network: nn.Module, frames: LabelledFrames, preprocessing: Preprocessing, device: str = "cpu"
) -> NDArray[np.float32]:
    """Return the labels' probabilities in each stored frame, shape (N, outputs), in [0, 1]."""
    loader = DataLoader(FrameDataset(frames, evaluation_transform(preprocessing)), PREDICTION_BATCH_SIZE)
    parts = [np.zeros((0, frames.targets.shape[1]), np.float32)]
    with torch.inference_mode():
        parts += [torch.sigmoid(network(inputs.to(device))).cpu().numpy() for inputs, _ in loader]
    return np.concatenate(parts)


def score_frames(probabilities: NDArray[np.float32], targets: NDArray[np.bool_], label_threshold: float) -> Scores:
    """Score the predictions of one head for single frames, with labels decided as in the pipeline.

    Args:
        probabilities: Shape (N, outputs), in [0, 1].
        targets: Shape (N, outputs).
        label_threshold: Probability from which a label is predicted.

    Returns:
        Sample-averaged precision, recall and F1.
    """
    return count(decide_labels(probabilities, label_threshold), targets).sample_averaged


def first_label_cross_entropy(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Compute the cross-entropy with the first true label, as published (A2D challenge report, section 3.2.1)."""
    return nn.functional.cross_entropy(logits, targets.argmax(dim=1))


def all_labels_bce(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Compute the binary cross-entropy over all labels of the actor."""
    return nn.functional.binary_cross_entropy_with_logits(logits, targets)


LOSSES: dict[str, Callable[[torch.Tensor, torch.Tensor], torch.Tensor]] = {
    "cross_entropy": first_label_cross_entropy,
    "bce": all_labels_bce,
}


def _optimizer(network: nn.Module, recipe: Recipe) -> tuple[torch.optim.Optimizer, Any]:
    """Create the recipe's optimizer and its schedule, which is stepped once per epoch."""
    parameters = [parameter for parameter in network.parameters() if parameter.requires_grad]
    optimizer: torch.optim.Optimizer
    if recipe.optimizer == "sgd":
        optimizer = torch.optim.SGD(parameters, recipe.learning_rate, recipe.momentum, weight_decay=recipe.weight_decay)
    else:
        optimizer = torch.optim.AdamW(parameters, recipe.learning_rate, weight_decay=recipe.weight_decay)
    if recipe.schedule == "step":
        return optimizer, torch.optim.lr_scheduler.StepLR(optimizer, STEP_EPOCHS, gamma=0.1)
    return optimizer, torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, recipe.epochs)


def _sampler(frames: LabelledFrames, recipe: Recipe) -> Sampler[int]:
    """Sample every frame once per epoch or, if balanced, in proportion to 1/√n of its rarest label's n frames."""
    if not recipe.balance:
        return RandomSampler(frames.images)
    frequency = np.maximum(frames.targets.sum(axis=0), 1)
    weights = (frames.targets / np.sqrt(frequency)).max(axis=1)
    return WeightedRandomSampler(weights.tolist(), num_samples=len(frames))
