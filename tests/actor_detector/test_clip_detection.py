"""Stage 1 over several clips in one pass: the same results as clip by clip, in order, even if some are unreadable."""

import threading
from pathlib import Path

import numpy as np
import photo_clips
import pytest
from single_clip import detect_clip

from actor_detector import clip_detection
from actor_detector.clip_detection import ClipJob, detect_clips
from actor_detector.detector_settings import DetectorSettings
from actor_detector.speed_options import MAX_REUSED_FRAMES, SpeedOptions
from actor_detector.yolo import YoloActorDetector
from common.errors import ClipError
from common.paths import MODELS
from video.clips import read_frames, read_frames_at
from video.writer import video_writer


@pytest.fixture(scope="module")
def detector(taxonomy):
    return YoloActorDetector(MODELS / "actor_detector.safetensors", taxonomy, DetectorSettings(320, 0.25), batch_size=5)


@pytest.fixture(scope="module")
def clips(people_and_cat_clip, cat_clip, tmp_path_factory):
    """Three clips, the second of which has other frames: 13 squares."""
    squares = photo_clips.pan(photo_clips.PEOPLE, 13)[:, :, 128:448]
    path = photo_clips.write_frames(tmp_path_factory.mktemp("clips") / "squares.mp4", squares)
    return [people_and_cat_clip, path, cat_clip]


def assert_same(one, other):
    for name in ("frame_index", "time_seconds", "frame_row", "actor_index"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))
    np.testing.assert_allclose(one.boxes, other.boxes, atol=0.02)
    np.testing.assert_allclose(one.confidence, other.confidence, atol=1e-4)
    assert (one.frames, one.duration_seconds, one.truncated) == (other.frames, other.duration_seconds, other.truncated)


def test_every_frame_is_processed(detector, clips):
    clip = clips[1]
    frames = sum(len(batch) for batch in read_frames(clip))
    assert frames == 13
    detections = detect_clip(detector, clip)
    assert detections.frames == frames
    assert detections.frame_index.tolist() == list(range(frames))
    last = read_frames_at(clip, [frames - 1])
    assert detections.time_seconds[-1] == last.time_seconds[0]
    assert detections.duration_seconds > detections.time_seconds[-1]


def test_clips_in_one_pass_equal_clips_one_by_one(detector, clips):
    together = list(detect_clips(detector, [ClipJob(clip) for clip in (*clips, clips[0])]))
    assert [done.clip for done in together] == [*clips, clips[0]]
    for done in together:
        assert_same(done.detections, detect_clip(detector, done.clip))


def test_batches_span_clips(detector, clips, monkeypatch):
    sizes = []
    submit = detector.submit
    monkeypatch.setattr(detector, "submit", lambda inputs, box: sizes.append(len(inputs)) or submit(inputs, box))
    done = list(detect_clips(detector, [ClipJob(clips[0]), ClipJob(clips[0]), ClipJob(clips[0])]))
    assert [one.detections.frames for one in done] == [8, 8, 8]
    assert sizes == [5, 5, 5, 5, 4]


def test_unreadable_and_finished_clips_are_passed_through_in_order(detector, clips, tmp_path):
    (tmp_path / "text.mp4").write_text("no video")
    known = detect_clip(detector, clips[0])
    jobs = [
        ClipJob(clips[0], detections=known),
        ClipJob(tmp_path / "text.mp4"),
        ClipJob(clips[1]),
        ClipJob(tmp_path / "no.mp4"),
        ClipJob(clips[0], detections=known),
    ]
    done = list(detect_clips(detector, iter(jobs)))
    assert done == jobs
    assert [type(one.error) for one in done] == [type(None), ClipError, type(None), ClipError, type(None)]
    assert done[0].detections is known
    assert_same(done[2].detections, detect_clip(detector, clips[1]))


def test_stopping_early_ends_the_thread(detector, clips):
    running = detect_clips(detector, (ClipJob(clips[0]) for _ in range(1000)))
    next(running)
    running.close()
    assert not [thread for thread in threading.enumerate() if thread.name == "prefetch"]


def test_stopping_early_waits_for_the_batches_in_flight(detector, clips, monkeypatch):
    """Engines read their inputs without copying them, so the inputs must live until the output is complete."""
    submitted, completed = [], []
    submit = detector.submit

    class Recorded:
        def __init__(self, number, output):
            self.number, self.output = number, output

        def result(self):
            completed.append(self.number)
            return self.output.result()

    def record(inputs, letterbox):
        submitted.append(len(submitted))
        return Recorded(submitted[-1], submit(inputs, letterbox))

    monkeypatch.setattr(detector, "submit", record)
    running = detect_clips(detector, (ClipJob(clips[0]) for _ in range(10)))
    next(running)
    assert len(completed) < len(submitted), "some batches are in flight"
    running.close()
    assert completed == submitted


class FrameRecorder:
    """Records the frames with which it is called, and the number of boxes in each."""

    def __init__(self):
        self.frames = []

    def __call__(self, frames, found):
        boxes = np.bincount(found.frame_row, minlength=found.frames)
        self.frames += [(frame.index, int(count)) for frame, count in zip(frames, boxes, strict=True)]


def test_callback_receives_every_frame_of_its_clip(detector, clips):
    for job in detect_clips(detector, [ClipJob(clip, FrameRecorder()) for clip in clips]):
        boxes = np.bincount(job.detections.frame_row, minlength=job.detections.frames)
        assert job.on_frames.frames == list(enumerate(boxes.tolist()))


def test_stride_processes_every_nth_frame_and_counts_all(detector, clips):
    every, third = detect_clip(detector, clips[0]), detect_clip(detector, clips[0], SpeedOptions(stride=3))
    assert third.frame_index.tolist() == every.frame_index[::3].tolist()
    assert (third.frames, third.duration_seconds) == (every.frames, every.duration_seconds)
    np.testing.assert_allclose(third.presence_ratios(6), every.presence_ratios(6), atol=0.2)


@pytest.fixture(scope="module")
def still(clips, tmp_path_factory) -> Path:
    """A clip of 60 frames without motion, with one cut at frame 40."""
    path = tmp_path_factory.mktemp("still") / "still.mp4"
    images = [read_frames_at(clip, [0]).images[0] for clip in clips[:2]]
    height, width = (min(image.shape[axis] for image in images) // 2 * 2 for axis in (0, 1))
    with video_writer(path, width, height, 25) as writer:
        for number in range(60):
            image = np.ascontiguousarray(images[number >= 40][:height, :width])
            writer.add(image, number / 25, 1 / 25)
    return path


def test_unchanged_frames_reuse_boxes(detector, still, monkeypatch):
    usual = detect_clip(detector, still)
    submitted = []
    submit = detector.submit
    monkeypatch.setattr(detector, "submit", lambda inputs, box: submitted.append(len(inputs)) or submit(inputs, box))
    quick = detect_clip(detector, still, SpeedOptions(reuse_below=2.0))
    assert sum(submitted) == 3, "the first, one after the maximum of reused frames, the one after the cut"
    assert MAX_REUSED_FRAMES < 40 < 2 * MAX_REUSED_FRAMES
    assert quick.frame_index.tolist() == usual.frame_index.tolist()
    np.testing.assert_allclose(quick.presence_ratios(6), usual.presence_ratios(6), atol=0.01)
    assert detect_clip(detector, still, SpeedOptions(reuse_below=0.0)).frames == 60
    assert sum(submitted) == 63


def test_loop_filter_can_be_disabled(detector, clips, monkeypatch):
    passed = []
    decode = clip_detection.decode_frames
    monkeypatch.setattr(clip_detection, "decode_frames", lambda clip, on: passed.append(on) or decode(clip, on))
    rough = detect_clip(detector, clips[2], SpeedOptions(loop_filter=False))
    np.testing.assert_allclose(rough.presence_ratios(6), detect_clip(detector, clips[2]).presence_ratios(6), atol=0.1)
    assert passed == [False, True]
    one = next(decode(clips[2], True)).image(), next(decode(clips[2], False)).image()
    assert 0 < np.abs(one[0].astype(int) - one[1]).mean() < 3
