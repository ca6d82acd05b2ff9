"""Training one actor's head on some sampled frames and predicting others, for cross-validation."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Protocol

import numpy as np

from a2d.taxonomy import Actor
from action_heads.defaults import LABEL_THRESHOLD
from action_heads.label_decision import to_probabilities
from action_heads.model import Trunk
from action_heads.training.features import FeatureCache
from action_heads.training.finetuning import FinetuningPlan, predict_frames, train_head
from action_heads.training.linear_probe import (
    AuxiliaryFeatures,
    LabelledFeatures,
    LinearProbe,
    fit_linear_probe,
    pool_logits,
    predict_held_out,
)
from action_heads.training.samples import LabelledFrames, SampledFrame, read_labelled_frames, target_matrix
from common.progress import Progress, no_progress
from experiments.experiment_setup import Augment, BoolArray, FloatArray
from experiments.logits import to_logits
from thresholds.exact import search
from thresholds.fitness import OBJECTIVES, PresenceTable

LOGIT_FORMAT = 1  # increment when fine-tuning yields another result from the same start
MIXUP_WEIGHTS = 0.7, 0.3  # of a sample, and of the one that is mixed into it


class Learner(Protocol):
    """Trains heads of one actor on some of its sampled frames, and predicts others."""

    def train_and_predict(self, train: BoolArray, predict: BoolArray) -> FloatArray:
        """Train a head, and return its logits.

        Args:
            train: Mask of the frames to train on, shape (N,).
            predict: Mask of the frames to predict, shape (N,).

        Returns:
            Shape (number of predicted frames, outputs).
        """


@dataclass(frozen=True)
class LinearProbeLearner:
    """Trains linear probes on cached features.

    Attributes:
        features: Of all sampled frames.
        auxiliary: Additional training data from other actors; sources that are predicted are left out.
        augment: Derives additional training data instead.
        calibrated: Whether the logits are divided by the temperature.
        per_label_thresholds: Whether each label has a threshold of its own, found by cross-validation within the
            training data; the logits are shifted so that the common threshold has the same effect.
        mirrored: Whether predictions are based on the mean features of frames and their mirror images.
    """

    features: LabelledFeatures
    auxiliary: AuxiliaryFeatures | None = None
    augment: Augment | None = None
    calibrated: bool = True
    per_label_thresholds: bool = False
    mirrored: bool = False

    def train_and_predict(self, train: BoolArray, predict: BoolArray) -> FloatArray:
        """Train a head, and return its logits, see `Learner`."""
        features = self.features.take(train)
        auxiliary = self.auxiliary.without(self.features.groups[predict]) if self.auxiliary else None
        if self.augment:
            auxiliary = self.augment(features)
        probe = fit_linear_probe(features, auxiliary)
        versions = self.features.values[predict]
        logits = probe.logits(versions.mean(axis=1) if self.mirrored else versions[:, 0])
        if probe.calibration and not self.calibrated:
            logits = logits * np.float32(probe.calibration.temperature)
        if self.per_label_thresholds:
            thresholds = _fit_thresholds(features, auxiliary, probe)
            logits = logits + to_logits(np.array(LABEL_THRESHOLD)) - to_logits(thresholds)
        return logits


def mix_features(features: LabelledFeatures) -> AuxiliaryFeatures:
    """Mix the features of each sample with those of another one, without mixing the labels: mixup of features."""
    rng = np.random.default_rng(0)
    first = np.unique(features.sample, return_index=True)[1]
    mixed = features.take(first)
    other = mixed.values[rng.permutation(len(first))]
    weight, other_weight = MIXUP_WEIGHTS
    values = (weight * mixed.values + other_weight * other).astype(np.float32)
    return AuxiliaryFeatures(
        replace(mixed, values=values), np.ones(mixed.targets.shape, bool), np.full(len(mixed), 0.5)
    )


def repeat_rare_labels(features: LabelledFeatures) -> AuxiliaryFeatures:
    """Return the samples that have a label rarer than the median one, so that they count twice."""
    first = np.unique(features.sample, return_index=True)[1]
    frequency = features.targets[first].sum(axis=0)
    is_rare = (frequency > 0) & (frequency < np.median(frequency[frequency > 0]))
    repeated = features.take(np.flatnonzero(features.targets[:, is_rare].any(axis=1)))
    return AuxiliaryFeatures(repeated, np.ones(repeated.targets.shape, dtype=bool), np.ones(len(repeated)))


@dataclass(frozen=True)
class FinetuningLearner:
    """Fine-tunes heads on images; the logits are cached by content, so that a long run can be resumed.

    Attributes:
        actor: The actor.
        frames: N sampled frames.
        trunk: Initial weights.
        input_kind: `frame` or `crop`.
        plan: How to fine-tune.
        cache: Logits of earlier runs.
        progress: Shows the progress over the clips that are decoded.
    """

    actor: Actor
    frames: Sequence[SampledFrame]
    trunk: Trunk
    input_kind: str
    plan: FinetuningPlan
    cache: FeatureCache
    progress: Progress = no_progress

    def train_and_predict(self, train: BoolArray, predict: BoolArray) -> FloatArray:
        """Train a head, and return its logits, see `Learner`."""
        key = self._key(train, predict)
        logits = self.cache.load(key)
        if logits is None:
            preprocessing = self.trunk.preprocessing
            size = preprocessing.stored_size if self.plan.recipe.augment else preprocessing.size
            head = train_head(self._read(train, size), self.trunk, self.plan)
            images = self._read(predict, preprocessing.size)
            logits = to_logits(predict_frames(head, images, preprocessing, self.plan.device))
            self.cache.save(key, logits)
        return logits

    def _read(self, rows: BoolArray, size: int) -> LabelledFrames:
        selected = [self.frames[row] for row in np.flatnonzero(rows).tolist()]
        return read_labelled_frames(self.actor, selected, self.input_kind, size, self.progress)

    def _key(self, train: BoolArray, predict: BoolArray) -> str:
        """Hash everything that determines the logits into 64 hexadecimal digits."""
        contents = [[frame.clip_sha256, frame.frame_index, frame.box.tolist()] for frame in self.frames]
        targets = target_matrix(self.actor, [frame.sample for frame in self.frames])
        content = [
            LOGIT_FORMAT,
            self.trunk.sha256,
            self.trunk.preprocessing.to_dict(),
            self.input_kind,
            self.plan.tuning_mode,
            asdict(self.plan.recipe),
            self.plan.seed,
            [contents[row] for row in np.flatnonzero(train)],
            targets[train].tolist(),
            [contents[row] for row in np.flatnonzero(predict)],
        ]
        return hashlib.sha256(json.dumps(content).encode()).hexdigest()


def _fit_thresholds(features: LabelledFeatures, auxiliary: AuxiliaryFeatures | None, probe: LinearProbe) -> FloatArray:
    """Find each label's best threshold exactly, on held-out predictions within the training data, shape (outputs,)."""
    held_out = predict_held_out(features, auxiliary)
    if not held_out or not probe.calibration:
        return np.full(features.targets.shape[1], LABEL_THRESHOLD, np.float32)
    logits, targets = pool_logits(held_out[probe.C] / np.float32(probe.calibration.temperature), features)
    table = PresenceTable(to_probabilities(logits).astype(np.float64), targets)
    return search(table, OBJECTIVES["f1"], starts=8, seed=0, bounds=(0.05, 0.95)).gates.astype(np.float32)
