"""Training data of a linear probe: features of the actor's own sampled frames and of those of auxiliary actors."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from a2d.formats.base import Sample
from a2d.skipped_samples import SkippedSamples
from a2d.taxonomy import Actor
from action_heads.crops import NO_BOX
from action_heads.defaults import AUXILIARY_WEIGHT
from action_heads.input_kinds import VIEWS_BY_INPUT, WHOLE_FRAME
from action_heads.model import Trunk
from action_heads.training.features import FeatureCache, compute_features
from action_heads.training.linear_probe import AuxiliaryFeatures, LabelledFeatures
from action_heads.training.samples import NO_MOTION, SampledFrame, auxiliary_targets
from common.progress import Progress, no_progress
from inference.runtime import Runtime
from pipeline.cached_detector import CachedDetector
from pipeline.training.training_frames import FrameSampler


@dataclass(frozen=True)
class HeadFeatureExtractor:
    """Extracts the features that a head's classifier takes.

    Attributes:
        trunk: The frozen network.
        input_kind: One of `action_heads.input_kinds.INPUT_KINDS`.
        cache: Features computed before.
        runtime: Runs the trunk; PyTorch on the CPU by default.
        progress: Shows the progress over the clips that are decoded.
    """

    trunk: Trunk
    input_kind: str
    cache: FeatureCache
    runtime: Runtime | None = None
    progress: Progress = no_progress

    def labelled_features(self, frames: Sequence[SampledFrame], targets: NDArray[np.bool_]) -> LabelledFeatures:
        """Compute the features of N sampled frames of one actor, or load them from the cache.

        Args:
            frames: The sampled frames, with the actor's motion if the input is `moving`.
            targets: Shape (N, outputs).

        Raises:
            ClipError: If a clip cannot be read.
        """
        views = []
        for view in VIEWS_BY_INPUT[self.input_kind]:
            shown = [replace(frame, box=NO_BOX) for frame in frames] if view == WHOLE_FRAME else frames
            views.append(compute_features(shown, self.trunk, view, self.cache, self.runtime, self.progress))
        motion = np.stack([frame.motion for frame in frames] or [NO_MOTION])[: len(frames), None]
        blocks = [*views, np.broadcast_to(motion, (*views[0].shape[:2], motion.shape[2]))]
        sample_index: dict[int, int] = {}
        return LabelledFeatures(
            np.concatenate(blocks, axis=2),
            targets,
            np.array([sample_index.setdefault(id(frame.sample), len(sample_index)) for frame in frames], np.int64),
            np.array([frame.sample.group for frame in frames], dtype=np.str_),
            tuple(block.shape[2] for block in blocks if block.shape[2]),
            motion.shape[2],
        )


def sample_auxiliary_frames(
    auxiliary_actors: Iterable[Actor],
    samples: Sequence[Sample],
    detector: CachedDetector,
    input_kind: str,
    every_seconds: float,
    progress: Progress = no_progress,
) -> dict[Actor, list[SampledFrame]]:
    """Sample frames of auxiliary actors, see `sample_training_frames`.

    Args:
        auxiliary_actors: The actors.
        samples: For each actor, the samples that have labels of it are used.
        detector: Locates the actors.
        input_kind: One of `action_heads.input_kinds.INPUT_KINDS`.
        every_seconds: Interval between the sampled frames of a clip that is labelled as a whole.
        progress: Shows the progress over the samples.

    Returns:
        The sampled frames by actor, without actors that no sample shows.

    Raises:
        DatasetError: If a clip cannot be used, see `FrameSampler`.
    """
    sampler = FrameSampler(detector, input_kind, every_seconds, SkippedSamples(strict=True), progress)
    return sampler.sample_each(auxiliary_actors, samples)


def auxiliary_features(
    actor: Actor,
    frames_by_actor: Mapping[Actor, Sequence[SampledFrame]],
    extractor: HeadFeatureExtractor,
    weight: float = AUXILIARY_WEIGHT,
) -> AuxiliaryFeatures | None:
    """Compute the features of auxiliary actors' frames, with targets in terms of the trained actor's labels.

    Args:
        actor: The actor whose head is trained.
        frames_by_actor: The auxiliary actors' sampled frames.
        extractor: Extracts the features.
        weight: Weight of an auxiliary sample; the actor's own samples have weight 1.

    Returns:
        The auxiliary training data; None if there are no frames or the weight is 0.

    Raises:
        ClipError: If a clip cannot be read.
    """
    parts, masks, samples = [], [], 0
    for auxiliary_actor, frames in frames_by_actor.items():
        if not frames or not weight:
            continue
        targets, known = auxiliary_targets(actor, auxiliary_actor, [frame.sample for frame in frames])
        features = extractor.labelled_features(frames, targets)
        # A clip that shows two auxiliary actors counts as two samples.
        parts.append(replace(features, sample=features.sample + samples))
        masks.append(known)
        samples = int(parts[-1].sample.max()) + 1
    if not parts:
        return None
    return AuxiliaryFeatures(_concatenate(parts), np.concatenate(masks), weight)


def _concatenate(parts: Sequence[LabelledFeatures]) -> LabelledFeatures:
    values, targets, sample, groups = (
        np.concatenate([getattr(part, name) for part in parts]) for name in ("values", "targets", "sample", "groups")
    )
    return LabelledFeatures(values, targets, sample, groups, parts[0].blocks, parts[0].motion_dim)
