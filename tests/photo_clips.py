"""Short clips of people and a cat, made from photographs that installed packages ship: they need no downloaded data."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pipeline.visualization.demo_clip import CameraView, Scene, _read, crop_view
from video.writer import video_writer

FRAMES, FPS = 8, 4

PEOPLE = Scene("ultralytics", "assets/bus.jpg", CameraView(405, 615, 800), CameraView(330, 580, 620))
CAT = Scene("skimage", "data/chelsea.png", CameraView(225, 150, 640), CameraView(225, 150, 600))
PERSON_ON_THE_LEFT = Scene("ultralytics", "assets/bus.jpg", CameraView(230, 640, 800), CameraView(230, 640, 700))


def write_people(path: Path, fps: float = FPS) -> Path:
    """Write a clip of people in the street and return its path."""
    return write_frames(path, pan(PEOPLE), fps)


def write_cat(path: Path, fps: float = FPS) -> Path:
    """Write a clip of a cat and return its path."""
    return write_frames(path, pan(CAT), fps)


def write_people_and_cat(path: Path, fps: float = FPS) -> Path:
    """Write a clip with a person in the left half of every frame and a cat in the right half, and return its path."""
    return write_frames(path, side_by_side(pan(PERSON_ON_THE_LEFT), pan(CAT)), fps)


def pan(scene: Scene, frames: int = FRAMES) -> NDArray[np.uint8]:
    """Render a camera's path over a photograph, shape (frames, HEIGHT, WIDTH, 3)."""
    photograph = _read(scene)
    shares = np.linspace(0, 1, frames)
    return np.stack([crop_view(photograph, scene.begin.towards(scene.end, float(share))) for share in shares])


def side_by_side(left: NDArray[np.uint8], right: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Join the middle halves of two clips' frames."""
    quarter = left.shape[2] // 4
    return np.concatenate([left[:, :, quarter:-quarter], right[:, :, quarter:-quarter]], axis=2)


def write_frames(path: Path, images: Sequence[NDArray[np.uint8]] | NDArray[np.uint8], fps: float = FPS) -> Path:
    """Encode images, all of one even size, as an H.264 video and return its path."""
    height, width = images[0].shape[:2]
    with video_writer(path, width, height, fps) as writer:
        for index, image in enumerate(images):
            writer.add(np.ascontiguousarray(image), index / fps, 1 / fps)
    return path
