"""Motion features of boxes on known paths, and tracking."""

from dataclasses import replace

import numpy as np
import pytest
from motion_clips import CAT, DOG, clip

from action_heads.input_kinds import MOTION_DIM
from actor_detector.detections import ClipDetections
from actor_detector.motion.features import (
    MOTION_FEATURES,
    PATH_FEATURES,
    VISIBILITY_FEATURES,
    motion_features,
    path_features,
    visibility_features,
)
from actor_detector.motion.tracker import track_actor


def features(detections: ClipDetections, actor_index: int = DOG) -> dict[str, float]:
    return dict(zip(MOTION_FEATURES, motion_features(detections, actor_index).tolist(), strict=True))


def test_every_feature_has_one_name():
    assert len(MOTION_FEATURES) == MOTION_DIM == len(set(MOTION_FEATURES))
    detections = clip([(50 + step, 100) for step in range(5)])
    assert visibility_features(detections, DOG).shape == (len(VISIBILITY_FEATURES),) == (5,)
    assert path_features(detections.boxes, detections.time_seconds).shape == (len(PATH_FEATURES),) == (13,)


def test_steady_horizontal_walk():
    found = features(clip([(50 + 4 * step, 100) for step in range(20)]))
    assert found["speed, mean"] == pytest.approx(np.log1p(1.0), abs=1e-4)  # 4 pixels in 0.1 s, body size 40
    assert found["speed, standard deviation"] == pytest.approx(0, abs=1e-4)
    assert found["horizontal speed, mean"] == pytest.approx(1.0, abs=1e-4)
    assert found["horizontal drift"] == pytest.approx(1.0, abs=1e-4)
    assert found["vertical share"] == pytest.approx(0, abs=1e-4)
    assert found["height of the path"] == 0
    assert (found["presence"], found["boxes per frame"]) == (1.0, 1.0)


def test_motion_over_a_long_gap_is_unknown():
    walk = clip([(50 + 4 * step, 100) for step in range(20)])
    times = walk.time_seconds.copy()
    times[10:] += 0.5
    found = features(replace(walk, time_seconds=times))
    assert found["speed, mean"] == pytest.approx(np.log1p(1.0), abs=1e-4)
    assert found["speed, standard deviation"] == pytest.approx(0, abs=1e-4)


def test_speed_requires_two_steps():
    walk = [(50 + 4 * step, 100) for step in range(3)]
    assert features(clip(walk[:2]))["speed, mean"] == 0
    assert features(clip(walk))["speed, mean"] > 0


def test_jumping_in_place_is_vertical_without_drift():
    found = features(clip([(50, 100 + 8 * (step % 2)) for step in range(21)]))
    assert found["vertical share"] == pytest.approx(1.0, abs=1e-4)
    assert found["vertical speed, mean"] == pytest.approx(2.0, abs=1e-4)
    assert found["vertical drift"] == pytest.approx(0, abs=1e-4)
    assert found["height of the path"] == pytest.approx(8 / 40)


def test_distance_from_the_camera_changes_nothing():
    near = features(clip([(100 + 8 * step, 100) for step in range(10)], sizes=(80, 80)))
    far = features(clip([(50 + 4 * step, 50) for step in range(10)], sizes=(40, 40)))
    assert near == pytest.approx(far, abs=1e-4)


def test_path_is_that_of_the_most_confident_individual():
    still = [(50, 50)] * 10
    moving = [(row, (200, 200 + row, 240, 240 + row), 0.5) for row in range(10)]
    found = features(clip(still, extra=moving))
    assert found["speed, mean"] == 0
    assert (found["boxes per frame"], found["boxes per frame, maximum"]) == (2.0, 2.0)
    assert found["confidence, maximum"] == pytest.approx(0.9)


def test_jump_between_individuals_is_not_motion():
    path = [(50, 50)] * 5 + [(300, 50)] * 5
    assert features(clip(path))["speed, mean"] == 0


def test_absent_actor_has_no_motion():
    assert set(features(clip([(50, 50)] * 4, actor=CAT)).values()) == {0.0}


@pytest.mark.parametrize("fps", [20, 30, 60])
def test_motion_does_not_depend_on_the_frame_rate(fps):
    """Back and forth for 8 seconds, while the box jitters by some pixels from frame to frame, at any rate."""

    def detections(rate: int) -> ClipDetections:
        jitter = np.random.default_rng(rate).normal(0, 1.5, 8 * rate)
        return clip([(150 + 60 * np.sin(2 * i / rate) + jitter[i], 100) for i in range(8 * rate)], fps=rate)

    usual = features(detections(10))
    assert features(detections(fps)) == pytest.approx(usual, abs=0.15)
    every_frame = detections(60)
    speed = path_features(every_frame.boxes, every_frame.time_seconds)[PATH_FEATURES.index("speed, mean")]
    assert speed - usual["speed, mean"] > 0.2, "from frame to frame, the jitter is the larger part"


def test_motion_does_not_depend_on_the_length_or_the_resolution():
    path = [(150 + 60 * np.sin(frame / 10 * np.pi), 100) for frame in range(81)]
    usual = features(clip(path))
    assert features(clip(path * 15)) == pytest.approx(usual, abs=0.05)
    larger = clip(np.array(path) * 4.5, sizes=(180.0, 180.0))
    assert features(larger) == pytest.approx(usual, abs=1e-4)


def test_camera_motion_is_subtracted():
    pan = [(4 * step, 0) for step in range(20)]
    still = clip([(50 + right, 100) for right, _ in pan], camera=pan)
    assert features(still)["speed, mean"] == pytest.approx(0, abs=1e-6)
    followed = clip([(50, 100)] * 20, camera=[(-4 * step, 0) for step in range(20)])
    assert features(followed)["horizontal drift"] == pytest.approx(1.0, abs=1e-4)


def test_tracker_does_not_switch_to_a_more_confident_individual():
    """The other individual is more confident in every second frame, but never near the tracked one."""
    walk = [(50 + 4 * step, 100) for step in range(20)]
    other = [(row, (150, 80, 190, 120), 0.95) for row in range(0, 20, 2)]
    assert features(clip(walk, extra=other))["speed, mean"] == pytest.approx(np.log1p(1.0), abs=1e-4)


def test_box_that_barely_overlaps_starts_another_track():
    detections = clip([(50, 100)] * 5 + [(100, 100)] * 12)
    assert track_actor(detections, DOG).frame_row.tolist() == list(range(5, 17))
    detections = clip([(50, 100)] * 5 + [(80, 100)] * 12)  # an intersection over union of 1/7
    assert track_actor(detections, DOG).frame_row.tolist() == list(range(5, 17))


def test_track_with_the_largest_total_confidence_is_selected():
    shorter = [(row, (200, 200, 240, 240), 0.95) for row in range(6)]
    selected = track_actor(clip([(50, 50)] * 8, confidence=0.3, extra=shorter), DOG)
    assert selected.frame_row.tolist() == list(range(6))
    assert (selected.boxes[:, 0] == 200).all()


def test_track_ends_after_a_gap_and_the_longest_is_selected():
    rows = [*range(5), *range(20, 30)]
    detections = clip([(50, 50)] * 30)
    selected = np.isin(detections.frame_row, rows)
    detections = replace(
        detections,
        frame_row=detections.frame_row[selected],
        boxes=detections.boxes[selected],
        confidence=detections.confidence[selected],
        actor_index=detections.actor_index[selected],
    )
    assert track_actor(detections, DOG).frame_row.tolist() == list(range(20, 30))
    assert len(track_actor(detections, CAT).boxes) == 0
    assert track_actor(detections, DOG).frames == 30
