"""Optimizers and learning rate schedules by name."""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import nn
from torch.optim import lr_scheduler

from rivals.recipes import Optimizer, Phase


def _sgd(parameters: Iterable[nn.Parameter], settings: Optimizer) -> torch.optim.Optimizer:
    return torch.optim.SGD(
        parameters, settings.learning_rate, momentum=settings.momentum, weight_decay=settings.weight_decay
    )


def _rmsprop(parameters: Iterable[nn.Parameter], settings: Optimizer) -> torch.optim.Optimizer:
    return torch.optim.RMSprop(
        parameters, settings.learning_rate, momentum=settings.momentum, weight_decay=settings.weight_decay
    )


def _adaptive(kind: type[torch.optim.Optimizer]) -> Callable[..., torch.optim.Optimizer]:
    def create(parameters: Iterable[nn.Parameter], settings: Optimizer) -> torch.optim.Optimizer:
        options: dict[str, Any] = {"lr": settings.learning_rate, "weight_decay": settings.weight_decay}
        return kind(parameters, **options)

    return create


OPTIMIZERS: dict[str, Callable[[Iterable[nn.Parameter], Optimizer], torch.optim.Optimizer]] = {
    "sgd": _sgd,
    "rmsprop": _rmsprop,
    "adam": _adaptive(torch.optim.Adam),
    "adamw": _adaptive(torch.optim.AdamW),
    "adagrad": _adaptive(torch.optim.Adagrad),
    "adadelta": _adaptive(torch.optim.Adadelta),
}


def make_optimizer(parameters: Iterable[nn.Parameter], phase: Phase) -> torch.optim.Optimizer:
    """Create a phase's optimizer."""
    return OPTIMIZERS[phase.optimizer.name](parameters, phase.optimizer)


class LearningRate:
    """The learning rate of a phase, which its schedule changes after every epoch, or, for a cycle, after every step.

    Args:
        optimizer: Whose rate.
        phase: The phase.
        steps: Number of steps in an epoch.
    """

    def __init__(self, optimizer: torch.optim.Optimizer, phase: Phase, steps: int) -> None:
        schedule = phase.schedule
        self._optimizer = optimizer
        self._plateau: lr_scheduler.ReduceLROnPlateau | None = None
        self._cycle: lr_scheduler.CyclicLR | None = None
        self._epochs: lr_scheduler.LRScheduler | None = None
        if schedule.name == "plateau":
            self._plateau = lr_scheduler.ReduceLROnPlateau(optimizer, factor=schedule.factor, patience=schedule.epochs)
        elif schedule.name == "cyclic":
            self._cycle = lr_scheduler.CyclicLR(
                optimizer,
                base_lr=schedule.lowest,
                max_lr=phase.optimizer.learning_rate,
                step_size_up=max(1, steps * schedule.epochs),
                cycle_momentum=False,
            )
        elif schedule.name == "cosine":
            self._epochs = lr_scheduler.CosineAnnealingLR(optimizer, phase.epochs)
        elif schedule.name == "step":
            self._epochs = lr_scheduler.StepLR(optimizer, schedule.epochs, gamma=schedule.factor)
        elif schedule.name != "constant":
            raise ValueError(f"{schedule.name = }; constant, cosine, cyclic, plateau or step was expected")

    @property
    def now(self) -> float:
        """The current learning rate."""
        return float(self._optimizer.param_groups[0]["lr"])

    def after_step(self) -> None:
        """Change the rate after a step."""
        if self._cycle:
            self._cycle.step()

    def after_epoch(self, loss: float) -> None:
        """Change the rate after an epoch, given its mean loss."""
        if self._plateau:
            self._plateau.step(loss)
        elif self._epochs:
            self._epochs.step()

    @property
    def _scheduler(self) -> Any:
        return self._plateau or self._cycle or self._epochs

    def state_dict(self) -> dict[str, Any]:
        """Return what a training needs to be resumed: numbers by name."""
        found = self._scheduler.state_dict() if self._scheduler else {}
        return {name: value for name, value in found.items() if isinstance(value, bool | int | float | list)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue where another one was."""
        if self._scheduler:
            self._scheduler.load_state_dict({**self._scheduler.state_dict(), **state})
