"""The `small` recipe: what two cores train within minutes, on the embedded trunk, whatever the system."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from rivals.recipes import Augmentation, FrameInput, NetworkSettings, Optimizer, Phase, Recipe, Schedule
from rivals.system import SMALL

BACKBONE, WEIGHTS, SIZE = "efficientnet_lite0", "embedded", 160
EPOCHS, CLIP_EPOCHS = 24, 8  # what is shown several frames of each clip is shown them less often
BATCH_SIZE = 16
OPTIMIZER = Optimizer("adamw", 5e-4, weight_decay=0.05)
LAST_LAYERS_OPTIMIZER = Optimizer("adamw", 5e-3, weight_decay=0.05)  # where the whole trunk is frozen
AUGMENTATION = Augmentation(rotation_degrees=10, flip=0.5, scale=(1.0, 1.3), brightness=0.2, contrast=0.2)


@dataclass(frozen=True)
class SmallRecipe:
    """What differs between the small recipes of systems.

    Attributes:
        loss: The system's.
        frozen: As for `rivals.recipes.Phase`.
        frames: Number of frames that the network is given.
        options: The system's own settings.
        epochs: How often each sample is shown.
    """

    loss: str
    frozen: tuple[str, ...] = ()
    frames: int = 1
    options: Mapping[str, Any] = field(default_factory=dict)
    epochs: int = EPOCHS

    def recipe(self) -> Recipe:
        """Return the recipe."""
        settings = NetworkSettings(BACKBONE, FrameInput(SIZE, self.frames), options=self.options)
        optimizer = LAST_LAYERS_OPTIMIZER if "trunk" in self.frozen else OPTIMIZER
        phase = Phase(self.epochs, BATCH_SIZE, self.loss, optimizer, Schedule("cosine"), self.frozen)
        return Recipe(SMALL, settings, WEIGHTS, (phase,), AUGMENTATION)
