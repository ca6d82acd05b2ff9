"""Cross-validation of stage 2 behind stage 1 and the gates: what heads say of clips whose sources they do not know."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pipeline.training.training_frames import sample_training_frames
from sklearn.model_selection import StratifiedGroupKFold

from a2d.formats.base import Sample
from a2d.taxonomy import Actor, Taxonomy
from action_heads.input_kinds import CROP, MOVING, VIEWS_BY_INPUT
from action_heads.defaults import LABEL_THRESHOLD
from action_heads.label_decision import decide_labels, to_probabilities
from action_heads.model import Trunk
from action_heads.training.features import FeatureCache
from action_heads.training.linear_probe import AuxiliaryFeatures, LabelledFeatures
from action_heads.defaults import AUXILIARY_WEIGHT
from action_heads.training.recipes import PAPER, Recipe
from action_heads.training.samples import SampledFrame, samples_showing, target_matrix
from action_heads.tuning_modes import CLASSIFIER
from actor_detector.detections import ClipDetections
from actor_detector.motion.features import motion_features
from experiments.learners import EpochLearner, Learner, RegressionLearner
from pipeline.cached_detector import CachedDetector
from pipeline.commands import console as cli
from pipeline.training.head_features import HeadFeatureExtractor, auxiliary_features

BoolArray = NDArray[np.bool_]
IntArray = NDArray[np.int64]
FloatArray = NDArray[np.float32]
LIKELIEST_ALONE = 2.0
TEST = -1  # the "fold" of test samples: held out from heads of all train samples

Invent = Callable[[LabelledFeatures], AuxiliaryFeatures]


@dataclass(frozen=True)
class Setting:
    """What all variants have in common.

    Attributes:
        samples: Of the train split, then of the test split.
        train: Number of samples of the train split.
        present: What the gates say, shape (samples, actors).
        taxonomy: Actors and labels.
        detector: Stage 1.
        cache: Of features.
        kept: Of the logits of heads that were trained by epochs.
        seed: Of everything random.
        device: `cpu` or `cuda:N`.
    """

    samples: Sequence[Sample]
    train: int
    present: BoolArray
    taxonomy: Taxonomy
    detector: CachedDetector
    cache: FeatureCache
    kept: FeatureCache
    seed: int
    device: str

    @property
    def actual(self) -> BoolArray:
        """What is true, shape (samples, labels)."""
        return np.stack([self.taxonomy.encode(sample.labels) for sample in self.samples])

    @property
    def groups(self) -> NDArray[np.str_]:
        """Source of each sample, shape (samples,)."""
        return np.array([sample.group for sample in self.samples], dtype=np.str_)


@dataclass(frozen=True)
class Variant:
    """One way to make the heads; by default, the way that is shipped.

    Attributes:
        trunk: What they start from.
        input: What they are shown.
        tuning: What may move.
        recipe: For the tunings that take epochs.
        look_every: How often they look at a clip, in training as in tagging, in seconds.
        boxes: How many boxes of the actor each look shows, each by itself; the most confident ones.
        lent_weight: How much a clip of an actor that theirs borrows from counts.
        calibrated: Whether logits are divided by the temperature.
        own_thresholds: Whether each label has a threshold of its own.
        mirrored: Whether the mirror image is asked too.
        invent: Makes further material of what is learned.
        track: Whether motion is that of one of the actor's kind, followed; else of the surest box in each frame.
        camera: Whether the camera's motion is taken out.
        changes: Whether heads are told how the crop's features change from look to look.
    """

    trunk: Trunk
    input: str = MOVING
    tuning: str = CLASSIFIER
    recipe: Recipe = PAPER
    look_every: float = 0.5
    boxes: int = 1
    lent_weight: float = AUXILIARY_WEIGHT
    calibrated: bool = True
    own_thresholds: bool = False
    mirrored: bool = False
    invent: Invent | None = None
    track: bool = True
    camera: bool = True
    changes: bool = False

    def motion_features(self, detections: ClipDetections, actor_index: int) -> FloatArray:
        """Describe how an actor moves, see `actor_detector.motion.features`, shape (20,)."""
        return motion_features(detections, actor_index, self.track, self.camera)


@dataclass(frozen=True)
class HeldOutPredictions:
    """What one actor's heads say, look by look, each of samples that it does not know.

    Attributes:
        sample: Place of each look's sample, shape (K,).
        frame_index: The frame looked at, shape (K,).
        logits: Shape (K, outputs).
    """

    sample: IntArray
    frame_index: IntArray
    logits: FloatArray


@dataclass(frozen=True)
class Material:
    """The looks at one actor, from which some heads learn and about which others are asked.

    Attributes:
        actor: Whose.
        sample: Place of each look's sample, shape (N,).
        frame_index: The frame looked at, shape (N,).
        labelled: Looks at samples of the actor, shape (N,).
        learner: Trains and asks heads.
    """

    actor: Actor
    sample: IntArray
    frame_index: IntArray
    labelled: BoolArray
    learner: Learner


@dataclass(frozen=True)
class ReadOut:
    """From logits of looks to labels of a clip; by default, as it is shipped.

    Attributes:
        combine: From the looks' logits (K, outputs) to the clip's probabilities (outputs,).
        threshold: From which probability an action is said; no probability reaches `LIKELIEST_ALONE`.
    """

    combine: Callable[[FloatArray], FloatArray] = field(default=lambda logits: to_probabilities(logits.mean(axis=0)))
    threshold: float = LABEL_THRESHOLD

    def say(self, answers: Mapping[str, HeldOutPredictions], setting: Setting) -> BoolArray:
        """Say labels of every sample, shape (samples, labels)."""
        said = np.zeros((len(setting.samples), len(setting.taxonomy.labels)), dtype=bool)
        for name, own in answers.items():
            columns = setting.taxonomy.actor(name).label_indices
            for place in np.unique(own.sample):
                looks = own.sample == place
                probabilities = self.combine(_best_instance(own.logits[looks], own.frame_index[looks]))
                said[place, columns] = decide_labels(probabilities, self.threshold)
        return said


def prepare(variant: Variant, setting: Setting) -> list[Material]:
    """Choose the looks of every actor, and get their features or images ready."""
    place_of = {id(sample): place for place, sample in enumerate(setting.samples)}
    prepared = []
    for actor in setting.taxonomy.actors:
        own = {id(sample) for sample in samples_showing(actor, setting.samples)}
        wanted = [s for s, there in zip(setting.samples, setting.present[:, actor.index], strict=True)
                  if there or id(s) in own]  # fmt: skip
        looks = sample_training_frames(
            wanted, actor, setting.detector, variant.input, variant.look_every, describe=variant.describe_motion
        )
        if variant.boxes > 1:
            looks = _show_more_boxes(looks, actor, setting.detector, variant.boxes)
        prepared.append(
            Material(
                actor,
                np.array([place_of[id(look.sample)] for look in looks], dtype=np.int64),
                np.array([look.frame_index for look in looks], dtype=np.int64),
                np.array([id(look.sample) in own for look in looks], dtype=bool),
                _make_learner(actor, looks, variant, setting),
            )
        )
    return prepared


def predict_out_of_fold(
    prepared: Sequence[Material], setting: Setting, fold: IntArray, known: BoolArray | None = None
) -> dict[str, HeldOutPredictions]:
    """Ask heads about every sample that passed their gate: each about sources that it does not know.

    Args:
        prepared: See `prepare`.
        setting: What all variants have in common.
        fold: The fold that holds each sample out, `TEST` for test samples, shape (samples,).
        known: The train samples that may be learned from, shape (samples,); None for all.

    Returns:
        By actor.
    """
    known = np.ones(len(fold), dtype=bool) if known is None else known
    answers = {}
    for own in cli.progress_bar(prepared, "training", "head"):
        logits = np.zeros((len(own.sample), len(own.actor.labels)), np.float32)
        answered = np.zeros(len(own.sample), dtype=bool)
        fold_of = fold[own.sample]
        for held_out in np.unique(fold_of):
            learned = own.labelled & (fold_of != held_out) & (fold_of != TEST) & known[own.sample]
            asked = (fold_of == held_out) & setting.present[own.sample, own.actor.index]
            if learned.any() and asked.any():
                logits[asked] = own.learner.learn_and_predict(learned, asked)
                answered |= asked
        answers[own.actor.name] = HeldOutPredictions(own.sample[answered], own.frame_index[answered], logits[answered])
    return answers


def assign_folds(samples: Sequence[Sample], taxonomy: Taxonomy, folds: int, seed: int) -> IntArray:
    """Give each sample the fold that holds it out, shape (samples,): sources stay whole, kinds of actor are spread."""
    first = [taxonomy.label(sample.labels[0]).kind if sample.labels else "" for sample in samples]
    groups = [sample.group for sample in samples]
    fold = np.zeros(len(samples), dtype=np.int64)
    splitter = StratifiedGroupKFold(folds, shuffle=True, random_state=seed)
    for number, (_, held_out) in enumerate(splitter.split(first, first, groups)):
        fold[held_out] = number
    return fold


def _make_learner(actor: Actor, looks: Sequence[SampledFrame], variant: Variant, setting: Setting) -> Learner:
    if variant.tuning != CLASSIFIER:
        return EpochLearner(
            actor, looks, variant.trunk, variant.input, variant.tuning, variant.recipe, setting.seed, setting.device,
            setting.kept, _decoding,
        )  # fmt: skip
    source = HeadFeatureExtractor(variant.trunk, variant.input, setting.cache, setting.device, _decoding)
    features = source.label(looks, target_matrix(actor, [look.sample for look in looks]))
    lenders = [setting.taxonomy.actor(name) for name in actor.auxiliary_actors]
    lent = auxiliary_features(
        actor, lenders, setting.samples[: setting.train], setting.detector, variant.look_every, source,
        variant.lent_weight, describe=variant.describe_motion,
    )  # fmt: skip
    if variant.changes:
        features = _add_changes(features, variant.input)
        lent = lent and replace(lent, features=_add_changes(lent.features, variant.input))
    return RegressionLearner(
        features, lent, variant.invent, variant.calibrated, variant.own_thresholds, variant.mirrored
    )


def _show_more_boxes(
    looks: Sequence[SampledFrame], actor: Actor, detector: CachedDetector, boxes: int
) -> list[SampledFrame]:
    """Put a look at each of the most confident boxes in place of each look, as far as there are so many."""
    shown = []
    for look in looks:
        found = detector.detect(look.sample.clip).detections
        row = np.flatnonzero(found.frame_index == look.frame_index)
        own = np.flatnonzero((found.actor_index == actor.index) & np.isin(found.frame_row, row))
        best = own[np.argsort(-found.confidence[own], kind="stable")[:boxes]]
        shown += [replace(look, box=found.boxes[place]) for place in best] or [look]
    return shown


def _best_instance(logits: FloatArray, frame_index: IntArray) -> FloatArray:
    """Of several looks at one frame, take the surest for each label: (K, outputs) to (frames, outputs)."""
    frames, place = np.unique(frame_index, return_inverse=True)
    best = np.full((len(frames), logits.shape[1]), -np.inf, np.float32)
    np.maximum.at(best, place, logits)
    return best


def _add_changes(features: LabelledFeatures, kind: str) -> LabelledFeatures:
    """Lay beside each look how much the crop's features change from look to look of its sample, on average."""
    if not len(features):
        return features
    views = VIEWS_BY_INPUT[kind]
    width = features.blocks[0]
    crop = features.values[..., width * views.index(CROP) : width * (views.index(CROP) + 1)]
    changes = np.zeros_like(crop)
    for number in np.unique(features.sample):
        rows = np.flatnonzero(features.sample == number)
        if len(rows) > 1:
            changes[rows] = np.abs(np.diff(crop[rows], axis=0)).mean(axis=0)
    values = np.concatenate([features.values, changes], axis=2)
    return replace(features, values=values, blocks=(*features.blocks, width))


def _decoding(clips: Sequence[Any]) -> Any:
    return cli.progress_bar(clips, "decoding", "clip")
