"""The sampled frames of every actor, from which a variant's heads are trained and which they predict."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from a2d.skipped_samples import SkippedSamples
from a2d.taxonomy import Actor
from action_heads.input_kinds import CROP, MOVING, VIEWS_BY_INPUT
from action_heads.training.finetuning import FinetuningPlan
from action_heads.training.linear_probe import LabelledFeatures
from action_heads.training.samples import SampledFrame, samples_showing, target_matrix
from action_heads.tuning_modes import CLASSIFIER
from experiments.experiment_setup import BoolArray, ExperimentSetup, HeadVariant, IntArray
from experiments.learners import FinetuningLearner, Learner, LinearProbeLearner
from experiments.motion_variants import motion_variant
from pipeline.cached_detector import CachedDetector
from pipeline.commands.console import progress_bar
from pipeline.training.auxiliary_frames import AuxiliaryFrames, AuxiliaryWeights, sample_auxiliary_frames
from pipeline.training.head_features import HeadFeatureExtractor, auxiliary_features
from pipeline.training.training_frames import FrameSampler, sample_training_frames


@dataclass(frozen=True)
class ActorData:
    """The sampled frames of one actor: those to train on, and those to predict.

    Attributes:
        actor: The actor.
        sample_index: Index of each frame's sample in the setup, shape (N,).
        frame_index: Index of each frame in its clip, shape (N,).
        is_labelled: Whether the frame's sample has labels of the actor, shape (N,).
        learner: Trains and applies heads.
    """

    actor: Actor
    sample_index: IntArray
    frame_index: IntArray
    is_labelled: BoolArray
    learner: Learner


def prepare_actors(variant: HeadVariant, setup: ExperimentSetup) -> list[ActorData]:
    """Sample the frames of every actor, in samples that have labels of it or pass its gate, and prepare a learner.

    Raises:
        ClipError: If a clip cannot be read.
    """
    index_of = {id(sample): index for index, sample in enumerate(setup.samples)}
    prepared = []
    for actor in setup.taxonomy.actors:
        labelled = {id(sample) for sample in samples_showing(actor, setup.samples)}
        is_present = setup.present[:, actor.index]
        samples = [
            sample
            for sample, passes_gate in zip(setup.samples, is_present, strict=True)
            if passes_gate or id(sample) in labelled
        ]
        frames = sample_training_frames(
            samples, actor, setup.detector, variant.input_kind, variant.sample_every_seconds
        )
        frames = _replace_motion(frames, actor, variant, setup.detector)
        if variant.boxes_per_frame > 1:
            frames = _use_more_boxes(frames, actor, setup.detector, variant.boxes_per_frame)
        prepared.append(
            ActorData(
                actor,
                np.array([index_of[id(frame.sample)] for frame in frames], dtype=np.int64),
                np.array([frame.frame_index for frame in frames], dtype=np.int64),
                np.array([id(frame.sample) in labelled for frame in frames], dtype=bool),
                _make_learner(actor, frames, variant, setup),
            )
        )
    return prepared


def _make_learner(
    actor: Actor, frames: Sequence[SampledFrame], variant: HeadVariant, setup: ExperimentSetup
) -> Learner:
    if variant.tuning_mode != CLASSIFIER:
        plan = FinetuningPlan(variant.recipe, variant.tuning_mode, setup.seed, setup.device)
        return FinetuningLearner(
            actor, frames, variant.trunk, variant.input_kind, plan, setup.logit_cache, progress_bar
        )
    extractor = HeadFeatureExtractor(
        variant.trunk, variant.input_kind, setup.feature_cache, setup.detector.runtime, progress_bar
    )
    features = extractor.labelled_features(frames, target_matrix(actor, [frame.sample for frame in frames]))
    auxiliary = auxiliary_features(actor, _sample_auxiliary_frames(actor, variant, setup), extractor)
    if variant.feature_changes:
        features = _append_changes(features, variant.input_kind)
        auxiliary = auxiliary and replace(auxiliary, features=_append_changes(auxiliary.features, variant.input_kind))
    return LinearProbeLearner(
        features, auxiliary, variant.augment, variant.calibrated, variant.per_label_thresholds, variant.mirrored
    )


def _sample_auxiliary_frames(actor: Actor, variant: HeadVariant, setup: ExperimentSetup) -> list[AuxiliaryFrames]:
    """Sample the actor's auxiliary frames from the train split and the stills; none whose weight is 0."""
    sampler = FrameSampler(
        setup.detector, variant.input_kind, variant.sample_every_seconds, SkippedSamples(strict=True)
    )
    weights = AuxiliaryWeights(variant.auxiliary_weight, variant.stills_weight)
    train = setup.samples[: setup.train_size]
    parts = sample_auxiliary_frames(actor, setup.taxonomy, train, setup.stills, weights, sampler)
    return [replace(part, frames=_replace_motion(part.frames, part.actor, variant, setup.detector)) for part in parts]


def _replace_motion(
    frames: Sequence[SampledFrame], actor: Actor, variant: HeadVariant, detector: CachedDetector
) -> list[SampledFrame]:
    """Replace the motion features by the variant's, for heads that use them."""
    if variant.input_kind != MOVING or (variant.track and variant.camera):
        return list(frames)
    motion_by_clip = {}
    for clip in {frame.sample.clip for frame in frames}:
        detections = detector.detect(clip).detections
        motion_by_clip[clip] = motion_variant(detections, actor.index, track=variant.track, camera=variant.camera)
    return [replace(frame, motion=motion_by_clip[frame.sample.clip]) for frame in frames]


def _use_more_boxes(
    frames: Sequence[SampledFrame], actor: Actor, detector: CachedDetector, boxes: int
) -> list[SampledFrame]:
    """Repeat each frame for up to so many of the actor's boxes in it, the most confident ones."""
    repeated = []
    for frame in frames:
        detections = detector.detect(frame.sample.clip).detections
        row = np.flatnonzero(detections.frame_index == frame.frame_index)
        candidates = np.flatnonzero((detections.actor_index == actor.index) & np.isin(detections.frame_row, row))
        best = candidates[np.argsort(-detections.confidence[candidates], kind="stable")[:boxes]]
        repeated += [replace(frame, box=detections.boxes[box]) for box in best] or [frame]
    return repeated


def _append_changes(features: LabelledFeatures, input_kind: str) -> LabelledFeatures:
    """Append how much the crop's features change from frame to frame, averaged over the sample."""
    if not len(features):
        return features
    size = features.blocks[0]
    start = size * VIEWS_BY_INPUT[input_kind].index(CROP)
    crop = features.values[..., start : start + size]
    changes = np.zeros_like(crop)
    for sample in np.unique(features.sample):
        rows = np.flatnonzero(features.sample == sample)
        if len(rows) > 1:
            changes[rows] = np.abs(np.diff(crop[rows], axis=0)).mean(axis=0)
    values = np.concatenate([features.values, changes], axis=2)
    return replace(features, values=values, blocks=(*features.blocks, size))
