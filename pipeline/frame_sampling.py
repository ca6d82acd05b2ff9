"""When an actor's head looks at a clip: the same choice for training as for tagging, and while the clip is decoded."""

from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from a2d.formats.base import Sample
from a2d.taxonomy import Actor
from action_heads.crops import MOVING, NO_BOX, WHOLE_FRAME
from action_heads.training.samples import NO_MOTION, SampledFrame
from actor_detector.detections import ClipDetections
from actor_detector.motion.features import motion_features
from pipeline.cached_detector import CachedDetector
from video.clips import clip_sha256

DescribeMotion = Callable[[ClipDetections, int], NDArray[np.float32]]


def time_bins(time_seconds: NDArray[np.float64], every_seconds: float) -> NDArray[np.int64]:
    """Number the stretches of a clip that are looked at once each, from 0, shape (N,)."""
    return np.floor(time_seconds / every_seconds).astype(np.int64)


def sample_frames(detections: ClipDetections, actor_index: int, every_seconds: float) -> tuple[int, ...]:
    """Choose the first frame that shows an actor in every stretch of so many seconds.

    It can be chosen while the clip is being decoded, and no frame need be kept.

    Args:
        detections: Of one clip.
        actor_index: Place of the actor in the taxonomy, from 0.
        every_seconds: How long a stretch is.

    Returns:
        Frame numbers, from 0, rising; those of the whole clip, one a stretch, where no frame shows the actor.
    """
    shown = np.isin(detections.frame_index, detections.frames_with(actor_index))
    candidates = np.flatnonzero(shown) if shown.any() else np.arange(len(detections.frame_index))
    _, first = np.unique(time_bins(detections.time_seconds[candidates], every_seconds), return_index=True)
    return tuple(detections.frame_index[candidates[first]].tolist())


def sample_training_frames(
    samples: Sequence[Sample],
    actor: Actor,
    detector: CachedDetector,
    kind: str,
    every_seconds: float,
    progress: Callable[[Sequence[Sample]], Iterable[Sample]] = lambda samples: samples,
    describe: DescribeMotion = motion_features,
) -> list[SampledFrame]:
    """Choose what a head is trained or scored on.

    A sample with a frame index gives that frame (A2D labels 3 to 5 frames a clip); one that speaks of the whole clip
    gives frames that show the actor, as the tagger chooses them.

    Args:
        samples: In which the actor does something.
        actor: Whose head.
        detector: Stage 1, with its cache.
        kind: One of `action_heads.crops.INPUT_KINDS`.
        every_seconds: How often a clip is looked at whose labels hold for all of it.
        progress: Wraps the samples, for a progress bar.
        describe: Describes motion, for heads that are told.

    Returns:
        The looks, sample by sample.

    Raises:
        ClipError: If a clip cannot be read.
    """
    detect = lru_cache(maxsize=1)(detector.detect)  # the frames of a clip come one after the other
    digest = lru_cache(maxsize=1)(clip_sha256)
    looks = []
    for sample in progress(samples):
        if sample.frame_index is not None and kind == WHOLE_FRAME:  # nothing to ask stage 1
            looks.append(SampledFrame(sample, digest(sample.clip), sample.frame_index, NO_BOX))
            continue
        detected = detect(sample.clip)
        frames = (
            sample_frames(detected.detections, actor.index, every_seconds)
            if sample.frame_index is None
            else (sample.frame_index,)
        )
        boxes = detected.detections.best_boxes(actor.index, frames)
        motion = describe(detected.detections, actor.index) if kind == MOVING else NO_MOTION
        for frame, box in zip(frames, boxes, strict=True):
            looks.append(SampledFrame(sample, detected.sha256, frame, NO_BOX if kind == WHOLE_FRAME else box, motion))
    return looks
