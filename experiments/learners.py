"""Ways to learn one actor's head from some looks and be asked about others, for cross-validation."""

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from a2d.taxonomy import Actor
from action_heads.defaults import LABEL_THRESHOLD
from action_heads.label_decision import to_probabilities
from action_heads.model import Trunk
from action_heads.training.features import FeatureCache
from action_heads.training.finetuning import predict_frames, train_head
from action_heads.training.linear_probe import (
    AuxiliaryFeatures,
    LabelledFeatures,
    LinearProbe,
    fit_linear_probe,
    pool_logits,
    predict_held_out,
)
from action_heads.training.recipes import Recipe
from action_heads.training.samples import (
    ClipProgress,
    LabelledFrames,
    SampledFrame,
    read_labelled_frames,
    target_matrix,
)
from experiments.logits import to_logits
from thresholds.exact import search
from thresholds.fitness import OBJECTIVES, PresenceTable

BoolArray = NDArray[np.bool_]
FloatArray = NDArray[np.float32]
KEPT_FORMAT = 1  # raise it when a training by epochs comes to something else from the same start


class Learner(Protocol):
    """The looks at one actor, to learn from some and be asked about others."""

    def learn_and_predict(self, learned: BoolArray, asked: BoolArray) -> FloatArray:
        """Train a head on some looks (N,) and give its logits for others, shape (asked, outputs)."""


@dataclass(frozen=True)
class RegressionLearner:
    """Learns the last layer by regression on kept features.

    Attributes:
        features: Of all looks.
        lent: What looks at other actors teach besides; what comes from a source that is asked about is left out.
        invent: Makes further material of the looks that are learned.
        calibrated: Whether the logits are divided by the temperature.
        own_thresholds: Whether each label gets a threshold of its own, on what is held out within what is learned;
            logits are moved so that the common threshold does it.
        mirrored: Whether the mirror image is asked too.
    """

    features: LabelledFeatures
    lent: AuxiliaryFeatures | None = None
    invent: Callable[[LabelledFeatures], AuxiliaryFeatures] | None = None
    calibrated: bool = True
    own_thresholds: bool = False
    mirrored: bool = False

    def learn_and_predict(self, learned: BoolArray, asked: BoolArray) -> FloatArray:
        """Train a head on some looks (N,) and give its logits for others, shape (asked, outputs)."""
        own = self.features.at(learned)
        lent = self.lent.without(self.features.groups[asked]) if self.lent else None
        if self.invent:
            lent = self.invent(own)
        layer = fit_linear_probe(own, lent)
        shown = self.features.values[asked]
        logits = layer.logits(shown.mean(axis=1) if self.mirrored else shown[:, 0])
        if layer.calibration and not self.calibrated:
            logits = logits * np.float32(layer.calibration.temperature)
        if self.own_thresholds:
            logits = logits + to_logits(np.array(LABEL_THRESHOLD)) - to_logits(_thresholds(own, lent, layer))
        return logits


def mix(features: LabelledFeatures) -> AuxiliaryFeatures:
    """Mix each sample with another one, 7 parts to 3, under its own labels: mixup among features."""
    rng = np.random.default_rng(0)
    first = np.unique(features.sample, return_index=True)[1]
    mixed = features.at(first)
    other = mixed.values[rng.permutation(len(first))]
    mixed = replace(mixed, values=(0.7 * mixed.values + 0.3 * other).astype(np.float32))
    return AuxiliaryFeatures(mixed, np.ones(mixed.targets.shape, dtype=bool), 0.5)


def balance(features: LabelledFeatures) -> AuxiliaryFeatures:
    """Let samples with a label rarer than the median one count twice."""
    first = np.unique(features.sample, return_index=True)[1]
    often = features.targets[first].sum(axis=0)
    rare = (often > 0) & (often < np.median(often[often > 0]))
    rows = features.at(np.flatnonzero(features.targets[:, rare].any(axis=1)))
    return AuxiliaryFeatures(rows, np.ones(rows.targets.shape, dtype=bool), 1.0)


@dataclass(frozen=True)
class EpochLearner:
    """Trains by epochs on images. What it comes to is kept on disk by content, so that a long run can be resumed.

    Attributes:
        actor: Whose head.
        looks: All looks, N of them.
        trunk: What the head starts from.
        input: What it is shown.
        tuning: What may move.
        recipe: How it is trained.
        seed: Of everything random.
        device: `cpu` or `cuda:N`.
        kept: Logits of earlier runs.
        progress: Wraps the clips that are decoded.
    """

    actor: Actor
    looks: Sequence[SampledFrame]
    trunk: Trunk
    input: str
    tuning: str
    recipe: Recipe
    seed: int
    device: str
    kept: FeatureCache
    progress: ClipProgress = lambda clips: clips

    def learn_and_predict(self, learned: BoolArray, asked: BoolArray) -> FloatArray:
        """Train a head on some looks (N,) and give its logits for others, shape (asked, outputs)."""
        key = self._key(learned, asked)
        found = self.kept.load(key)
        if found is None:
            preprocessing = self.trunk.preprocessing
            size = preprocessing.stored_size if self.recipe.augment else preprocessing.size
            material = self._read(learned, size)
            head = train_head(material, self.trunk, self.recipe, preprocessing, self.seed, self.device, self.tuning)
            shown = self._read(asked, preprocessing.size)
            found = to_logits(predict_frames(head, shown, preprocessing, self.device))
            self.kept.save(key, found)
        return found

    def _read(self, rows: BoolArray, size: int) -> LabelledFrames:
        some = [self.looks[row] for row in np.flatnonzero(rows).tolist()]
        return read_labelled_frames(self.actor, some, self.input, size, self.progress)

    def _key(self, learned: BoolArray, asked: BoolArray) -> str:
        """Name what comes out by all that decides it: 64 hexadecimal digits."""
        named = [[look.clip_sha256, look.frame_index, look.box.tolist()] for look in self.looks]
        targets = target_matrix(self.actor, [look.sample for look in self.looks])
        content = [
            KEPT_FORMAT,
            self.trunk.sha256,
            self.trunk.preprocessing.to_dict(),
            self.input,
            self.tuning,
            asdict(self.recipe),
            self.seed,
            [named[row] for row in np.flatnonzero(learned)],
            targets[learned].tolist(),
            [named[row] for row in np.flatnonzero(asked)],
        ]
        return hashlib.sha256(json.dumps(content).encode()).hexdigest()


def _thresholds(features: LabelledFeatures, lent: AuxiliaryFeatures | None, layer: LinearProbe) -> FloatArray:
    """Find each label's threshold exactly, on what is held out within the material, shape (outputs,)."""
    held_out = predict_held_out(features, lent)
    if not held_out or not layer.calibration:
        return np.full(features.targets.shape[1], LABEL_THRESHOLD, np.float32)
    logits, targets = pool_logits(held_out[layer.strength] / np.float32(layer.calibration.temperature), features)
    table = PresenceTable(to_probabilities(logits).astype(np.float64), targets)
    return search(table, OBJECTIVES["f1"], bounds=(0.05, 0.95)).gates.astype(np.float32)
