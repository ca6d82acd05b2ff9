"""The variants of the motion features for the ablation."""

import numpy as np
import pytest
from motion_clips import CAT, DOG, clip

from actor_detector.motion.features import MOTION_FEATURES, motion_features
from experiments.motion_variants import most_confident_boxes, motion_variant

SPEED = MOTION_FEATURES.index("speed, mean")
WALK = [(50 + 4 * step, 100) for step in range(20)]


def variant_speed(detections, **parts):
    return motion_variant(detections, DOG, **{"track": True, "camera": True, **parts})[SPEED]


@pytest.mark.parametrize("actor", [DOG, CAT])
def test_with_all_parts_equals_the_motion_features(actor):
    other = [(row, (150, 80, 190, 120), 0.95) for row in range(0, 20, 2)]
    detections = clip(WALK, extra=other, camera=[(step, 0) for step in range(20)])
    complete = motion_variant(detections, actor, track=True, camera=True)
    np.testing.assert_array_equal(complete, motion_features(detections, actor))
    assert complete.dtype == np.float32


def test_without_the_tracker_the_path_jumps_between_individuals():
    other = [(row, (150, 80, 190, 120), 0.95) for row in range(0, 20, 2)]
    detections = clip(WALK, extra=other)
    assert variant_speed(detections) == pytest.approx(np.log1p(1.0), abs=1e-4)
    assert variant_speed(detections, track=False) == 0  # jumps are not motion, and there are no other steps


def test_without_the_tracker_the_most_confident_individual_is_described():
    moving = [(row, (200, 200 + row, 240, 240 + row), 0.5) for row in range(10)]
    assert variant_speed(clip([(50, 50)] * 10, extra=moving), track=False) == 0


def test_without_camera_compensation_a_pan_is_motion():
    pan = [(4 * step, 0) for step in range(20)]
    detections = clip([(50 + right, 100) for right, _ in pan], camera=pan)
    assert variant_speed(detections) == pytest.approx(0, abs=1e-6)
    assert variant_speed(detections, camera=False) == pytest.approx(np.log1p(1.0), abs=1e-4)


def test_most_confident_boxes_are_one_per_frame():
    other = [(row, (150, 80, 190, 120), 0.95) for row in range(0, 20, 2)]
    selected = most_confident_boxes(clip(WALK, extra=other), DOG)
    assert selected.frame_row.tolist() == list(range(20))
    assert selected.confidence.tolist() == pytest.approx([0.95, 0.9] * 10)
