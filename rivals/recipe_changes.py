"""Recipes with some of their numbers changed, as the command line allows."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from common.errors import TrainingError
from common.files import nearest
from rivals.recipes import OPTIMIZERS, Phase, Recipe


@dataclass(frozen=True)
class Changes:
    """What is to differ from a recipe; None keeps the recipe's value.

    Attributes:
        backbone: Of the network.
        weights: What it starts from.
        size: Side of the input in pixels, in every phase.
        epochs: Of each phase, or one number for all of them.
        batch_size: Of every phase.
        optimizer: Of every phase, one of `OPTIMIZERS`.
        learning_rate: Of every phase.
    """

    backbone: str | None = None
    weights: str | None = None
    size: int | None = None
    epochs: Sequence[int] | None = None
    batch_size: int | None = None
    optimizer: str | None = None
    learning_rate: float | None = None


def adjust_recipe(recipe: Recipe, changes: Changes) -> Recipe:
    """Return a recipe with some of its numbers changed.

    Raises:
        TrainingError: If a number is not above 0, or the numbers of epochs are not one or as many as there are phases.
    """
    for name in ("size", "batch_size", "learning_rate"):
        value = getattr(changes, name)
        if value is not None and not 0 < value < math.inf:
            raise TrainingError(f"{name.replace('_', ' ')} {value} was given, a finite number above 0 is required")
    if changes.optimizer is not None and changes.optimizer not in OPTIMIZERS:
        raise TrainingError(f"unknown optimizer {changes.optimizer!r}; {nearest(changes.optimizer, OPTIMIZERS)}")
    settings = recipe.settings
    if changes.size is not None:
        settings = replace(settings, inputs=replace(settings.inputs, size=changes.size))
    if changes.backbone is not None:
        settings = replace(settings, backbone=changes.backbone)
    weights = recipe.weights if changes.weights is None else changes.weights
    epochs = _epochs(recipe, changes.epochs)
    phases = tuple(_adjust(phase, changes, number) for phase, number in zip(recipe.phases, epochs, strict=True))
    return replace(recipe, settings=settings, weights=weights, phases=phases)


def _epochs(recipe: Recipe, given: Sequence[int] | None) -> list[int]:
    if given is None:
        return [phase.epochs for phase in recipe.phases]
    if len(given) not in (1, len(recipe.phases)):
        raise TrainingError(
            f"epochs {' '.join(map(str, given))} were given, one number, or {len(recipe.phases)} are allowed: the "
            f"recipe {recipe.name!r} has so many phases"
        )
    return list(given) * (len(recipe.phases) if len(given) == 1 else 1)


def _adjust(phase: Phase, changes: Changes, epochs: int) -> Phase:
    if epochs < 1:
        raise TrainingError(f"epochs {epochs} was given, a whole number from 1 is required")
    inputs = phase.inputs
    if inputs and changes.size is not None:
        inputs = replace(inputs, size=changes.size)
    optimizer = replace(phase.optimizer, name=changes.optimizer or phase.optimizer.name)
    if changes.learning_rate is not None:
        optimizer = replace(optimizer, learning_rate=changes.learning_rate)
    return replace(
        phase, epochs=epochs, inputs=inputs, optimizer=optimizer, batch_size=changes.batch_size or phase.batch_size
    )
