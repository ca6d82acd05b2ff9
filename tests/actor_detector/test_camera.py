"""Camera motion: a textured wall during a pan, without motion, and at a cut."""

import cv2
import numpy as np
import pytest
from single_clip import detect_clip

from actor_detector.detector_settings import DetectorSettings
from actor_detector.letterbox import Letterbox
from actor_detector.motion.camera import CameraMotion
from actor_detector.yolo import YoloActorDetector
from common.paths import MODELS


@pytest.fixture(scope="module")
def wall():
    noise = np.random.default_rng(0).integers(0, 255, (600, 1000, 3)).astype(np.uint8)
    return cv2.GaussianBlur(noise, (0, 0), 4)


def shifts(images, image_size=320):
    motion, found = CameraMotion(), []
    for image in images:
        letterbox = Letterbox.fit((image.shape[1], image.shape[0]), image_size)
        (inputs,) = letterbox.canvas(1)
        letterbox.paste(image, inputs)
        found.append(motion.update(inputs, letterbox))
    return np.array(found)


@pytest.mark.parametrize("step", [(0, 0), (10, 0), (-6, 4)])
@pytest.mark.parametrize("size", [(320, 180), (180, 320)])
def test_pan_shifts_the_content_the_other_way(wall, step, size):
    right, down = step
    corners = [(400 + right * frame, 60 + down * frame) for frame in range(12)]
    found = shifts([wall[top : top + size[1], left : left + size[0]] for left, top in corners])
    assert found.shape == (12, 2)
    np.testing.assert_allclose(found, -np.outer(np.arange(12), step), atol=12 * (0.2 + 0.2 * np.hypot(*step)))
    assert found[0].tolist() == [0, 0]


def test_borders_do_not_bias_the_shift_of_soft_content():
    """Registration treats images as periodic, so that without a window their borders would be static edges."""
    noise = np.random.default_rng(1).integers(0, 255, (180, 430, 3)).astype(np.float32)
    soft = cv2.normalize(cv2.GaussianBlur(noise, (0, 0), 20), None, 0, 255, cv2.NORM_MINMAX).astype(np.uint8)
    found = shifts([soft[:, left : left + 320] for left in range(0, 110, 10)])
    np.testing.assert_allclose(found[-1], [-100, 0], atol=10)


def test_cut_is_not_motion(wall):
    other = cv2.GaussianBlur(np.random.default_rng(1).integers(0, 255, (180, 320, 3)).astype(np.uint8), (0, 0), 2)
    assert shifts([wall[:180, :320], other]).tolist() == [[0, 0], [0, 0]]


def test_change_of_frame_size_is_not_motion(wall):
    found = shifts([wall[:180, :320], wall[:180, 10:330], wall[:320, :180], wall[:320, 10:190]])
    np.testing.assert_allclose(found[:, 0], [0, -10, -10, -20], atol=1)


def test_detections_contain_the_shift_at_every_frame(people_and_cat_clip, taxonomy):
    weights = MODELS / "actor_detector.safetensors"
    detector = YoloActorDetector(weights, taxonomy, DetectorSettings(320, 0.25), batch_size=5)
    detections = detect_clip(detector, people_and_cat_clip)
    assert detections.camera.shape == (detections.frames, 2)
    near = detections.near(4, 0.1)
    np.testing.assert_array_equal(near.camera, detections.camera[near.frame_index])
