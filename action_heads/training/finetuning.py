"""Training of one head, in memory: it reports every epoch and stops on a loss that is no number."""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.utils.data import DataLoader, Dataset, RandomSampler, Sampler, WeightedRandomSampler

from a2d.metrics import Scores, count
from action_heads.backbones import normalisation_layers
from action_heads.label_decision import decide_labels
from action_heads.model import Trunk, round_convolutions, start_from
from action_heads.preprocessing import Preprocessing, evaluation_transform, to_tensor, training_transform
from action_heads.training.recipes import Recipe
from action_heads.training.samples import LabelledFrames
from action_heads.tuning_modes import ALL
from common.errors import TrainingError

STEP_EPOCHS = 7  # the published schedule: times 0.1 every 7 epochs


class FrameDataset(Dataset[tuple[torch.Tensor, torch.Tensor]]):
    """Serves transformed inputs (3, S, S) and targets (outputs,) of stored frames."""

    def __init__(self, frames: LabelledFrames, transform: Callable[[torch.Tensor], torch.Tensor]) -> None:
        self.frames = frames
        self.transform = transform

    def __len__(self) -> int:
        return len(self.frames)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, torch.Tensor]:
        image = self.transform(to_tensor(self.frames.images[index]))
        return image, torch.from_numpy(self.frames.targets[index].astype(np.float32))


@dataclass(frozen=True)
class FinetuningEpoch:
    """What one epoch did.

    Attributes:
        epoch: From 1.
        loss: Mean over the samples seen.
        learning_rate: At the epoch's start.
    """

    epoch: int
    loss: float
    learning_rate: float


def train_head(
    frames: LabelledFrames,
    trunk: Trunk,
    recipe: Recipe,
    preprocessing: Preprocessing,
    seed: int,
    device: str = "cpu",
    tuning: str = ALL,
    on_epoch: Callable[[FinetuningEpoch], None] = lambda report: None,
    progress: Callable[[Iterable[int]], Iterable[int]] = lambda epochs: epochs,
) -> nn.Module:
    """Train one actor's head; the caller's random state is left alone.

    Args:
        frames: What to learn from, stored at `preprocessing.stored_size` (`preprocessing.size` without augmentation).
        trunk: The weights to start from.
        recipe: How to train.
        preprocessing: How frames become inputs.
        seed: Decides the last layer's start, the order of the samples and the augmentation.
        device: `cpu` or `cuda:N`.
        tuning: What may move, one of `action_heads.tuning_modes.TUNING_MODES`; the rest stays the trunk's.
        on_epoch: Told after every epoch.
        progress: Wraps the epochs' numbers, for a progress bar.

    Returns:
        The trained network, in evaluation mode, on the device, its convolutions rounded as its file keeps them.

    Raises:
        TrainingError: If there are no frames, or the loss stops being a number.
    """
    if not len(frames):
        raise TrainingError("no frame to train on")
    cuda = [torch.device(device)] if device.startswith("cuda") else []
    with torch.random.fork_rng(devices=cuda):
        torch.manual_seed(seed)
        network = trunk.backbone.build(frames.targets.shape[1])
        start_from(network, trunk)
        movable = trunk.backbone.movable(network, tuning)
        network = network.to(device).to(memory_format=torch.channels_last)
        _fit(network, movable, frames, recipe, preprocessing, device, on_epoch, progress)
    round_convolutions(network)
    return network.eval()


def _fit(
    network: nn.Module,
    movable: set[str],
    frames: LabelledFrames,
    recipe: Recipe,
    preprocessing: Preprocessing,
    device: str,
    on_epoch: Callable[[FinetuningEpoch], None],
    progress: Callable[[Iterable[int]], Iterable[int]],
) -> None:
    """Run the recipe's epochs."""
    for name, parameter in network.named_parameters():
        parameter.requires_grad_(name in movable)
    transform = (training_transform if recipe.augment else evaluation_transform)(preprocessing)
    loader = DataLoader(FrameDataset(frames, transform), recipe.batch_size, sampler=_sampler(frames, recipe))
    optimizer, scheduler = _optimizer(network, recipe)
    loss_of = LOSSES[recipe.loss]
    autocast = torch.autocast(device.split(":")[0], torch.bfloat16, enabled=recipe.bf16 and fast_bfloat16(device))
    for epoch in progress(range(1, recipe.epochs + 1)):
        _train_mode(network, movable)
        learning_rate = optimizer.param_groups[0]["lr"]
        total = 0.0
        for inputs, targets in loader:
            inputs = inputs.to(device, memory_format=torch.channels_last)
            with autocast:
                logits = network(inputs)
            loss = loss_of(logits.float(), targets.to(device))
            if not math.isfinite(loss.item()):
                raise TrainingError(f"the loss became {loss.item()} in epoch {epoch}; try a lower learning rate")
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            total += loss.item() * len(inputs)
        scheduler.step()
        on_epoch(FinetuningEpoch(epoch, total / len(frames), learning_rate))


def _train_mode(network: nn.Module, movable: set[str]) -> None:
    """Let a network train, but for the normalisation layers that may not move: they keep their statistics."""
    network.train()
    for name, layer in normalisation_layers(network).items():
        if f"{name}.running_mean" not in movable:
            layer.eval()


def predict_frames(
    network: nn.Module, frames: LabelledFrames, preprocessing: Preprocessing, device: str = "cpu"
) -> NDArray[np.float32]:
    """Give each label's probability in each stored frame, shape (N, outputs), in [0, 1]."""
    loader = DataLoader(FrameDataset(frames, evaluation_transform(preprocessing)), batch_size=16)
    parts = [np.zeros((0, frames.targets.shape[1]), np.float32)]
    with torch.inference_mode():
        parts += [torch.sigmoid(network(inputs.to(device))).cpu().numpy() for inputs, _ in loader]
    return np.concatenate(parts)


def score_frames(probabilities: NDArray[np.float32], targets: NDArray[np.bool_], label_threshold: float) -> Scores:
    """Score one head's frames as the pipeline reads them out, sample-averaged.

    Args:
        probabilities: Shape (N, outputs), in [0, 1].
        targets: Shape (N, outputs).
        label_threshold: From which probability a label is said.

    Returns:
        Precision, recall and F1.
    """
    return count(decide_labels(probabilities, label_threshold), targets).sample_averaged


def fast_bfloat16(device: str) -> bool:
    """Say whether training on a device gains by bfloat16: on a CPU, AVX-512's instructions alone make it slower."""
    if device.startswith("cuda"):
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return bool(torch.cpu.get_capabilities().get("amx_bf16", False))


def first_label_cross_entropy(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Cross-entropy against the first label that holds, as published (A2D challenge report, section 3.2.1)."""
    return nn.functional.cross_entropy(logits, targets.argmax(dim=1))


def all_labels_bce(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Binary cross-entropy on every label of the actor."""
    return nn.functional.binary_cross_entropy_with_logits(logits, targets)


LOSSES: dict[str, Callable[[torch.Tensor, torch.Tensor], torch.Tensor]] = {
    "cross_entropy": first_label_cross_entropy,
    "bce": all_labels_bce,
}


def _optimizer(network: nn.Module, recipe: Recipe) -> tuple[torch.optim.Optimizer, Any]:
    """Make the recipe's optimizer and its schedule, stepped once an epoch."""
    moved = [parameter for parameter in network.parameters() if parameter.requires_grad]
    optimizer: torch.optim.Optimizer
    if recipe.optimizer == "sgd":
        optimizer = torch.optim.SGD(moved, recipe.learning_rate, recipe.momentum, weight_decay=recipe.weight_decay)
    else:
        optimizer = torch.optim.AdamW(moved, recipe.learning_rate, weight_decay=recipe.weight_decay)
    if recipe.schedule == "step":
        return optimizer, torch.optim.lr_scheduler.StepLR(optimizer, STEP_EPOCHS, gamma=0.1)
    return optimizer, torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, recipe.epochs)


def _sampler(frames: LabelledFrames, recipe: Recipe) -> Sampler[int]:
    """Draw every frame once an epoch or, balanced, as often as the square root of its rarest label's rarity."""
    if not recipe.balance:
        return RandomSampler(frames.images)
    frequency = np.maximum(frames.targets.sum(axis=0), 1)
    weights = (frames.targets / np.sqrt(frequency)).max(axis=1)
    return WeightedRandomSampler(weights.tolist(), num_samples=len(frames))
