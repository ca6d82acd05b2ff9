"""A clip for the demo: pan and zoom over photographs that installed packages ship."""

from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from common.errors import ClipError
from video.writer import video_writer

WIDTH, HEIGHT, FPS = 576, 320, 25
SCENE_FRAMES = 38
BLUR_SIZE = 81  # pixels, of the background around a photograph
OVERSAMPLING = 2  # drawn larger, then averaged: directly warping a larger photograph flickers


@dataclass(frozen=True)
class CameraView:
    """A section of a photograph, with the clip's aspect ratio.

    Attributes:
        x: Of its centre, in pixels of the photograph.
        y: Of its centre.
        width: In pixels of the photograph.
    """

    x: float
    y: float
    width: float

    def towards(self, other: "CameraView", share: float) -> "CameraView":
        """Interpolate between this view and another, share in [0, 1]."""
        return CameraView(
            self.x + share * (other.x - self.x),
            self.y + share * (other.y - self.y),
            self.width * (other.width / self.width) ** share,
        )


@dataclass(frozen=True)
class Scene:
    """A photograph and the camera's path over it.

    Attributes:
        package: The package that ships it.
        file: Its path in the package.
        begin: What the first frame shows.
        end: What the last frame shows.
    """

    package: str
    file: str
    begin: CameraView
    end: CameraView


SCENES = (
    Scene("ultralytics", "assets/bus.jpg", CameraView(405, 615, 800), CameraView(330, 580, 620)),
    Scene("skimage", "data/chelsea.png", CameraView(225, 150, 640), CameraView(225, 150, 560)),
    Scene("ultralytics", "assets/zidane.jpg", CameraView(640, 360, 1270), CameraView(760, 330, 900)),
    Scene("skimage", "data/astronaut.png", CameraView(256, 175, 500), CameraView(230, 150, 360)),
)


def write_demo(path: Path) -> None:
    """Write the clip; the same package versions give the same bytes.

    Args:
        path: The MP4 file to write.

    Raises:
        ClipError: If a package or its photograph is not installed.
    """
    with video_writer(path, WIDTH, HEIGHT, FPS) as writer:
        images = (image for scene in SCENES for image in render_scene(scene, SCENE_FRAMES))
        for shown, image in enumerate(images):
            writer.add(image, shown / FPS, 1 / FPS)


def render_scene(scene: Scene, frames: int) -> Iterator[NDArray[np.uint8]]:
    """Yield the frames of a scene, each of shape (HEIGHT, WIDTH, 3).

    Args:
        scene: The photograph, and the camera's path over it.
        frames: Number of frames, at least 2.

    Raises:
        ClipError: If the package or its photograph is not installed.
    """
    photograph = _read(scene)
    for frame in range(frames):
        share = frame / (frames - 1)
        view = scene.begin.towards(scene.end, share * share * (3 - 2 * share))  # starts and ends gently
        yield crop_view(photograph, view)


def crop_view(photograph: NDArray[np.uint8], view: CameraView) -> NDArray[np.uint8]:
    """Render a view of a photograph (H, W, 3) as a frame of the clip, shape (HEIGHT, WIDTH, 3).

    If the view is larger than the photograph, a blurred copy fills the rest.
    """
    import cv2

    scale = OVERSAMPLING * WIDTH / view.width
    size = OVERSAMPLING * WIDTH, OVERSAMPLING * HEIGHT
    shift_x, shift_y = size[0] / 2 - scale * view.x, size[1] / 2 - scale * view.y
    matrix = np.array([[scale, 0, shift_x], [0, scale, shift_y]])
    background = cv2.blur(cv2.resize(photograph, (WIDTH, HEIGHT), interpolation=cv2.INTER_AREA), (BLUR_SIZE, BLUR_SIZE))
    large = cv2.resize(background, size)
    cv2.warpAffine(photograph, matrix, size, large, cv2.INTER_LINEAR, cv2.BORDER_TRANSPARENT)
    return np.asarray(cv2.resize(large, (WIDTH, HEIGHT), interpolation=cv2.INTER_AREA), dtype=np.uint8)


def _read(scene: Scene) -> NDArray[np.uint8]:
    """Read a photograph without importing the package that ships it, which can take seconds."""
    import cv2

    spec = find_spec(scene.package)
    if spec is None or spec.origin is None:
        raise ClipError(f"the demo shows a photograph of {scene.package}, which is not installed: see requirements.txt")
    path = Path(spec.origin).parent / scene.file
    image = cv2.imread(str(path)) if path.is_file() else None
    if image is None:
        raise ClipError(f"{path}: not a readable photograph; the demo shows one that {scene.package} ships there")
    return np.asarray(image, dtype=np.uint8)
