"""Looking until sure: how sure a presence ratio is, where to look next, and stage 1 that looks only there."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from actor_detector.clip_detection import ClipJob, detect_clips
from actor_detector.detector_settings import DetectorSettings
from actor_detector.looks import stretches
from actor_detector.looks.certainty import Certainty, Looks, first_looks, represented_frames
from actor_detector.looks.joining import merge_looks
from actor_detector.looks.selective_detection import detect_selected
from actor_detector.looks.stretches import LookJob
from actor_detector.yolo import YoloActorDetector
from common.errors import ClipError
from common.paths import MODELS
from pipeline.until_sure import load_calibration

CHANCE = load_calibration("").chance
FPS = 25.0
RANDOM = np.random.default_rng(0)


def look(confidence: np.ndarray, rows: list[int]) -> Looks:
    """Look at some frames of a clip of one actor, whose highest confidence in every frame is given."""
    times, at = np.arange(len(confidence)) / FPS, np.array(rows, np.int64)
    seen = confidence[at][None].astype(np.float32)
    ruled_out = np.zeros((1, len(times)), bool)
    return Looks(times, at, seen, seen >= 1, represented_frames(times, at), ruled_out)


def interval(confidence: np.ndarray, rows: list[int], deviations: float) -> list[float]:
    (found,) = Certainty.of_looks(look(confidence, rows), CHANCE).intervals(deviations)
    return found.tolist()


@given(shown=st.lists(st.booleans(), min_size=1, max_size=60), every=st.sampled_from([0.1, 0.5]))
def test_certain_ends_hold_whatever_is_in_between(shown, every):
    confidence = np.array(shown) * 1.5
    rows = first_looks(np.arange(len(shown)) / FPS, every)
    low, high = interval(confidence, rows, math.inf)
    assert low - 1e-9 <= np.mean(shown) <= high + 1e-9
    hits = confidence[rows].astype(bool).sum()
    assert low == pytest.approx(hits / len(shown))
    assert high == pytest.approx((hits + len(shown) - len(rows)) / len(shown))


def test_all_frames_leave_no_doubt():
    confidence = np.array([0, 2, 2, 0, 0.5])
    assert interval(confidence, [0, 1, 2, 3, 4], 3.0) == pytest.approx([0.4, 0.4])
    certainty = Certainty.of_looks(look(confidence, [0, 1, 2, 3, 4]), CHANCE)
    assert not len(certainty.next_looks(np.array([0.4]), math.inf, RANDOM))


def test_intervals_are_wider_where_the_confidence_is_near_the_threshold():
    rows = list(range(6, 125, 12))
    clear, absent, doubtful = (np.full(125, level) for level in (2.0, 0.0, 0.95))
    widths = [np.diff(interval(confidence, rows, 2.0))[0] for confidence in (clear, absent, doubtful)]
    assert widths[2] > 1.5 * max(widths[:2])
    assert interval(absent, rows, 1.0)[1] < 0.0114 < interval(doubtful, rows, 1.0)[1]


def test_the_next_looks_are_where_the_doubt_is():
    confidence = np.zeros(250)
    confidence[100:140] = np.linspace(0, 1.2, 40)
    rows = list(range(6, 250, 12))
    certainty = Certainty.of_looks(look(confidence, rows), CHANCE)
    following = certainty.next_looks(np.array([0.05]), 2.0, RANDOM)
    assert 1 <= len(following) <= 4
    assert not set(following.tolist()) & set(rows)
    assert ((following > 100) & (following < 165)).all()
    assert not len(certainty.next_looks(np.array([0.9]), 2.0, RANDOM)), "far from the gate, nothing is in doubt"


def test_frames_that_are_ruled_out_are_no_doubt():
    confidence, rows = np.full(125, 0.95), np.arange(6, 125, 12)
    times = np.arange(125) / FPS
    seen = confidence[rows][None].astype(np.float32)
    looks = Looks(times, rows, seen, seen >= 1, represented_frames(times, rows), np.ones((1, 125), bool))
    assert Certainty.of_looks(looks, CHANCE).intervals(math.inf).tolist() == [[0.0, 0.0]]


@given(frames=st.integers(1, 200), start=st.floats(0, 100))
def test_first_looks_are_the_first_frame_of_every_interval(frames, start):
    times = start + np.arange(frames) / FPS
    rows = first_looks(times, 0.5)
    intervals = np.floor(times / 0.5)
    assert intervals[rows].tolist() == sorted(set(intervals.tolist()))
    assert all(row == 0 or intervals[row - 1] < intervals[row] for row in rows)
    assert represented_frames(times, rows).sum() == frames


def test_further_looks_are_drawn():
    confidence = np.full(125, 0.95)
    certainty = Certainty.of_looks(look(confidence, list(range(6, 125, 12))), CHANCE)
    draws = [certainty.next_looks(np.array([0.05]), 2.0, np.random.default_rng(seed)) for seed in range(20)]
    assert len({tuple(rows.tolist()) for rows in draws}) > 5
    again = certainty.next_looks(np.array([0.05]), 2.0, np.random.default_rng(3))
    assert again.tolist() == draws[3].tolist()


def test_an_actor_is_possible_unless_it_is_surely_below_its_gate():
    certainty = Certainty.of_looks(look(np.full(125, 0.95), [0, 62]), CHANCE)
    low, high = certainty.intervals(2.0)[0]
    assert certainty.possible(np.array([high - 0.01]), 2.0).tolist() == [True]
    assert certainty.possible(np.array([high + 0.01]), 2.0).tolist() == [False]
    assert certainty.possible(np.array([low]), 2.0).tolist() == [True]


def test_a_present_actor_is_looked_for_where_no_look_of_an_interval_shows_it():
    confidence = np.full(125, 2.0)
    confidence[[25, 75]] = 0.6  # the detector misses it, but in no other frame
    rows, interval = [0, 25, 50, 75, 100], np.arange(125) // 25
    certainty = Certainty.of_looks(look(confidence, rows), CHANCE)
    wanted = certainty.looks_at_present(np.array([0.05]), interval)
    assert interval[wanted].tolist() == [1, 3]
    assert not set(wanted) & set(rows)
    assert not len(certainty.looks_at_present(np.array([0.9]), interval)), "an absent one is not"
    certainty = Certainty.of_looks(look(confidence, sorted({*rows, *wanted.tolist()})), CHANCE)
    assert not len(certainty.looks_at_present(np.array([0.05]), interval))


@pytest.fixture(scope="module")
def detector(taxonomy):
    return YoloActorDetector(MODELS / "actor_detector.safetensors", taxonomy, DetectorSettings(320, 0.25), batch_size=3)


class Rounds:
    """A plan of rounds of rows; records what it is given."""

    def __init__(self, *rounds):
        self.rounds, self.asked = list(rounds), []

    def __call__(self, frames, rows, boxes):
        self.asked.append((len(frames), rows.tolist(), boxes.frames))
        return np.array(self.rounds.pop(0) if self.rounds else [], np.int64)

    def job(self, clip, known=None):
        return LookJob(clip, plan=self, known=known)


@pytest.fixture(scope="module")
def every_frame(detector, people_and_cat_clip):
    (job,) = detect_clips(detector, [ClipJob(people_and_cat_clip)])
    return job.detections


def assert_looked(detections, every_frame):
    """Check that what was looked at shows what it shows when every frame is processed."""
    rows = detections.frame_index
    for one, other in zip(detections.frame_index, rows, strict=True):
        assert one == other
    for actor in range(6):
        expected = np.intersect1d(every_frame.frames_with(actor), rows)
        assert detections.frames_with(actor).tolist() == expected.tolist()
    np.testing.assert_array_equal(detections.time_seconds, every_frame.time_seconds[rows])
    assert detections.frames == every_frame.frames == detections.frames_represented().sum()
    assert detections.duration_seconds == every_frame.duration_seconds


def test_only_what_the_plan_asks_for_is_looked_at(detector, people_and_cat_clip, every_frame, monkeypatch):
    inputs, submit = [], detector.submit
    monkeypatch.setattr(detector, "submit", lambda images, box: inputs.append(len(images)) or submit(images, box))
    plan = Rounds([1, 5], [3])
    (job,) = detect_selected(detector, [plan.job(people_and_cat_clip)])
    assert sum(inputs) == 3
    assert plan.asked == [(8, [], 0), (8, [1, 5], 2), (8, [1, 3, 5], 3)]
    assert job.detections.frame_index.tolist() == [1, 3, 5]
    assert job.detections.represented.tolist() == [3, 2, 3]
    assert job.detections.camera.shape == (3, 2)
    assert_looked(job.detections, every_frame)


def test_known_frames_are_not_looked_at_again(detector, people_and_cat_clip, every_frame, monkeypatch):
    (first,) = detect_selected(detector, [Rounds([1, 5]).job(people_and_cat_clip)])
    inputs, submit = [], detector.submit
    monkeypatch.setattr(detector, "submit", lambda images, box: inputs.append(len(images)) or submit(images, box))
    plan = Rounds([5, 6], [1])
    (second,) = detect_selected(detector, [plan.job(people_and_cat_clip, first.looked)])
    assert sum(inputs) == 1
    assert plan.asked == [(8, [], 0), (8, [5, 6], 2), (8, [1, 5, 6], 3)]
    assert_looked(second.detections, every_frame)
    assert second.looked.frame_index.tolist() == [1, 5, 6]
    (third,) = detect_selected(detector, [Rounds([0]).job(people_and_cat_clip, second.looked)])
    assert third.looked.frame_index.tolist() == [0, 1, 5, 6], "an entry is extended"
    assert third.detections.frame_index.tolist() == [0]
    boxes = merge_looks(second.looked, third.detections)
    np.testing.assert_array_equal(boxes.frames_with(0), np.intersect1d(every_frame.frames_with(0), [0, 1, 5, 6]))


def test_many_clips_in_order_however_many_rounds_each_takes(detector, people_and_cat_clip, cat_clip, tmp_path):
    (tmp_path / "text.mp4").write_text("no video")
    plans = [Rounds(*([row] for row in range(1 + number % 5))) for number in range(17)]
    jobs = [plan.job(cat_clip if number % 3 else people_and_cat_clip) for number, plan in enumerate(plans)]
    jobs.insert(4, Rounds([0]).job(tmp_path / "text.mp4"))
    done = list(detect_selected(detector, iter(jobs)))
    assert done == jobs
    assert isinstance(done.pop(4).error, ClipError)
    for number, job in enumerate(done):
        assert job.detections.frame_index.tolist() == list(range(1 + number % 5))
    for one in done[3:]:
        (alone,) = detect_selected(detector, [Rounds(one.detections.frame_index.tolist()).job(one.clip)])
        np.testing.assert_array_equal(alone.detections.boxes, one.detections.boxes)


def test_a_clip_of_a_rare_size_and_many_rounds_does_not_hold_up_the_others(detector, people_and_cat_clip, cat_clip):
    """Results are in order, so whoever waits for the first clip waits for all that were looked at before it."""
    plans = [Rounds(*([row] for row in range(8))), *(Rounds([0, 1, 2]) for _ in range(60))]
    jobs = [plan.job(cat_clip if number else people_and_cat_clip) for number, plan in enumerate(plans)]
    first = next(running := detect_selected(detector, iter(jobs)))
    running.close()
    assert first.detections.frame_index.tolist() == list(range(8))
    asked = [bool(plan.asked) for plan in plans]
    assert asked[0]
    assert sum(asked) < 30


def test_long_clips_are_looked_at_stretch_by_stretch(detector, people_and_cat_clip, every_frame, monkeypatch):
    monkeypatch.setattr(stretches, "MAX_STRETCH_SECONDS", 0.9)
    rounds = {0: [0, 3], 2: [1]}  # by the number of looks so far

    def plan(frames, rows, boxes):
        assert len(frames) == 4
        return np.array(rounds.get(len(rows), []), np.int64)

    (job,) = detect_selected(detector, [LookJob(people_and_cat_clip, plan=plan)])
    assert job.detections.frame_index.tolist() == [0, 1, 3, 4, 5, 7]
    assert job.detections.represented.tolist() == [1, 2, 1, 1, 2, 1]
    assert_looked(job.detections, every_frame)


def test_stopping_early_ends_the_thread(detector, cat_clip):
    import threading

    running = detect_selected(detector, (Rounds([0]).job(cat_clip) for _ in range(1000)))
    next(running)
    running.close()
    assert not [thread for thread in threading.enumerate() if thread.name == "prefetch"]
