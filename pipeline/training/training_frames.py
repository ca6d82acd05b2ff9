"""Sampling of the frames that a head is trained or scored on."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from a2d.formats.base import Sample
from a2d.skipped_samples import SkippedSamples
from a2d.taxonomy import Actor
from action_heads.crops import NO_BOX
from action_heads.input_kinds import MOVING, WHOLE_FRAME
from action_heads.training.samples import NO_MOTION, SampledFrame, samples_showing
from actor_detector.motion.features import motion_features
from common.errors import ClipError
from common.progress import Progress, no_progress
from pipeline.cached_detector import CachedDetector, DetectedClip
from pipeline.clip_windows import ClipWindows
from pipeline.frame_sampling import sample_frames
from video.clips import clip_sha256, read_frames_at


@dataclass(frozen=True)
class FrameSampler:
    """Samples frames of actors, and skips the clips that cannot be used.

    A clip that is labelled as a whole must be readable to its end, because what its labels name may be in the part that
    is missing. Of a clip with labelled frames, those that can be decoded are used.

    Attributes:
        detector: Locates the actors.
        input_kind: One of `action_heads.input_kinds.INPUT_KINDS`.
        every_seconds: Interval between the sampled frames of a clip that is labelled as a whole.
        skipped: Collects the samples that cannot be used.
        progress: Shows the progress over the samples.
    """

    detector: CachedDetector
    input_kind: str
    every_seconds: float
    skipped: SkippedSamples
    progress: Progress = no_progress

    def sample(self, actor: Actor, samples: Sequence[Sample]) -> list[SampledFrame]:
        """Sample frames of one actor, see `sample_training_frames`.

        Raises:
            DatasetError: If a sample cannot be used and `skipped` is strict.
        """
        detect = lru_cache(maxsize=1)(self._try_to_detect)  # samples of the same clip are adjacent
        digest = lru_cache(maxsize=1)(clip_sha256)
        frames: list[SampledFrame] = []
        for sample in self.progress(samples, "finding the actor", "sample"):
            if sample.frame_index is not None and self.input_kind == WHOLE_FRAME:  # no detection is needed
                try:
                    frames.append(SampledFrame(sample, digest(sample.clip), sample.frame_index, NO_BOX))
                except OSError as reason:
                    self.skipped.add(sample.where, f"{sample.clip}: {(reason.strerror or str(reason)).lower()}")
                continue
            detected = detect(sample.clip)
            if isinstance(detected, ClipError):
                self.skipped.add(sample.where, detected)
            elif problem := _find_problem(sample, detected):
                self.skipped.add(sample.where, problem)
            else:
                frames += self._sample_clip(actor, sample, detected)
        return frames

    def sample_each(self, actors: Iterable[Actor], samples: Sequence[Sample]) -> dict[Actor, list[SampledFrame]]:
        """Sample frames of several actors, each from the samples that have labels of it.

        Returns:
            The sampled frames by actor, without actors that no sample shows.

        Raises:
            DatasetError: If a sample cannot be used and `skipped` is strict.
        """
        shown = {actor: samples_showing(actor, samples) for actor in actors}
        return {actor: self.sample(actor, showing) for actor, showing in shown.items() if showing}

    def _try_to_detect(self, clip: Path) -> DetectedClip | ClipError:
        try:
            return self.detector.detect(clip)
        except ClipError as reason:
            return reason

    def _sample_clip(self, actor: Actor, sample: Sample, detected: DetectedClip) -> list[SampledFrame]:
        indices = (
            sample_frames(detected.detections, actor.index, self.every_seconds)
            if sample.frame_index is None
            else (sample.frame_index,)
        )
        boxes = detected.detections.best_boxes(actor.index, indices)
        windows = ClipWindows.of_clip(detected.detections)
        window_of_frame = windows.index_of(np.array(indices, np.int64)).tolist()
        motion = {
            window: motion_features(windows.window(window), actor.index) if self.input_kind == MOVING else NO_MOTION
            for window in sorted(set(window_of_frame))
        }
        is_whole = self.input_kind == WHOLE_FRAME
        intact_frames = detected.detections.intact_frames
        return [
            SampledFrame(sample, detected.sha256, index, NO_BOX if is_whole else box, motion[window], intact_frames)
            for index, window, box in zip(indices, window_of_frame, boxes, strict=True)
        ]


def _find_problem(sample: Sample, detected: DetectedClip) -> str:
    """Return why a sample of a clip that was read, perhaps not to its end, cannot be used; empty if it can."""
    truncated, frames = detected.detections.truncated, detected.detections.frames
    if sample.frame_index is None:
        return f"{sample.clip}: {truncated}" if truncated else ""
    if sample.frame_index < frames:
        return ""
    return f"{sample.clip}: there is no frame {sample.frame_index}: {truncated or f'it has {frames} frames'}"


def drop_undecodable(frames: Sequence[SampledFrame], skipped: SkippedSamples) -> list[SampledFrame]:
    """Drop the frames of the clips in which one of them cannot be decoded; to be called after decoding them failed.

    Args:
        frames: Sampled frames.
        skipped: Collects the clips.

    Raises:
        DatasetError: If there is such a clip and `skipped` is strict.
    """
    wanted: dict[Path, list[SampledFrame]] = defaultdict(list)
    for frame in frames:
        wanted[frame.sample.clip].append(frame)
    undecodable = set()
    for clip, frames_of_clip in wanted.items():
        try:
            read_frames_at(clip, [frame.frame_index for frame in frames_of_clip])
        except (ClipError, OSError) as reason:
            skipped.add(frames_of_clip[0].sample.where, reason)
            undecodable.add(clip)
    return [frame for frame in frames if frame.sample.clip not in undecodable]


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
        DatasetError: If a clip cannot be used, see `FrameSampler`.
    """
    sampler = FrameSampler(detector, input_kind, every_seconds, SkippedSamples(strict=True), progress)
    return sampler.sample(actor, samples)
