"""Detections and presence ratios: every decoded frame counts once in the denominator, at most once in the numerator."""

from dataclasses import replace

import numpy as np
import pytest

from actor_detector.detections import ClipDetections, FrameBoxes, FrameDetections

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


def clip(
    *frames: FrameDetections,
    seconds_per_frame: float = 0.5,
    stride: int = 1,
    decoded: int | None = None,
    duration_seconds: float = 2.0,
) -> ClipDetections:
    """Detections of a clip whose processed frames came in two batches, if there are more than two."""
    batches = [batch(*frames[:2]), *([batch(*frames[2:])] if frames[2:] else [])]
    boxes = FrameBoxes.concatenate(batches)
    frame_index = stride * np.arange(len(frames))
    return ClipDetections(
        frame_index=frame_index,
        time_seconds=frame_index * seconds_per_frame,
        frame_row=boxes.frame_row,
        boxes=boxes.boxes,
        confidence=boxes.confidence,
        actor_index=boxes.actor_index,
        duration_seconds=duration_seconds,
        stride=stride,
        decoded=decoded,
    )


def test_split_returns_one_entry_per_frame():
    frames = [frame(), frame(DOG, PERSON), frame(), frame(DOG), frame()]
    split = batch(*frames).split()
    assert [found.actor_index.tolist() for found in split] == [[], [DOG, PERSON], [], [DOG], []]
    assert [found.actor_index.tolist() for found in batch(frame()).split()] == [[]]


def test_concatenate_numbers_the_frames_through():
    joined = FrameBoxes.concatenate([batch(frame(), frame(DOG)), batch(frame(CAT, DOG), frame())])
    assert joined.frames == 4
    assert joined.frame_row.tolist() == [1, 2, 2]
    assert joined.actor_index.tolist() == [DOG, CAT, DOG]
    empty = FrameBoxes.concatenate([])
    assert (empty.frames, empty.boxes.shape) == (0, (0, 4))


def test_take_repeats_and_reorders_frames():
    taken = batch(frame(DOG), frame(), frame(CAT, PERSON)).take(np.array([2, 0, 0, 1]))
    assert taken.frames == 4
    assert taken.frame_row.tolist() == [0, 0, 1, 2]
    assert taken.actor_index.tolist() == [CAT, PERSON, DOG, DOG]


@pytest.mark.parametrize(("decoded", "ratio"), [(7, 4 / 7), (8, 5 / 8), (9, 6 / 9)])
def test_processed_frame_represents_the_skipped_frames_after_it(decoded, ratio):
    detections = clip(
        frame(DOG),
        frame(),
        frame(DOG),
        seconds_per_frame=0.1,
        stride=3,
        decoded=decoded,
        duration_seconds=0.1 * decoded,
    )
    assert detections.frames == decoded
    assert detections.presence_ratios(ACTORS)[DOG] == pytest.approx(ratio)
    assert detections.fps == pytest.approx(10)


def test_stride_that_does_not_fit_the_frames_is_refused():
    with pytest.raises(ValueError, match=r"self.decoded = 12 and self.stride = 3"):
        clip(frame(), stride=3, decoded=12, duration_seconds=1.0)


@pytest.mark.parametrize(
    ("frames", "person", "dog"),
    [
        pytest.param([frame(PERSON), frame(PERSON, DOG), frame(), frame(PERSON)], 0.75, 0.25, id="empty frames count"),
        pytest.param([frame(PERSON, PERSON, PERSON), frame()], 0.5, 0.0, id="three boxes count as one frame"),
        pytest.param([frame(), frame()], 0.0, 0.0, id="no actor"),
        pytest.param([frame(DOG)], 0.0, 1.0, id="one frame"),
    ],
)
def test_presence_ratios(frames, person, dog):
    ratios = clip(*frames).presence_ratios(ACTORS)
    assert ratios.shape == (ACTORS,)
    assert (ratios[PERSON], ratios[DOG]) == (person, dog)
    assert ratios.sum() == person + dog


def test_frames_with_an_actor_are_unique_and_ascending():
    detections = clip(frame(DOG, DOG), frame(PERSON), frame(PERSON, DOG))
    assert detections.frames_with(DOG).tolist() == [0, 2]
    assert detections.frames_with(3).tolist() == []


def test_boxes_below_a_confidence_are_dropped_and_all_frames_remain():
    detections = replace(clip(frame(DOG), frame(CAT), frame()), confidence=np.array([0.5, 0.49], np.float32))
    confident = detections.at_confidence(0.5)
    assert confident.actor_index.tolist() == [DOG]
    assert confident.frames == detections.frames == 3
    assert confident.frame_index.tolist() == [0, 1, 2]


def test_fps_is_frames_over_duration():
    assert clip(frame(), frame(), frame(), duration_seconds=1.5).fps == 2.0
    assert clip(frame(), duration_seconds=0.0).fps == 0.0


def test_arrays_that_are_not_parallel_are_refused():
    with pytest.raises(ValueError, match=r"self\.confidence\.shape = \(1,\)"):
        FrameDetections(np.zeros((2, 4), np.float32), np.zeros(1, np.float32), np.zeros(2, np.int64))
    with pytest.raises(ValueError, match="do not fit"):
        ClipDetections(
            np.arange(2), np.zeros(3), np.zeros(0), np.zeros((0, 4), np.float32), np.zeros(0), np.zeros(0), 1.0
        )


def test_near_selects_the_frames_within_some_time():
    detections = clip(frame(DOG), frame(), frame(DOG, DOG), frame(), frame(CAT), seconds_per_frame=0.1)
    near = detections.near(3, 0.11)
    assert near.frame_index.tolist() == [2, 3, 4]
    assert near.frames == 3
    assert near.frame_row.tolist() == [0, 0, 2]
    assert near.presence_ratios(6)[[CAT, DOG]].tolist() == pytest.approx([1 / 3, 1 / 3])
    assert detections.near(0, 0.0).frame_index.tolist() == [0]
    assert detections.near(99, 10.0).presence_ratios(6).tolist() == detections.presence_ratios(6).tolist()


def test_stabilized_boxes_subtract_the_camera_motion():
    detections = clip(frame(DOG), frame(), frame(CAT, DOG))
    assert detections.stabilized_boxes().tolist() == [[0] * 4] * 3
    panned = replace(detections, camera=np.array([[0, 0], [1, 2], [-3, 4]], np.float32))
    assert panned.stabilized_boxes().tolist() == [[0, 0, 0, 0], [3, -4, 3, -4], [3, -4, 3, -4]]
