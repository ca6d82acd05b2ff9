"""The one training: phases of epochs, each determined by the seed and its number, so that it can be resumed.

A training that was stopped continues from its last epoch, and ends with the same weights as one that was not.
"""

import math
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from time import monotonic
from typing import Any

import torch
from torch import nn

from a2d.taxonomy import Taxonomy
from common.errors import TrainingError
from common.system import reuse_large_allocations
from common.training_run import TrainingRun
from networks.tensors import normalization_layers, round_convolutions
from rivals.augmentation import RandomNumbers
from rivals.batches import make_batch, split_into_batches
from rivals.checkpoints import CHECKPOINT_FILE, LOG_FILE, Checkpoint, read_checkpoint, write_checkpoint, write_log
from rivals.data import PictureStore, TrainingData
from rivals.losses import find_loss
from rivals.optimizers import LearningRate, make_optimizer
from rivals.recipes import Phase, Recipe
from rivals.system import Build, System
from rivals.weights import weight_sources


@dataclass(frozen=True)
class TrainingPlan:
    """What to train, and how.

    Attributes:
        system: The system.
        recipe: Its recipe, perhaps adjusted.
        taxonomy: Actors and labels.
        seed: Determines the new layers' weights, the order of the samples and the augmentation.
        data: What is trained on, in words; a training is resumed only on the same.
    """

    system: System
    recipe: Recipe
    taxonomy: Taxonomy
    seed: int = 0
    data: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Return what determines the result, apart from the data, as JSON can hold it."""
        return {"system": self.system.name, "recipe": self.recipe.to_dict(), "seed": self.seed, "data": self.data}


@dataclass(frozen=True)
class Epoch:
    """Report of one epoch.

    Attributes:
        phase: Number of the phase, from 1.
        epoch: Number of the epoch in it, from 1.
        loss: Mean over the samples.
        learning_rate: At the start of the epoch.
        seconds: How long it took.
    """

    phase: int
    epoch: int
    loss: float
    learning_rate: float
    seconds: float


@dataclass(frozen=True)
class Trained:
    """The result of a training.

    Attributes:
        network: In evaluation mode, on the device, its convolutions rounded as they are stored.
        fitted: What the system's `fit_after` returned.
        sources: What the backbones started from, by their names in the network.
    """

    network: nn.Module
    fitted: dict[str, Any]
    sources: dict[str, str]


@reuse_large_allocations()
def train_system(plan: TrainingPlan, data: TrainingData, run: TrainingRun) -> Trained:
    """Train a system, continuing from the checkpoint in `run.work` if there is one; the random state is not changed.

    Args:
        plan: What to train.
        data: The examples.
        run: Where and how; its folder receives `checkpoint.pt` and `epochs.jsonl`, one line per epoch.

    Raises:
        TrainingError: If the checkpoint is another training's, or the loss becomes infinite or NaN.
        CheckpointError: If the weights to start from cannot be used.
    """
    devices = [torch.device(run.device)] if run.device.startswith("cuda") else []
    with torch.random.fork_rng(devices):
        torch.manual_seed(plan.seed)
        trainer = _Trainer(plan, data, run)
        for number in range(len(plan.recipe.phases)):
            trainer.train_phase(number)
        return trainer.finish()


class _Trainer:
    """State of one training."""

    def __init__(self, plan: TrainingPlan, data: TrainingData, run: TrainingRun) -> None:
        self.plan, self.data, self.run = plan, data, run
        labels, recipe = plan.taxonomy.label_names, plan.recipe
        self.network = plan.system.build(Build(recipe.settings, labels, recipe.weights)).to(run.device)
        self.sources = weight_sources(self.network)
        self.reports: list[Epoch] = []
        self.checkpoint = read_checkpoint(run.work / CHECKPOINT_FILE, plan.to_dict(), run.device)
        if self.checkpoint:
            self.network.load_state_dict(self.checkpoint.network)
            self.reports = [Epoch(**report) for report in self.checkpoint.reports]

    def train_phase(self, number: int) -> None:
        """Train what is left of a phase."""
        phase = self.plan.recipe.phases[number]
        done = sum(report.phase == number + 1 for report in self.reports)
        if done == phase.epochs:
            return
        store = self.pictures(phase)
        frozen = _freeze(self.network, phase.frozen)
        parameters = [parameter for parameter in self.network.parameters() if parameter.requires_grad]
        if not parameters:
            raise TrainingError(f"phase {number + 1} trains nothing: all of the network is frozen")
        optimizer = make_optimizer(parameters, phase)
        rate = LearningRate(optimizer, phase, len(split_into_batches(range(len(store)), phase.batch_size)))
        if self.checkpoint and done:
            optimizer.load_state_dict(self.checkpoint.optimizer)
            rate.load_state_dict(self.checkpoint.rate)
        for epoch in self.run.progress(range(done + 1, phase.epochs + 1), f"training, phase {number + 1}", "epoch"):
            torch.manual_seed(hash((self.plan.seed, number, epoch)) % 2**63)  # so that resuming needs no random state
            before, started = rate.now, monotonic()
            _set_train_mode(self.network, frozen)
            loss = self.train_epoch(phase, store, optimizer, rate)
            rate.after_epoch(loss)
            seconds = round(monotonic() - started, 3)
            self.report(Epoch(number + 1, epoch, loss, before, seconds), optimizer, rate)

    def pictures(self, phase: Phase | None = None) -> PictureStore:
        """Return the pictures for a phase, or those that the network is given in the end."""
        inputs = (phase and phase.inputs) or self.plan.recipe.settings.inputs
        return self.data.pictures(inputs, self.plan.system.draw, self.run.progress)

    def train_epoch(
        self, phase: Phase, store: PictureStore, optimizer: torch.optim.Optimizer, rate: LearningRate
    ) -> float:
        """Show each sample once, a labelled clip at one of its moments, and return the mean loss."""
        loss_of = find_loss(self.plan.system, phase.loss)
        numbers = RandomNumbers(int(torch.randint(2**62, ())))
        order = torch.randperm(len(store)).tolist()
        targets = torch.from_numpy(store.targets).to(self.run.device)
        total = 0.0
        for rows in split_into_batches(order, phase.batch_size):
            batch = self.show(store, rows, numbers)
            with self.autocast(phase):
                outputs = self.network(batch)
            loss = loss_of(_as_float(outputs), targets[rows])
            if not math.isfinite(loss.item()):
                raise TrainingError(f"the loss became {loss.item()}; try a lower learning rate")
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            rate.after_step()
            total += loss.item() * len(rows)
        return total / len(order)

    def show(self, store: PictureStore, rows: Sequence[int], numbers: RandomNumbers) -> torch.Tensor:
        """Return the network's input for some samples, changed at random."""
        pictures = []
        for row in rows:
            moments = store.examples[row].moments
            pictures.append(store.pictures(row, moments[numbers.below(len(moments))]))
        return make_batch(pictures, self.run.device, self.plan.recipe.augmentation, numbers)

    def autocast(self, phase: Phase) -> Any:
        """Return the context in which the network computes."""
        if phase.amp and self.run.device.startswith("cuda"):
            return torch.autocast("cuda", torch.bfloat16)
        return nullcontext()

    def report(self, report: Epoch, optimizer: torch.optim.Optimizer, rate: LearningRate) -> None:
        """Write the checkpoint and the log."""
        self.reports.append(report)
        reports = [asdict(line) for line in self.reports]
        checkpoint = Checkpoint(self.network.state_dict(), optimizer.state_dict(), rate.state_dict(), reports)
        write_checkpoint(self.run.work / CHECKPOINT_FILE, checkpoint, self.plan.to_dict())
        write_log(self.run.work / LOG_FILE, reports)
        self.run.on_epoch(report)

    def finish(self) -> Trained:
        """Fit what is not fitted by gradient descent, and round the weights as they are stored."""
        round_convolutions(self.network)
        self.network.requires_grad_(False).eval()
        fitted: dict[str, Any] = {}
        if self.plan.system.fit_after:
            fitted = self.plan.system.fit_after(self.network, self.pictures(), self.run.device)
        return Trained(self.network, fitted, self.sources)


def _freeze(network: nn.Module, frozen: Sequence[str]) -> list[nn.Module]:
    """Exclude modules from training, and return them.

    Raises:
        TrainingError: If the network has no module of a name.
    """
    modules = dict(network.named_modules())
    for name in frozen:
        if name not in modules:
            raise TrainingError(f"{name!r} is to be frozen, but the network has no such module")
    network.requires_grad_(True)
    for name in frozen:
        modules[name].requires_grad_(False)
    return [modules[name] for name in frozen]


def _set_train_mode(network: nn.Module, frozen: Sequence[nn.Module]) -> None:
    """Set a network to training mode, except for the frozen parts, whose normalization statistics stay fixed."""
    network.train()
    for module in frozen:
        for layer in normalization_layers(module).values():
            layer.eval()


def _as_float(outputs: Any) -> Any:
    """Return outputs, a tensor or several, in single precision, in which losses are computed."""
    if isinstance(outputs, torch.Tensor):
        return outputs.float()
    return type(outputs)(_as_float(part) for part in outputs)
