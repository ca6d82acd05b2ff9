"""Training data of a linear probe: features of the sampled frames of the actor's own clips, and of auxiliary frames."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from a2d.taxonomy import Actor
from action_heads.crops import NO_BOX
from action_heads.input_kinds import VIEWS_BY_INPUT, WHOLE_FRAME
from action_heads.model import Trunk
from action_heads.training.features import FeatureCache, compute_features
from action_heads.training.linear_probe import AuxiliaryFeatures, LabelledFeatures
from action_heads.training.samples import NO_MOTION, SampledFrame
from common.progress import Progress, no_progress
from inference.runtime import Runtime
from pipeline.training.auxiliary_frames import AuxiliaryFrames


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


def auxiliary_features(
    actor: Actor, parts: Iterable[AuxiliaryFrames], extractor: HeadFeatureExtractor
) -> AuxiliaryFeatures | None:
    """Compute the features of auxiliary frames, with targets in terms of the trained actor's labels.

    Args:
        actor: The actor whose head is trained.
        parts: The auxiliary frames.
        extractor: Extracts the features.

    Returns:
        The auxiliary training data; None if there are no frames with a weight above 0.

    Raises:
        ClipError: If a clip cannot be read.
    """
    features, masks, weights, samples = [], [], [], 0
    for part in parts:
        if not part.frames or not part.weight:
            continue
        targets, known = part.targets_for(actor)
        of_part = extractor.labelled_features(part.frames, targets)
        # A clip that shows two auxiliary actors counts as two samples.
        features.append(replace(of_part, sample=of_part.sample + samples))
        masks.append(known)
        weights.append(np.full(len(part.frames), part.weight))
        samples = int(features[-1].sample.max()) + 1
    if not features:
        return None
    return AuxiliaryFeatures(_concatenate(features), np.concatenate(masks), np.concatenate(weights))


def _concatenate(parts: Sequence[LabelledFeatures]) -> LabelledFeatures:
    values, targets, sample, groups = (
        np.concatenate([getattr(part, name) for part in parts]) for name in ("values", "targets", "sample", "groups")
    )
    return LabelledFeatures(values, targets, sample, groups, parts[0].blocks, parts[0].motion_dim)
