"""Presence ratios: every decoded frame counts once below the line, and at most once above it."""

import numpy as np
import pytest

from actor_detector.detections import ClipDetections, FrameBoxes, FrameDetections, join_batches

PERSON, CAT, DOG, ACTORS = 0, 4, 5, 6


def frame(*actors: int) -> FrameDetections:
    count = len(actors)
    return FrameDetections(np.zeros((count, 4), np.float32), np.ones(count, np.float32), np.array(actors, np.int64))


def batch(*frames: FrameDetections) -> FrameBoxes:
    rows = np.repeat(np.arange(len(frames)), [len(frame.boxes) for frame in frames])
    arrays = (
        np.concatenate([getattr(frame, name) for frame in frames]) for name in ("boxes", "confidence", "actor_index")
    )
    return FrameBoxes(len(frames), rows, *arrays)


def clip(*frames: FrameDetections, duration_seconds: float = 2.0) -> ClipDetections:
    numbers = np.arange(len(frames))
    return join_batches(
        [batch(*frames[:2]), *([batch(*frames[2:])] if frames[2:] else [])],
        numbers,
        numbers / 2.0,
        duration_seconds=duration_seconds,
    )


def test_a_batch_splits_into_its_frames():
    frames = [frame(), frame(DOG, PERSON), frame(), frame(DOG), frame()]
    split = batch(*frames).split()
    assert [found.actor_index.tolist() for found in split] == [[], [DOG, PERSON], [], [DOG], []]
    assert [found.actor_index.tolist() for found in batch(frame()).split()] == [[]]


@pytest.mark.parametrize(("decoded", "ratio"), [(7, 4 / 7), (8, 5 / 8), (9, 6 / 9)])
def test_a_frame_that_was_looked_at_stands_for_those_skipped_after_it(decoded, ratio):
    found = join_batches(
        [batch(frame(DOG), frame(), frame(DOG))],
        np.array([0, 3, 6]),
        np.array([0.0, 0.3, 0.6]),
        stride=3,
        decoded=decoded,
        duration_seconds=0.1 * decoded,
    )
    assert found.frames == decoded
    assert found.presence_ratios(ACTORS)[DOG] == pytest.approx(ratio)
    assert found.fps == pytest.approx(10)


def test_a_stride_must_fit_the_frames():
    with pytest.raises(ValueError, match=r"self.decoded = 12 and self.stride = 3"):
        join_batches([batch(frame())], np.arange(1), np.zeros(1), stride=3, decoded=12, duration_seconds=1.0)


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


def test_detections_near_a_frame_are_those_of_a_short_stretch():
    clip = join_batches(
        [batch(frame(DOG), frame(), frame(DOG, DOG), frame(), frame(CAT))],
        np.arange(5),
        np.arange(5) / 10,
        duration_seconds=0.5,
    )
    near = clip.near(3, 0.11)
    assert near.frame_index.tolist() == [2, 3, 4]
    assert near.frames == 3
    assert near.frame_row.tolist() == [0, 0, 2]
    assert near.presence_ratios(6)[[CAT, DOG]].tolist() == pytest.approx([1 / 3, 1 / 3])
    assert clip.near(0, 0.0).frame_index.tolist() == [0]
    assert clip.near(99, 10.0).presence_ratios(6).tolist() == clip.presence_ratios(6).tolist()
