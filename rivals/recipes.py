"""Recipes: every number that determines a system's network and its training, apart from the data and the seed."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from common.errors import CheckpointError
from common.files import check_fields, shorten

OPTIMIZERS = ("sgd", "rmsprop", "adam", "adamw", "adagrad", "adadelta")
SCHEDULES = ("constant", "cosine", "cyclic", "plateau", "step")
MAX_SIZE, MAX_FRAMES, MAX_STEP = 2048, 256, 100
BLACK = -1  # the index of a frame that the clip does not have


@dataclass(frozen=True)
class FrameInput:
    """Which frames a network is given for a moment of a clip.

    Attributes:
        size: Side in pixels of the square that each frame is resized to, regardless of its aspect ratio.
        frames: Number of frames, from 1.
        step: Every Nth frame of the clip is taken, N from 1.
        before: How many of the frames lie before the moment; None: half of them, rounded down.
        zero_padded: Whether frames that the clip does not have are black; otherwise its first or last is repeated.
    """

    size: int = 224
    frames: int = 1
    step: int = 1
    before: int | None = None
    zero_padded: bool = False

    def window(self, moment: int, total: int) -> list[int]:
        """Return the indices of the frames for a moment.

        Args:
            moment: Index of a frame, from 0.
            total: Number of the clip's frames.

        Returns:
            `frames` indices, from 0, in order; `BLACK` for black frames.

        >>> FrameInput(frames=4, step=2).window(3, 10), FrameInput(frames=3, before=2, zero_padded=True).window(1, 10)
        ([0, 1, 3, 5], [-1, 0, 1])
        """
        before = self.frames // 2 if self.before is None else self.before
        wanted = [moment + (position - before) * self.step for position in range(self.frames)]
        if self.zero_padded:
            return [index if 0 <= index < total else BLACK for index in wanted]
        return [min(max(index, 0), total - 1) for index in wanted]

    @classmethod
    def from_dict(cls, content: object, where: str) -> "FrameInput":
        """Create the input that a file describes.

        Raises:
            CheckpointError: If a key is missing or unknown, or a value is invalid.
        """
        types = {"size": int, "frames": int, "step": int, "before": object, "zero_padded": bool}
        found = cls(**check_fields(content, where, CheckpointError, types))
        limits = {"size": MAX_SIZE, "frames": MAX_FRAMES, "step": MAX_STEP}
        for name, highest in limits.items():
            if type(getattr(found, name)) is not int or not 1 <= getattr(found, name) <= highest:
                raise CheckpointError(f"{where}: {name}: 1 to {highest} was expected, found {getattr(found, name)!r}")
        if found.before is not None and not (type(found.before) is int and 0 <= found.before < MAX_FRAMES):
            raise CheckpointError(f"{where}: before: a number of frames or null was expected, found {found.before!r}")
        return found


@dataclass(frozen=True)
class NetworkSettings:
    """What a trained network needs to be built and used again.

    Attributes:
        backbone: One of `rivals.backbones`, or `timm:NAME`; empty for a system that has none.
        inputs: What the network is given.
        threshold: Probability from which a label is said, in [0, 1].
        options: The system's own settings, as JSON can hold them, such as the widths of its layers.
    """

    backbone: str
    inputs: FrameInput = FrameInput()
    threshold: float = 0.5
    options: Mapping[str, Any] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Return the settings as JSON can hold them."""
        return asdict(self)

    @classmethod
    def from_dict(cls, content: object, where: str) -> "NetworkSettings":
        """Create the settings that a file describes.

        Raises:
            CheckpointError: If a key is missing or unknown, or a value is invalid.
        """
        types = {"backbone": str, "inputs": dict, "threshold": float, "options": dict}
        found = check_fields(content, where, CheckpointError, types)
        if not 0 <= found["threshold"] <= 1:
            raise CheckpointError(f"{where}: threshold: 0 to 1 was expected, found {shorten(found['threshold'])}")
        return cls(**{**found, "inputs": FrameInput.from_dict(found["inputs"], f"{where}: inputs")})


@dataclass(frozen=True)
class Augmentation:
    """Random changes of training pictures; the frames of a clip are all changed alike. The default changes nothing.

    Attributes:
        rotation_degrees: Largest angle, in either direction.
        flip: Probability of mirroring left and right.
        scale: Smallest and largest magnification, about a random centre: above 1 crops, below 1 pads with black.
        blurs: Of `gaussian`, `median` and `motion`, one of which is chosen.
        blur: Probability of blurring.
        gamma: Largest change of the exponent, as a share: 0.2 draws from 0.8 to 1.2.
        brightness: Largest change of the brightness, likewise.
        contrast: Largest change of the contrast, likewise.
        saturation: Largest change of the saturation, likewise.
        hue: Largest rotation of the hue, as a share of the circle, up to 0.5.
        squares: Largest number of black squares.
        square_pixels: Side of a black square.
    """

    rotation_degrees: float = 0.0
    flip: float = 0.0
    scale: tuple[float, float] = (1.0, 1.0)
    blurs: tuple[str, ...] = ()
    blur: float = 0.0
    gamma: float = 0.0
    brightness: float = 0.0
    contrast: float = 0.0
    saturation: float = 0.0
    hue: float = 0.0
    squares: int = 0
    square_pixels: int = 8


@dataclass(frozen=True)
class Optimizer:
    """How the weights are changed.

    Attributes:
        name: One of `OPTIMIZERS`.
        learning_rate: At the start; above 0.
        momentum: Of SGD and RMSprop.
        weight_decay: From 0.
    """

    name: str
    learning_rate: float
    momentum: float = 0.0
    weight_decay: float = 0.0


@dataclass(frozen=True)
class Schedule:
    """How the learning rate changes.

    Attributes:
        name: One of `SCHEDULES`: `constant`; `cosine`, to zero over the phase; `cyclic`, up from `lowest` to the
            optimizer's rate and down again, `epochs` each; `plateau`, times `factor` when the mean loss has not fallen
            for more than `epochs` epochs; `step`, times `factor` every `epochs` epochs.
        factor: Below 1, for `plateau` and `step`.
        epochs: See the name.
        lowest: Learning rate at the bottom of a cycle.
    """

    name: str = "constant"
    factor: float = 0.1
    epochs: int = 1
    lowest: float = 0.0


@dataclass(frozen=True)
class Phase:
    """A part of a training: it starts with the weights of the one before, and a new optimizer.

    Attributes:
        epochs: How often each sample is shown.
        batch_size: Samples in a step.
        loss: One of `rivals.losses.LOSSES`, or of the system's own.
        optimizer: How the weights are changed.
        schedule: How the learning rate changes.
        frozen: Names of the network's modules that stay as they are, including their normalization statistics.
        inputs: What the network is given, if it differs from what it is given in the end.
        amp: Whether to compute in bfloat16 on a GPU.
    """

    epochs: int
    batch_size: int
    loss: str
    optimizer: Optimizer
    schedule: Schedule = Schedule()
    frozen: tuple[str, ...] = ()
    inputs: FrameInput | None = None
    amp: bool = False


@dataclass(frozen=True)
class Recipe:
    """How a system is trained.

    Attributes:
        name: `paper` for the published numbers, `small` for what two cores train within minutes.
        settings: Of the network.
        weights: What the backbone starts from, see `rivals.weights.load_weights`.
        phases: One after another; none for a system that has nothing to train by gradient descent.
        augmentation: Of the training pictures.
    """

    name: str
    settings: NetworkSettings
    weights: str
    phases: tuple[Phase, ...]
    augmentation: Augmentation = Augmentation()

    def to_dict(self) -> dict[str, Any]:
        """Return all numbers as JSON can hold them."""
        return asdict(self)
