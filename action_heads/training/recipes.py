"""Recipes for fine-tuning a head: the published one, and the default."""

import math
from dataclasses import dataclass, replace

from common.errors import TrainingError
from common.files import nearest


@dataclass(frozen=True)
class Recipe:
    """Everything that determines a fine-tuning apart from the data, the trunk, the tuning mode and the seed.

    Attributes:
        name: Name on the command line and in manifests.
        loss: `cross_entropy` on the first label of a sample, or `bce` (binary cross-entropy) on all labels.
        optimizer: `sgd` or `adamw`.
        learning_rate: Initial learning rate.
        momentum: Of SGD.
        weight_decay: Of either optimizer.
        schedule: `step` (times 0.1 every 7 epochs) or `cosine` (to zero over the training).
        epochs: Number of epochs.
        batch_size: Samples per step.
        augment: Whether to apply random crops, flips and color jitter.
        balance: Whether to sample frames with rare labels more often.
        bf16: Whether to compute in bfloat16 on devices that are fast at it (CUDA, or a CPU with AMX).
    """

    name: str
    loss: str
    optimizer: str
    learning_rate: float
    momentum: float
    weight_decay: float
    schedule: str
    epochs: int
    batch_size: int
    augment: bool
    balance: bool
    bf16: bool


PAPER = Recipe(
    # A2D challenge report, section 3.2.1: no random crop, no flip, the first action only.
    name="paper",
    loss="cross_entropy",
    optimizer="sgd",
    learning_rate=0.001,
    momentum=0.9,
    weight_decay=0.0,
    schedule="step",
    epochs=15,
    batch_size=4,
    augment=False,
    balance=False,
    bf16=False,
)

DEFAULT = Recipe(
    name="default",
    loss="bce",
    optimizer="adamw",
    learning_rate=3e-4,
    momentum=0.0,
    weight_decay=0.05,
    schedule="cosine",
    epochs=15,
    batch_size=16,
    augment=True,
    balance=True,
    bf16=True,
)

RECIPES = {recipe.name: recipe for recipe in (DEFAULT, PAPER)}


def recipe_from_name(name: str) -> Recipe:
    """Return the recipe with a name.

    Raises:
        TrainingError: If there is no such recipe; the message names the one with the nearest name, or all of them.
    """
    if name not in RECIPES:
        raise TrainingError(f"unknown recipe {name!r}; {nearest(name, RECIPES)}")
    return RECIPES[name]


def adjust_recipe(recipe: Recipe, **changes: int | float | None) -> Recipe:
    """Return a recipe with some of its numbers changed.

    Args:
        recipe: The recipe.
        **changes: New values by field; None keeps the recipe's value.

    Raises:
        TrainingError: If a number is not finite and above 0.
    """
    given = {name: value for name, value in changes.items() if value is not None}
    for name, value in given.items():
        if not 0 < value < math.inf:
            raise TrainingError(f"{name.replace('_', ' ')} {value} was given, a finite number above 0 is required")
    return replace(recipe, **given)  # type: ignore[arg-type]
