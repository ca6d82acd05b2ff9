"""Reading folders of numbered frames as clips: `00001.png`, `00002.png`, … (the course layout of A2D).

OpenCV is imported when a frame is first read, so that importing this module is cheap.
"""

import re
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from common.errors import ClipError, TruncatedClipError
from common.heartbeat import beat
from video.clip_paths import require_regular_file
from video.frames import ASSUMED_FPS, Frame, resize_image

NUMBERED_FRAME = re.compile(r"\d{5}\.png")


def _frame_files(folder: Path) -> dict[int, Path]:
    """Return the frame files by frame index (from 0, while files are numbered from 1), in ascending order."""
    names = sorted(path for path in folder.iterdir() if NUMBERED_FRAME.fullmatch(path.name))
    if not names:
        raise ClipError(f"{folder}: a folder without frames; files named 00001.png, 00002.png, … were expected")
    if int(names[0].stem) == 0:
        raise ClipError(f"{names[0]}: frame files are numbered from 00001.png")
    return {int(path.stem) - 1: path for path in names}


@dataclass(frozen=True)
class _ImagePicture:
    """A picture that already is an image, shape (H, W, 3), uint8, BGR."""

    pixels: NDArray[np.uint8]

    @property
    def size(self) -> tuple[int, int]:
        return self.pixels.shape[1], self.pixels.shape[0]

    def image(self, size: tuple[int, int] | None = None) -> NDArray[np.uint8]:
        return self.pixels if size is None else resize_image(self.pixels, size)


def _read_png(index: int, path: Path) -> Frame | None:
    """Read a frame, or return None if the file is not a readable image."""
    import cv2

    beat()
    try:
        require_regular_file(path)  # a named pipe would wait for its writer
        data = np.fromfile(path, dtype=np.uint8)
    except (ClipError, OSError):
        return None
    image = cv2.imdecode(data, cv2.IMREAD_COLOR) if data.size else None
    if image is None:
        return None
    return Frame(index, index / ASSUMED_FPS, 1 / ASSUMED_FPS, _ImagePicture(np.asarray(image, dtype=np.uint8)))


def decode_folder(folder: Path) -> Generator[Frame, None, None]:
    """Read every frame of a folder, in the order of their numbers.

    Yields:
        The frames.

    Raises:
        ClipError: If the folder has no frames, or none can be read.
        TruncatedClipError: After the last frame, if some of them could not be read.
    """
    files = _frame_files(folder)
    unreadable: list[str] = []
    for index, path in files.items():
        frame = _read_png(index, path)
        if frame is None:
            unreadable.append(path.name)
        else:
            yield frame
    if len(unreadable) == len(files):
        raise ClipError(f"{folder}: no frame could be decoded (the first is {unreadable[0]})")
    if unreadable:
        decoded = len(files) - len(unreadable)
        raise TruncatedClipError(
            f"{folder}: cut off or damaged ({unreadable[0]} cannot be read): "
            f"{decoded} of {len(files)} frames could be decoded"
        )


def read_folder_frames_at(folder: Path, wanted: Sequence[int]) -> dict[int, Frame]:
    """Read frames of a folder by their index.

    Args:
        folder: The folder.
        wanted: Frame indices from 0.

    Returns:
        The frames by index.

    Raises:
        ClipError: If there is no such frame, or it cannot be read.
    """
    files = _frame_files(folder)
    found: dict[int, Frame] = {}
    for index in wanted:
        if index not in files:
            raise ClipError(f"{folder}: there is no frame {index} ({index + 1:05d}.png): it has {len(files)} frames")
        frame = _read_png(index, files[index])
        if frame is None:
            raise ClipError(f"{files[index]}: not a readable PNG image")
        found[index] = frame
    return found
