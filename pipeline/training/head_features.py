"""What a head learns from while its trunk stays as it is: features of looks at its own actor, and lent ones."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from a2d.formats.base import Sample
from a2d.taxonomy import Actor
from action_heads.crops import NO_BOX, VIEWS_BY_INPUT, WHOLE_FRAME
from action_heads.model import Trunk
from action_heads.training.features import FeatureCache, compute_features
from action_heads.training.linear_probe import AuxiliaryFeatures, LabelledFeatures
from action_heads.training.recipes import AUXILIARY_WEIGHT
from action_heads.training.samples import NO_MOTION, ClipProgress, SampledFrame, auxiliary_targets, samples_showing
from actor_detector.motion.features import motion_features
from pipeline.cached_detector import CachedDetector
from pipeline.training.training_frames import DescribeMotion, sample_training_frames

SampleProgress = Callable[[Sequence[Sample]], Iterable[Sample]]


@dataclass(frozen=True)
class FeatureSource:
    """Where features come from.

    Attributes:
        trunk: The frozen network.
        input: What it is shown, one of `action_heads.crops.INPUT_KINDS`.
        cache: What is kept.
        device: `cpu` or `cuda:N`.
        progress: Wraps the clips that are decoded, for a progress bar.
    """

    trunk: Trunk
    input: str
    cache: FeatureCache
    device: str = "cpu"
    progress: ClipProgress = lambda clips: clips

    def label(self, looks: Sequence[SampledFrame], targets: NDArray[np.bool_]) -> LabelledFeatures:
        """Compute what the trunk makes of looks at one actor, or find it in the cache, and say what is true of them.

        Args:
            looks: N looks.
            targets: What is true of each, shape (N, outputs).

        Raises:
            ClipError: If a clip cannot be read.
        """
        views = []
        for view in VIEWS_BY_INPUT[self.input]:
            shown = [replace(look, box=NO_BOX) for look in looks] if view == WHOLE_FRAME else looks
            preprocessing = self.trunk.preprocessing
            views.append(
                compute_features(shown, self.trunk, view, preprocessing, self.cache, self.device, self.progress)
            )
        motion = np.stack([look.motion for look in looks] or [NO_MOTION])[: len(looks), None]
        blocks = [*views, np.broadcast_to(motion, (*views[0].shape[:2], motion.shape[2]))]
        number: dict[int, int] = {}
        return LabelledFeatures(
            np.concatenate(blocks, axis=2),
            targets,
            np.array([number.setdefault(id(look.sample), len(number)) for look in looks], dtype=np.int64),
            np.array([look.sample.group for look in looks], dtype=np.str_),
            tuple(block.shape[2] for block in blocks if block.shape[2]),
        )


def auxiliary_features(
    actor: Actor,
    lenders: Sequence[Actor],
    samples: Sequence[Sample],
    detector: CachedDetector,
    look_every: float,
    source: FeatureSource,
    weight: float = AUXILIARY_WEIGHT,
    progress: SampleProgress = lambda samples: samples,
    describe: DescribeMotion = motion_features,
) -> AuxiliaryFeatures | None:
    """Look at other actors, for what that tells of one actor's labels.

    Args:
        actor: The borrower.
        lenders: The others.
        samples: Of which each lender's own are looked at.
        detector: Stage 1.
        look_every: How often a clip is looked at whose labels hold for all of it, in seconds.
        source: Of the features.
        weight: How much a lent sample counts; an own one counts 1.
        progress: Wraps the samples that stage 1 looks at.
        describe: Describes motion, for heads that are told.

    Returns:
        What is lent; None where nothing is.

    Raises:
        ClipError: If a clip cannot be read.
    """
    parts, known, first = [], [], 0
    for lender in lenders if weight else ():
        own = samples_showing(lender, samples)
        looks = (
            sample_training_frames(own, lender, detector, source.input, look_every, progress, describe) if own else []
        )
        if not looks:
            continue
        targets, says = auxiliary_targets(actor, lender, [look.sample for look in looks])
        features = source.label(looks, targets)
        parts.append(replace(features, sample=features.sample + first))  # a clip of two lenders is two samples
        known.append(says)
        first = int(parts[-1].sample.max()) + 1
    if not parts:
        return None
    return AuxiliaryFeatures(_join(parts), np.concatenate(known), weight)


def _join(parts: Sequence[LabelledFeatures]) -> LabelledFeatures:
    values, targets, sample, groups = (
        np.concatenate([getattr(part, name) for part in parts]) for name in ("values", "targets", "sample", "groups")
    )
    return LabelledFeatures(values, targets, sample, groups, parts[0].blocks)
