"""Stage 1 over several clips in one go: the same as clip by clip, in order, whatever is wrong with some of them."""

import threading
from pathlib import Path

import numpy as np
import pytest

from actor_detector import clip_detection
from actor_detector.clip_detection import ClipJob, detect_clip, detect_clips
from actor_detector.speed_options import MAX_REUSED_FRAMES, SpeedOptions
from actor_detector.yolo import YoloActorDetector
from common.errors import ClipError
from video.clips import read_frames, read_frames_at
from video.writer import video_writer

NAMES = (
    "dog-walking__ground-a-video-dog-walking.mp4",  # 8 frames
    "bird-walking__lixirui142-flamingo.mp4",
    "cat-none__yrcong-puff.mp4",
)


@pytest.fixture(scope="module")
def detector(yolo, taxonomy):
    return YoloActorDetector(yolo, taxonomy, confidence=0.25, batch_size=5)


@pytest.fixture(scope="module")
def clips(kit):
    return [kit / "clips" / name for name in NAMES]


def same(one, other):
    for name in ("frame_index", "time_seconds", "frame_row", "actor_index"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))
    np.testing.assert_allclose(one.boxes, other.boxes, atol=0.02)
    np.testing.assert_allclose(one.confidence, other.confidence, atol=1e-4)
    assert (one.frames, one.duration_seconds, one.truncated) == (other.frames, other.duration_seconds, other.truncated)


def test_every_frame_of_a_clip_is_looked_at(detector, kit):
    clip = sorted((kit / "clips").glob("dog-*.mp4"))[0]
    frames = sum(len(batch) for batch in read_frames(clip))
    detections = detect_clip(detector, clip)
    assert detections.frames == frames
    assert detections.frame_index.tolist() == list(range(frames))
    last = read_frames_at(clip, [frames - 1])
    assert detections.time_seconds[-1] == last.time_seconds[0]
    assert detections.duration_seconds > detections.time_seconds[-1]


def test_clips_in_one_go_are_detected_as_one_by_one(detector, clips):
    together = list(detect_clips(detector, [ClipJob(clip) for clip in (*clips, clips[0])]))
    assert [done.clip for done in together] == [*clips, clips[0]]
    for done in together:
        same(done.detections, detect_clip(detector, done.clip))


def test_batches_reach_across_clips(detector, clips, monkeypatch):
    sizes = []
    submit = detector.submit
    monkeypatch.setattr(detector, "submit", lambda inputs, box: sizes.append(len(inputs)) or submit(inputs, box))
    done = list(detect_clips(detector, [ClipJob(clips[0]), ClipJob(clips[0]), ClipJob(clips[0])]))
    assert [one.detections.frames for one in done] == [8, 8, 8]
    assert sizes == [5, 5, 5, 5, 4]


def test_what_cannot_be_read_or_is_known_keeps_its_place(detector, clips, tmp_path):
    (tmp_path / "text.mp4").write_text("no video")
    known = detect_clip(detector, clips[0])
    given = [
        ClipJob(clips[0], detections=known),
        ClipJob(tmp_path / "text.mp4"),
        ClipJob(clips[1]),
        ClipJob(tmp_path / "no.mp4"),
        ClipJob(clips[0], detections=known),
    ]
    done = list(detect_clips(detector, iter(given)))
    assert done == given
    assert [type(one.error) for one in done] == [type(None), ClipError, type(None), ClipError, type(None)]
    assert done[0].detections is known
    same(done[2].detections, detect_clip(detector, clips[1]))


def test_stopping_early_leaves_no_thread(detector, clips):
    running = detect_clips(detector, (ClipJob(clips[0]) for _ in range(1000)))
    next(running)
    running.close()
    assert not [thread for thread in threading.enumerate() if thread.name == "prefetch"]


class Witness:
    """Remembers which frames it was offered, and how many boxes in each."""

    def __init__(self):
        self.frames = []

    def offer(self, frames, found):
        boxes = np.bincount(found.frame_row, minlength=found.frames)
        self.frames += [(frame.index, int(count)) for frame, count in zip(frames, boxes, strict=True)]


def test_every_frame_is_shown_to_its_clips_watcher(detector, clips):
    for done in detect_clips(detector, [ClipJob(clip, Witness()) for clip in clips]):
        boxes = np.bincount(done.detections.frame_row, minlength=done.detections.frames)
        assert done.watcher.frames == list(enumerate(boxes.tolist()))


def test_a_stride_looks_at_every_nth_frame_and_counts_all(detector, clips):
    every, third = detect_clip(detector, clips[0]), detect_clip(detector, clips[0], SpeedOptions(stride=3))
    assert third.frame_index.tolist() == every.frame_index[::3].tolist()
    assert (third.frames, third.duration_seconds) == (every.frames, every.duration_seconds)
    np.testing.assert_allclose(third.presence_ratios(6), every.presence_ratios(6), atol=0.2)


@pytest.fixture(scope="module")
def still(clips, tmp_path_factory) -> Path:
    """A clip of 60 frames in which nothing moves but for one cut, at frame 40."""
    path = tmp_path_factory.mktemp("still") / "still.mp4"
    images = [read_frames_at(clip, [0]).images[0] for clip in clips[:2]]
    height, width = (min(image.shape[axis] for image in images) // 2 * 2 for axis in (0, 1))
    with video_writer(path, width, height, 25) as writer:
        for number in range(60):
            image = np.ascontiguousarray(images[number >= 40][:height, :width])
            writer.add(image, number / 25, 1 / 25)
    return path


def test_frames_that_do_not_change_are_not_looked_at(detector, still, monkeypatch):
    usual = detect_clip(detector, still)
    shown = []
    submit = detector.submit
    monkeypatch.setattr(detector, "submit", lambda inputs, box: shown.append(len(inputs)) or submit(inputs, box))
    quick = detect_clip(detector, still, SpeedOptions(reuse_below=2.0))
    assert sum(shown) == 3, "the first, one after so many alike, the one after the cut"
    assert MAX_REUSED_FRAMES < 40 < 2 * MAX_REUSED_FRAMES
    assert quick.frame_index.tolist() == usual.frame_index.tolist()
    np.testing.assert_allclose(quick.presence_ratios(6), usual.presence_ratios(6), atol=0.01)
    assert detect_clip(detector, still, SpeedOptions(reuse_below=0.0)).frames == 60
    assert sum(shown) == 63


def test_the_loop_filter_can_be_left_out(detector, clips, monkeypatch):
    asked = []
    decode = clip_detection.decode_frames
    monkeypatch.setattr(clip_detection, "decode_frames", lambda clip, own: asked.append(own) or decode(clip, own))
    rough = detect_clip(detector, clips[2], SpeedOptions(loop_filter=False))
    np.testing.assert_allclose(rough.presence_ratios(6), detect_clip(detector, clips[2]).presence_ratios(6), atol=0.1)
    assert asked == [False, True]
    one = next(decode(clips[2], True)).image(), next(decode(clips[2], False)).image()
    assert 0 < np.abs(one[0].astype(int) - one[1]).mean() < 3
