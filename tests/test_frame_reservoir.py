"""Frames kept on the way are those that the heads will want, however long the clip is."""

import numpy as np
import pytest

from a2d.frames import Frame
from actor_detector.detections import FrameBoxes, join_batches
from actor_detector.frame_reservoir import FrameReservoir
from pipeline.looks import CANDIDATES, choose_frames

CAT, DOG = 4, 5


def batches(shown: list[list[int]], size: int) -> list[tuple[list[Frame], FrameBoxes]]:
    """Frames that show these actors, none of them with pixels."""
    made = []
    for start in range(0, len(shown), size):
        part = shown[start : start + size]
        rows = np.repeat(np.arange(len(part)), [len(actors) for actors in part])
        actors = np.array([actor for actors in part for actor in actors], dtype=np.int64)
        boxes = FrameBoxes(
            len(part), rows, np.zeros((len(rows), 4), np.float32), np.ones(len(rows), np.float32), actors
        )
        made.append(([Frame(start + row, 0.0, 0.0, None) for row in range(len(part))], boxes))
    return made


@pytest.mark.parametrize("frames", [1, 15, 16, 17, 33, 200, 1000])
@pytest.mark.parametrize("size", [1, 8])
def test_what_is_chosen_was_kept(frames, size):
    rng = np.random.default_rng(frames)
    shown = [[actor for actor in (CAT, DOG) if rng.random() < 0.6] for _ in range(frames)]
    wanted = 8
    reservoir = FrameReservoir(CANDIDATES * wanted, 0.5)
    offered = batches(shown, size)
    for some, found in offered:
        reservoir.offer(some, found)
    kept = reservoir.frames()
    assert len(kept) <= 2 * CANDIDATES * wanted
    clip = join_batches(
        [found for _, found in offered], np.arange(frames), np.arange(frames) / 25, duration_seconds=1.0
    )
    for actor in (CAT, DOG):
        if len(clip.frames_with(actor)):
            assert set(choose_frames(clip, actor, wanted)) <= set(kept)


def test_boxes_below_the_confidence_do_not_count():
    ((frames, found),) = batches([[CAT], [DOG]], 2)
    unsure = FrameBoxes(2, found.frame_row, found.boxes, np.array([0.4, 0.6], np.float32), found.actor_index)
    reservoir = FrameReservoir(4, 0.5)
    reservoir.offer(frames, unsure)
    assert list(reservoir.frames()) == [1]
