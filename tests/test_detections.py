"""Presence ratios: every decoded frame counts once below the line, and at most once above it."""

import numpy as np
import pytest

from actor_detector.detections import ClipDetections, FrameDetections, join_frames

PERSON, DOG, ACTORS = 0, 5, 6


def frame(*actors: int) -> FrameDetections:
    count = len(actors)
    return FrameDetections(np.zeros((count, 4), np.float32), np.ones(count, np.float32), np.array(actors, np.int64))


def clip(*frames: FrameDetections, duration_seconds: float = 2.0) -> ClipDetections:
    return join_frames(list(frames), np.arange(len(frames)), np.arange(len(frames)) / 2.0, duration_seconds)


@pytest.mark.parametrize(
    ("frames", "person", "dog"),
    [
        pytest.param([frame(PERSON), frame(PERSON, DOG), frame(), frame(PERSON)], 0.75, 0.25, id="empty frames count"),
        pytest.param([frame(PERSON, PERSON, PERSON), frame()], 0.5, 0.0, id="three boxes in a frame are one frame"),
        pytest.param([frame(), frame()], 0.0, 0.0, id="nobody"),
        pytest.param([frame(DOG)], 0.0, 1.0, id="one frame"),
    ],
)
def test_presence_ratios(frames, person, dog):
    ratios = clip(*frames).presence_ratios(ACTORS)
    assert ratios.shape == (ACTORS,)
    assert (ratios[PERSON], ratios[DOG]) == (person, dog)
    assert ratios.sum() == person + dog


def test_frames_with_an_actor_are_listed_once_and_in_order():
    detections = clip(frame(DOG, DOG), frame(PERSON), frame(PERSON, DOG))
    assert detections.frames_with(DOG).tolist() == [0, 2]
    assert detections.frames_with(3).tolist() == []


def test_rate_is_frames_over_duration():
    assert clip(frame(), frame(), frame(), duration_seconds=1.5).fps == 2.0
    assert clip(frame(), duration_seconds=0.0).fps == 0.0


def test_arrays_must_be_parallel():
    with pytest.raises(ValueError, match=r"self\.confidence\.shape = \(1,\)"):
        FrameDetections(np.zeros((2, 4), np.float32), np.zeros(1, np.float32), np.zeros(2, np.int64))
    with pytest.raises(ValueError, match="do not fit"):
        ClipDetections(
            np.arange(2), np.zeros(3), np.zeros(0), np.zeros((0, 4), np.float32), np.zeros(0), np.zeros(0), 1.0
        )
