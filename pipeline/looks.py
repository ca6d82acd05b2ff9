"""Where an actor's head looks in a clip: the same choice for training as for tagging."""

from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache

from a2d.clips import clip_sha256
from a2d.dataset import Sample
from a2d.labels import Actor
from a2d.sampling import spaced_places, thinning_step
from action_heads.crops import CROP, NO_BOX
from action_heads.looks import Look
from actor_detector.detections import ClipDetections
from pipeline.stage1 import CachedDetector

CANDIDATES = 2  # kept for every frame that is chosen in the end


def choose_frames(detections: ClipDetections, actor_index: int, wanted: int) -> tuple[int, ...]:
    """Choose frames that show an actor, about evenly spaced among those.

    Evenly from every second, fourth, … frame that shows the actor: so few that they are kept while a clip is decoded.

    Args:
        detections: Of one clip.
        actor_index: Place of the actor in the taxonomy, from 0.
        wanted: How many; all, where there are fewer.

    Returns:
        Frame numbers, from 0, rising; of the whole clip where no frame shows the actor.
    """
    shown = detections.frames_with(actor_index)
    kept = shown[:: thinning_step(len(shown), CANDIDATES * wanted)] if len(shown) else detections.frame_index
    return tuple(int(kept[place]) for place in spaced_places(len(kept), wanted))


def choose_looks(
    samples: Sequence[Sample],
    actor: Actor,
    detector: CachedDetector,
    kind: str,
    frames_per_clip: int,
    progress: Callable[[Sequence[Sample]], Iterable[Sample]] = lambda samples: samples,
) -> list[Look]:
    """Choose what a head is trained or scored on.

    A sample with a frame index gives that frame (A2D labels 3 to 5 frames a clip); one that speaks of the whole clip
    gives frames that show the actor, as the tagger chooses them.

    Args:
        samples: In which the actor does something.
        actor: Whose head.
        detector: Stage 1, with its cache.
        kind: One of `action_heads.crops.INPUT_KINDS`.
        frames_per_clip: Frames of a clip whose labels hold for all of it.
        progress: Wraps the samples, for a progress bar.

    Returns:
        The looks, sample by sample.

    Raises:
        ClipError: If a clip cannot be read.
    """
    detect = lru_cache(maxsize=1)(detector.detect)  # the frames of a clip come one after the other
    digest = lru_cache(maxsize=1)(clip_sha256)
    looks = []
    for sample in progress(samples):
        if sample.frame_index is not None and kind != CROP:  # nothing to ask stage 1
            looks.append(Look(sample, digest(sample.clip), sample.frame_index, NO_BOX))
            continue
        detected = detect(sample.clip)
        frames = (
            choose_frames(detected.detections, actor.index, frames_per_clip)
            if sample.frame_index is None
            else (sample.frame_index,)
        )
        boxes = detected.detections.best_boxes(actor.index, frames)
        for frame, box in zip(frames, boxes, strict=True):
            looks.append(Look(sample, detected.sha256, frame, box if kind == CROP else NO_BOX))
    return looks
