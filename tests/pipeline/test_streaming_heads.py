"""Streaming heads: which frames the heads are given while a clip is decoded."""

from types import SimpleNamespace

import numpy as np
import pytest

from actor_detector.detections import FrameBoxes
from pipeline.streaming_heads import StreamingHeads
from video.frames import Frame

CAT, DOG = 4, 5


class RecordingHeads:
    """Heads that record the box that each actor's head is given, and return the first pixel as the only logit."""

    def __init__(self):
        self.boxes = []

    def submit_frame(self, views, boxes):
        self.boxes += [(name, box.tolist()) for name, box in boxes.items()]
        return lambda: {name: views.image[0, 0, :1].astype(np.float32) for name in boxes}


@pytest.fixture
def heads():
    return RecordingHeads()


@pytest.fixture
def streaming(heads, taxonomy):
    return StreamingHeads(heads, taxonomy, confidence=0.5, every_seconds=1.0)


def make_frame(index: int, time_seconds: float) -> Frame:
    image = np.full((4, 4, 3), index, np.uint8)
    return Frame(index, time_seconds, 0.1, SimpleNamespace(size=(4, 4), image=lambda size=None: image))


def make_boxes(frames: int, *rows: tuple[int, int, float]) -> FrameBoxes:
    """Boxes from rows of frame, actor and confidence; the box's left edge is its number."""
    frame_row, actor_index, confidence = (np.array([row[part] for row in rows]) for part in range(3))
    boxes = np.zeros((len(rows), 4), np.float32)
    boxes[:, 0] = np.arange(len(rows))
    return FrameBoxes(frames, frame_row, boxes, confidence.astype(np.float32), actor_index)


def test_head_is_given_the_first_frame_with_a_confident_box(streaming, heads):
    frames = [make_frame(index, index / 10) for index in range(3)]
    streaming.on_frames(frames, make_boxes(3, (0, DOG, 0.49), (1, DOG, 0.5), (2, DOG, 0.9)))
    predictions = streaming.predictions()
    assert list(predictions) == ["dog"]
    assert predictions["dog"].frame_index.tolist() == [1]
    assert predictions["dog"].logits.tolist() == [[1.0]]
    assert heads.boxes == [("dog", [1.0, 0.0, 0.0, 0.0])]


def test_head_is_given_one_frame_of_every_interval_across_batches(streaming):
    for start in (0, 4, 8):
        frames = [make_frame(index, index / 4) for index in range(start, start + 4)]
        streaming.on_frames(frames, make_boxes(4, *((row, DOG, 0.9) for row in (1, 2, 3)), (3, CAT, 0.6)))
    predictions = streaming.predictions()
    assert predictions["dog"].frame_index.tolist() == [1, 5, 9]
    assert predictions["cat"].frame_index.tolist() == [3, 7, 11]
    assert predictions["dog"].time_seconds.tolist() == [0.25, 1.25, 2.25]


def test_head_is_given_the_most_confident_box_of_a_frame(streaming, heads):
    streaming.on_frames([make_frame(0, 0.0)], make_boxes(1, (0, DOG, 0.6), (0, DOG, 0.8), (0, CAT, 0.9), (0, DOG, 0.7)))
    assert sorted(heads.boxes) == [("cat", [2.0, 0.0, 0.0, 0.0]), ("dog", [1.0, 0.0, 0.0, 0.0])]


def test_a_frame_that_was_looked_at_later_replaces_the_later_frame_of_its_interval(streaming):
    streaming.on_frames([make_frame(index, index / 4) for index in (2, 9)], make_boxes(2, (0, DOG, 0.9), (1, DOG, 0.9)))
    streaming.on_frames([make_frame(index, index / 4) for index in (1, 3)], make_boxes(2, (0, DOG, 0.9), (1, DOG, 0.9)))
    predictions = streaming.predictions()["dog"]
    assert predictions.frame_index.tolist() == [1, 2, 9], "that of the later frame is not used, but cannot be undone"
    assert predictions.time_seconds.tolist() == [0.25, 0.5, 2.25]
    assert predictions.at_frames((1, 9)).frame_index.tolist() == [1, 9]


def test_frames_may_come_again_for_further_actors(streaming):
    frames, boxes = [make_frame(0, 0.0)], make_boxes(1, (0, DOG, 0.9), (0, CAT, 0.9))
    assert streaming.on_frames(frames, boxes, np.array([DOG]))
    assert list(streaming.predictions()) == ["dog"]
    assert not streaming.on_frames(frames, boxes, np.array([DOG]))
    assert streaming.on_frames(frames, boxes, np.array([CAT, DOG]))
    assert {name: len(rows.frame_index) for name, rows in streaming.predictions().items()} == {"dog": 1, "cat": 1}
