"""How an actor moves, from its boxes: known paths, and none."""

from dataclasses import replace

import numpy as np
import pytest

from action_heads.crops import MOTION_DIM
from actor_detector.detections import ClipDetections
from actor_detector.motion.features import MOTION_FEATURES, motion_features
from actor_detector.motion.tracker import track_actor

CAT, DOG = 4, 5


def clip(centres, sizes=(40.0, 40.0), fps=10, actor=DOG, confidence=0.9, extra=(), camera=None):
    """One box a frame, of a width and height, around given centres; and extra boxes (frame, box, confidence)."""
    centres = np.array(centres, float)
    half = np.array(sizes, float) / 2
    boxes = np.concatenate([centres - half, centres + half], axis=1)
    rows = np.arange(len(centres))
    frames, more, sure = ([entry[place] for entry in extra] for place in range(3))
    order = np.argsort(np.concatenate([rows, frames]), kind="stable")
    return ClipDetections(
        frame_index=rows,
        time_seconds=rows / fps,
        frame_row=np.concatenate([rows, frames])[order].astype(np.int64),
        boxes=np.concatenate([boxes, np.reshape(more, (-1, 4))])[order].astype(np.float32),
        confidence=np.concatenate([np.full(len(rows), confidence), sure])[order].astype(np.float32),
        actor_index=np.full(len(rows) + len(extra), actor),
        duration_seconds=len(rows) / fps,
        camera=None if camera is None else np.array(camera, np.float32),
    )


def described(detections, actor=DOG, **how):
    return dict(zip(MOTION_FEATURES, motion_features(detections, actor, **how).tolist(), strict=True))


def test_heads_are_told_as_many_numbers_as_have_names():
    assert len(MOTION_FEATURES) == MOTION_DIM == len(set(MOTION_FEATURES))


def test_a_steady_walk_across():
    found = described(clip([(50 + 4 * step, 100) for step in range(20)]))
    assert found["speed, mean"] == pytest.approx(np.log1p(1.0), abs=1e-4)  # 4 pixels in 0.1 s, body size 40
    assert found["speed, spread"] == pytest.approx(0, abs=1e-4)
    assert found["speed across, mean"] == pytest.approx(1.0, abs=1e-4)
    assert found["drift across"] == pytest.approx(1.0, abs=1e-4)
    assert found["vertical share"] == pytest.approx(0, abs=1e-4)
    assert found["height of the path"] == 0
    assert (found["presence"], found["boxes a frame"], found["seconds"]) == (1.0, 1.0, 2.0)


def test_jumping_in_place_goes_up_and_down_and_nowhere():
    found = described(clip([(50, 100 + 8 * (step % 2)) for step in range(21)]))
    assert found["vertical share"] == pytest.approx(1.0, abs=1e-4)
    assert found["speed up or down, mean"] == pytest.approx(2.0, abs=1e-4)
    assert found["drift up or down"] == pytest.approx(0, abs=1e-4)
    assert found["height of the path"] == pytest.approx(8 / 40)


def test_distance_from_the_camera_does_not_matter_but_for_the_size():
    near = described(clip([(100 + 8 * step, 100) for step in range(10)], sizes=(80, 80)))
    far = described(clip([(50 + 4 * step, 50) for step in range(10)], sizes=(40, 40)))
    differing = {name for name in MOTION_FEATURES if near[name] != pytest.approx(far[name], abs=1e-4)}
    assert differing == {"size"}
    assert near["size"] - far["size"] == pytest.approx(np.log(2), abs=1e-4)


@pytest.mark.parametrize("track", [True, False])
def test_the_most_confident_one_stands_for_its_kind(track):
    still = [(50, 50)] * 10
    other = [(row, (200, 200 + row, 240, 240 + row), 0.5) for row in range(10)]
    found = described(clip(still, extra=other), track=track)
    assert found["speed, mean"] == 0
    assert (found["boxes a frame"], found["most boxes in a frame"]) == (2.0, 2.0)
    assert found["confidence, highest"] == pytest.approx(0.9)


def test_a_jump_to_another_of_its_kind_is_no_motion():
    path = [(50, 50)] * 5 + [(300, 50)] * 5
    assert described(clip(path))["speed, mean"] == 0


def test_who_is_not_seen_does_not_move():
    found = described(clip([(50, 50)] * 4, actor=CAT))
    assert found.pop("seconds") == pytest.approx(0.4)
    assert set(found.values()) == {0.0}


def test_a_camera_that_pans_is_not_a_dog_that_runs():
    pan = [(4 * step, 0) for step in range(20)]
    carried = clip([(50 + right, 100) for right, _ in pan], camera=pan)
    assert described(carried)["speed, mean"] == pytest.approx(0, abs=1e-6)
    assert described(carried, camera=False)["speed, mean"] == pytest.approx(np.log1p(1.0), abs=1e-4)
    kept_in_view = clip([(50, 100)] * 20, camera=[(-4 * step, 0) for step in range(20)])
    assert described(kept_in_view)["drift across"] == pytest.approx(1.0, abs=1e-4)


def test_the_one_that_is_followed_is_not_left_for_a_surer_stranger():
    """The stranger is surer in every other frame, and never where the dog is."""
    walk = [(50 + 4 * step, 100) for step in range(20)]
    stranger = [(row, (150, 80, 190, 120), 0.95) for row in range(0, 20, 2)]
    found = described(clip(walk, extra=stranger))
    assert found["speed, mean"] == pytest.approx(np.log1p(1.0), abs=1e-4)
    assert described(clip(walk, extra=stranger), track=False)["speed, mean"] == 0, (
        "leaps are no motion, so none is left"
    )


def test_a_track_ends_after_a_gap_and_the_longest_counts():
    rows = [*range(5), *range(20, 30)]
    found = clip([(50, 50)] * 30)
    kept = np.isin(found.frame_row, rows)
    found = replace(
        found,
        frame_row=found.frame_row[kept],
        boxes=found.boxes[kept],
        confidence=found.confidence[kept],
        actor_index=found.actor_index[kept],
    )
    assert track_actor(found, DOG).frame_row.tolist() == list(range(20, 30))
    assert len(track_actor(found, CAT).boxes) == 0
    assert track_actor(found, DOG).frames == 30
