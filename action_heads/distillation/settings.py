"""Settings of a trunk's distillation; importing them loads no library."""

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class DistillationSettings:
    """Everything that determines a distillation apart from the images, the teacher and the student's architecture.

    Attributes:
        sizes: The student's input side in pixels and the number of epochs at it, for each stage in order.
        crops: Number of different crops of each image; the epochs cycle through them.
        grid: Number of grid cells per side; features are pooled and compared cell by cell.
        batch_size: Images per step.
        learning_rate: Peak learning rate of AdamW; it decays along a cosine.
        weight_decay: Of AdamW, for parameters with two or more dimensions.
        logits_weight: Weight of the divergence from the teacher's softened 1,000 classes; 0 disables it.
        temperature: Temperature at which the classes are softened.
        seed: Of the student's initial weights, the order of the images and the crops.
    """

    sizes: tuple[tuple[int, int], ...] = ((112, 20), (160, 4))
    crops: int = 4
    grid: int = 2
    batch_size: int = 64
    learning_rate: float = 1e-3
    weight_decay: float = 0.02
    logits_weight: float = 0.0
    temperature: float = 2.0
    seed: int = 0

    @property
    def epochs(self) -> int:
        """Total number of epochs."""
        return sum(epochs for _, epochs in self.sizes)

    def size_in(self, epoch: int) -> int:
        """Return the student's input side in pixels in an epoch, counted from 1."""
        sides = [side for side, epochs in self.sizes for _ in range(epochs)]
        return sides[epoch - 1]

    def crop_in(self, epoch: int) -> int:
        """Return the number of the crop used in an epoch, both counted from 1."""
        return (epoch - 1) % self.crops + 1

    def to_dict(self) -> dict[str, Any]:
        """Return the settings by the names that they have in `plan.json` and in trunk files."""
        return {"cells" if name == "grid" else name: value for name, value in asdict(self).items()}
