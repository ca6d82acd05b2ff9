"""The camera's motion: a textured wall that pans past, one that stands, and a cut."""

import cv2
import numpy as np
import pytest

from actor_detector.clip_detection import detect_clip
from actor_detector.letterbox import Letterbox
from actor_detector.motion.camera import CameraMotion
from actor_detector.yolo import YoloActorDetector


@pytest.fixture(scope="module")
def wall():
    noise = np.random.default_rng(0).integers(0, 255, (600, 1000, 3)).astype(np.uint8)
    return cv2.GaussianBlur(noise, (0, 0), 4)


def follow(images, image_size=320):
    path, positions = CameraMotion(), []
    for image in images:
        letterbox = Letterbox.fit((image.shape[1], image.shape[0]), image_size)
        inputs = letterbox.canvas(1)[0]
        letterbox.place(image, inputs)
        positions.append(path.follow(inputs, letterbox))
    return np.array(positions)


@pytest.mark.parametrize("step", [(0, 0), (10, 0), (-6, 4)])
@pytest.mark.parametrize("size", [(320, 180), (180, 320)])
def test_a_pan_is_followed(wall, step, size):
    right, down = step
    corners = [(400 + right * frame, 60 + down * frame) for frame in range(12)]
    positions = follow([wall[top : top + size[1], left : left + size[0]] for left, top in corners])
    assert positions.shape == (12, 2)
    np.testing.assert_allclose(positions, -np.outer(np.arange(12), step), atol=12 * (0.2 + 0.2 * np.hypot(*step)))
    assert positions[0].tolist() == [0, 0]


def test_a_cut_is_no_motion(wall):
    other = cv2.GaussianBlur(np.random.default_rng(1).integers(0, 255, (180, 320, 3)).astype(np.uint8), (0, 0), 2)
    assert follow([wall[:180, :320], other]).tolist() == [[0, 0], [0, 0]]


def test_frames_of_another_size_start_anew(wall):
    positions = follow([wall[:180, :320], wall[:180, 10:330], wall[:320, :180], wall[:320, 10:190]])
    np.testing.assert_allclose(positions[:, 0], [0, -10, -10, -20], atol=1)


def test_detections_hold_the_path(kit, yolo, taxonomy):
    detector = YoloActorDetector(yolo, taxonomy, confidence=0.25, batch_size=5)
    found = detect_clip(detector, kit / "clips" / "dog-walking__ground-a-video-dog-walking.mp4")
    assert found.camera.shape == (found.frames, 2)
    near = found.near(4, 0.1)
    np.testing.assert_array_equal(near.camera, found.camera[near.frame_index])
