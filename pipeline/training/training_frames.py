"""Sampling of the frames that a head is trained or scored on."""

from collections.abc import Sequence
from functools import lru_cache

from a2d.formats.base import Sample
from a2d.taxonomy import Actor
from action_heads.crops import NO_BOX
from action_heads.input_kinds import MOVING, WHOLE_FRAME
from action_heads.training.samples import NO_MOTION, SampledFrame
from actor_detector.motion.features import motion_features
from common.progress import Progress, no_progress
from pipeline.cached_detector import CachedDetector
from pipeline.frame_sampling import sample_frames
from video.clips import clip_sha256


def sample_training_frames(
    samples: Sequence[Sample],
    actor: Actor,
    detector: CachedDetector,
    input_kind: str,
    every_seconds: float,
    progress: Progress = no_progress,
) -> list[SampledFrame]:
    """Sample frames of one actor from labelled samples.

    A sample with a frame index provides that frame (A2D labels 3 to 5 frames per clip); a sample that labels the whole
    clip provides frames that show the actor, sampled as in the tagger.

    Args:
        samples: Samples that have labels of the actor.
        actor: The actor.
        detector: Locates the actor.
        input_kind: One of `action_heads.input_kinds.INPUT_KINDS`.
        every_seconds: Interval between the sampled frames of a clip that is labelled as a whole.
        progress: Shows the progress over the samples.

    Returns:
        The sampled frames, sample by sample.

    Raises:
        ClipError: If a clip cannot be read.
    """
    detect = lru_cache(maxsize=1)(detector.detect)  # samples of the same clip are adjacent
    digest = lru_cache(maxsize=1)(clip_sha256)
    frames = []
    for sample in progress(samples, "finding the actor", "sample"):
        if sample.frame_index is not None and input_kind == WHOLE_FRAME:  # no detection is needed
            frames.append(SampledFrame(sample, digest(sample.clip), sample.frame_index, NO_BOX))
            continue
        detected = detect(sample.clip)
        indices = (
            sample_frames(detected.detections, actor.index, every_seconds)
            if sample.frame_index is None
            else (sample.frame_index,)
        )
        boxes = detected.detections.best_boxes(actor.index, indices)
        motion = motion_features(detected.detections, actor.index) if input_kind == MOVING else NO_MOTION
        for index, box in zip(indices, boxes, strict=True):
            box = NO_BOX if input_kind == WHOLE_FRAME else box
            frames.append(SampledFrame(sample, detected.sha256, index, box, motion))
    return frames
