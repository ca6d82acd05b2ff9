"""Settings of a detector's training; importing them loads no library."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Phase:
    """One part of the training.

    Attributes:
        name: For the log and the folder of features.
        frozen: Number of the backbone's first children that are not trained. With 0 the whole network is, the
            statistics of its batch normalization included, and no features are saved.
        views: Number of augmented views per epoch; the same ones in every epoch, with 0 frozen children others in each.
        epochs: Passes over the views.
        learning_rate: Of AdamW, at the peak of its schedule.
    """

    name: str
    frozen: int
    views: int
    epochs: int
    learning_rate: float


@dataclass(frozen=True)
class StemPhase:
    """How a stem is taught, see `actor_detector.training.stem_distillation`.

    Attributes:
        views: Number of augmented views, each seen once.
        view_size: Their side in pixels; what a stem computes depends on a few pixels around each.
        learning_rate: Of AdamW, at the peak of its schedule.
        weight_decay: Of AdamW.
    """

    views: int = 128_000
    view_size: int = 128
    learning_rate: float = 3e-3
    weight_decay: float = 1e-4


@dataclass(frozen=True)
class TrainingSettings:
    """Everything that determines the result of a training besides the images, the network and the phases.

    Attributes:
        image_size: Long side in pixels for which the detector is trained.
        view_size: Side of the training views in pixels.
        batch_size: Views per step.
        weight_decay: Of AdamW, only for tensors with more than one dimension.
        average: Decay of the exponential moving average of the weights, which is the result of the training.
        backbone_share: Factor on the learning rate of the backbone's trained children while others are frozen. At 1,
            its batch normalization, whose statistics remain those of ImageNet then, makes the last feature map
            collapse.
        warm_up: Steps over which a phase's learning rate rises.
        seed: Of the views and their order.
    """

    image_size: int = 320
    view_size: int = 256
    batch_size: int = 32
    weight_decay: float = 0.01
    average: float = 0.998
    backbone_share: float = 0.1
    warm_up: int = 100
    seed: int = 0
