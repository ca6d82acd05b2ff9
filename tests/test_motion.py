"""How an actor moves, from its boxes: known paths, and none."""

import numpy as np
import pytest

from action_heads.crops import MOTION_NUMBERS
from actor_detector.detections import ClipDetections
from actor_detector.motion import MOTION, describe_motion

CAT, DOG = 4, 5


def clip(centres, sizes=(40.0, 40.0), fps=10, actor=DOG, confidence=0.9, extra=()):
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
    )


def described(detections, actor=DOG):
    return dict(zip(MOTION, describe_motion(detections, actor).tolist(), strict=True))


def test_heads_are_told_as_many_numbers_as_have_names():
    assert len(MOTION) == MOTION_NUMBERS == len(set(MOTION))


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
    differing = {name for name in MOTION if near[name] != pytest.approx(far[name], abs=1e-4)}
    assert differing == {"size"}
    assert near["size"] - far["size"] == pytest.approx(np.log(2), abs=1e-4)


def test_the_most_confident_box_stands_for_the_actor():
    still = [(50, 50)] * 10
    other = [(row, (200, 200, 240, 240), 0.5) for row in range(10)]
    found = described(clip(still, extra=other))
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
