"""What the experiments on the action heads have in common, and how their heads differ."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from a2d.formats.base import Sample
from a2d.taxonomy import Taxonomy
from action_heads.defaults import AUXILIARY_WEIGHT, STILLS_WEIGHT
from action_heads.input_kinds import BOTH
from action_heads.model import Trunk
from action_heads.training.features import FeatureCache
from action_heads.training.linear_probe import AuxiliaryFeatures, LabelledFeatures
from action_heads.training.recipes import PAPER, Recipe
from action_heads.tuning_modes import CLASSIFIER
from pipeline.cached_detector import CachedDetector
from pipeline.config import TaggerConfig

BoolArray = NDArray[np.bool_]
IntArray = NDArray[np.int64]
FloatArray = NDArray[np.float32]

Augment = Callable[[LabelledFeatures], AuxiliaryFeatures]
"""Derives additional training data from the training data."""


@dataclass(frozen=True)
class ExperimentSetup:
    """What all variants of the heads have in common.

    Attributes:
        samples: Of the train split, then of the test split.
        train_size: Number of samples of the train split.
        stills: Labelled images to train on as well; they are never predicted.
        present: Actors that pass their gate, shape (samples, actors).
        taxonomy: Actors and labels.
        detector: Stage 1.
        feature_cache: Cached features.
        logit_cache: Cached logits of fine-tuned heads.
        seed: Of everything random.
        device: `cpu` or `cuda:N`.
    """

    samples: Sequence[Sample]
    train_size: int
    stills: Sequence[Sample]
    present: BoolArray
    taxonomy: Taxonomy
    detector: CachedDetector
    feature_cache: FeatureCache
    logit_cache: FeatureCache
    seed: int
    device: str

    @property
    def actual(self) -> BoolArray:
        """True labels, shape (samples, labels)."""
        return np.stack([self.taxonomy.encode(sample.labels) for sample in self.samples])

    @property
    def groups(self) -> NDArray[np.str_]:
        """Source of each sample, shape (samples,)."""
        return np.array([sample.group for sample in self.samples], dtype=np.str_)


@dataclass(frozen=True)
class HeadVariant:
    """How heads are trained and what they are given; the defaults are those of the shipped heads.

    Attributes:
        trunk: Initial weights.
        input_kind: One of `action_heads.input_kinds.INPUT_KINDS`.
        tuning_mode: Which tensors may change, one of `action_heads.tuning_modes.TUNING_MODES`.
        recipe: Hyperparameters of fine-tuning; ignored for tuning mode `classifier`.
        sample_every_seconds: Interval between the sampled frames, in training and in prediction.
        boxes_per_frame: Maximum number of boxes of the actor that are used of each frame; the most confident ones.
        auxiliary_weight: Weight of a sample of an auxiliary actor; the actor's own samples have weight 1.
        stills_weight: Weight of a still.
        calibrated: Whether logits are divided by the temperature.
        per_label_thresholds: Whether each label has a threshold of its own.
        mirrored: Whether predictions are based on the mean features of frames and their mirror images.
        augment: Derives additional training data; it replaces that of auxiliary actors.
        track: Whether the motion is that of one tracked individual, or of the most confident box of each frame.
        camera: Whether the camera's motion is subtracted.
        feature_changes: Whether the changes of the crop's features between frames are an additional input.
    """

    trunk: Trunk
    input_kind: str = BOTH
    tuning_mode: str = CLASSIFIER
    recipe: Recipe = PAPER
    sample_every_seconds: float = TaggerConfig.sample_every_seconds
    boxes_per_frame: int = 1
    auxiliary_weight: float = AUXILIARY_WEIGHT
    stills_weight: float = STILLS_WEIGHT
    calibrated: bool = True
    per_label_thresholds: bool = False
    mirrored: bool = False
    augment: Augment | None = None
    track: bool = True
    camera: bool = True
    feature_changes: bool = False
