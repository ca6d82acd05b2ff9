"""Recipes for training a head by epochs: the published one, and ours."""

import math
from dataclasses import dataclass, replace

from common.errors import TrainingError
from common.files import nearest

AUXILIARY_WEIGHT = 0.3  # by grouped cross-validation over train clips; 0.1 to 1 differ by half a point of F1


@dataclass(frozen=True)
class Recipe:
    """Everything that decides a training but the data, the trunk and the seed.

    Attributes:
        name: What the command line and the manifest call it.
        loss: `cross_entropy` on the first label of a sample, or `bce` on all of them.
        optimizer: `sgd` or `adamw`.
        learning_rate: At the start.
        momentum: For SGD.
        weight_decay: For either.
        schedule: `step` (times 0.1 every 7 epochs) or `cosine` (to zero over the training).
        epochs: Passes over the samples.
        batch_size: Samples a step.
        augment: Random crops, flips and colours.
        balance: Draw samples of rare labels more often.
        bf16: Compute in bfloat16 where the device is fast at it (CUDA, or a CPU with AMX).
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
    """Find a recipe by its name.

    Raises:
        TrainingError: If there is none, naming those that there are.
    """
    if name not in RECIPES:
        raise TrainingError(f"unknown recipe {name!r}; {nearest(name, RECIPES)}")
    return RECIPES[name]


def adjust_recipe(recipe: Recipe, **changes: int | float | None) -> Recipe:
    """Change some of a recipe's numbers.

    Args:
        recipe: The recipe.
        changes: New values by field; None keeps the recipe's.

    Raises:
        TrainingError: If a number is not above 0, or not finite.
    """
    given = {name: value for name, value in changes.items() if value is not None}
    for name, value in given.items():
        if not 0 < value < math.inf:
            raise TrainingError(f"{name.replace('_', ' ')} {value} was given, more than 0 is allowed")
    return replace(recipe, **given)  # type: ignore[arg-type]
