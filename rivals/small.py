"""The `small` recipe: what two cores train within minutes, on the embedded trunk, whatever the system."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from rivals.recipes import Augmentation, FrameInput, NetworkSettings, Optimizer, Phase, Recipe, Schedule
from rivals.system import SMALL

BACKBONE, WEIGHTS, SIZE = "efficientnet_lite0", "embedded", 160
EPOCHS, BATCH_SIZE = 8, 16
OPTIMIZER = Optimizer("adamw", 5e-4, weight_decay=0.05)
AUGMENTATION = Augmentation(rotation_degrees=10, flip=0.5, scale=(1.0, 1.3), brightness=0.2, contrast=0.2)


@dataclass(frozen=True)
class SmallRecipe:
    """What differs between the small recipes of systems.

    Attributes:
        loss: The system's.
        frozen: As for `rivals.recipes.Phase`.
        frames: Number of frames that the network is given.
        options: The system's own settings.
    """

    loss: str
    frozen: tuple[str, ...] = ()
    frames: int = 1
    options: Mapping[str, Any] = field(default_factory=dict)

    def recipe(self) -> Recipe:
        """Return the recipe."""
        settings = NetworkSettings(BACKBONE, FrameInput(SIZE, self.frames), options=self.options)
        phase = Phase(EPOCHS, BATCH_SIZE, self.loss, OPTIMIZER, Schedule("cosine"), self.frozen)
        return Recipe(SMALL, settings, WEIGHTS, (phase,), AUGMENTATION)
