"""Clips into frames: every frame in order, or the frames that are asked for, exactly.

A clip is a video file, or a folder of frames `00001.png`, `00002.png`, … (the course's A2D layout). Times come from the
stream's own timestamps, so a variable frame rate is right; counts come from what was decoded, never from a header.

PyAV and OpenCV are imported when a clip is first read, so that importing this module is cheap.
"""

import hashlib
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from common.errors import ClipError, TruncatedClipError
from common.files import sha256_file
from video.decoding import decode_video
from video.frames import ASSUMED_FPS, Frame
from video.image_folder import NUMBERED_FRAME, decode_folder, read_folder_frames_at
from video.random_access import read_video_frames_at


@dataclass(frozen=True)
class FrameBatch:
    """Some frames of one clip, all of one size.

    Attributes:
        frame_index: Shape (B,) int64, place in the clip, from 0.
        time_seconds: Shape (B,) float64, when each is shown, from the clip's first frame on.
        duration_seconds: Shape (B,) float64, how long each is shown, 0 where the clip does not say.
        images: Shape (B, H, W, 3) uint8, BGR, upright.
    """

    frame_index: NDArray[np.int64]
    time_seconds: NDArray[np.float64]
    duration_seconds: NDArray[np.float64]
    images: NDArray[np.uint8]

    def __post_init__(self) -> None:
        """Check the shapes.

        Raises:
            ValueError: If one is wrong.
        """
        if self.images.ndim != 4 or self.images.shape[-1] != 3 or self.images.dtype != np.uint8:
            raise ValueError(f"{self.images.shape = }, {self.images.dtype = }; (B, H, W, 3) uint8 was expected")
        for name in ("frame_index", "time_seconds", "duration_seconds"):
            if getattr(self, name).shape != self.images.shape[:1]:
                raise ValueError(f"self.{name}.shape = {getattr(self, name).shape}, {self.images.shape = }")

    def __len__(self) -> int:
        return len(self.frame_index)

    def __repr__(self) -> str:
        if not len(self):
            return "FrameBatch(no frames)"
        height, width = self.images.shape[1:3]
        return (
            f"FrameBatch({len(self)} frames {self.frame_index[0]}…{self.frame_index[-1]}, "
            f"{self.time_seconds[0]:.3f}…{self.time_seconds[-1]:.3f} s, {width}x{height})"
        )


def end_seconds(time_seconds: NDArray[np.float64], last_duration_seconds: float) -> float:
    """Say when a clip ends, from its first frame on.

    Args:
        time_seconds: When each frame is shown, shape (F,), F at least 1.
        last_duration_seconds: How long the last one is; where that is unknown (0), the median gap stands in.
    """
    last = last_duration_seconds
    if last <= 0:
        last = float(np.median(np.diff(time_seconds))) if len(time_seconds) > 1 else 1 / ASSUMED_FPS
    return float(time_seconds[-1]) + last


def read_frames(clip: Path, batch_size: int = 16) -> Iterator[FrameBatch]:
    """Read every frame of a clip, in the order they are shown, a bounded number at a time.

    Rotation that the file asks for is applied. A batch never mixes sizes: where the size changes, a new batch starts.

    Args:
        clip: A video file, or a folder of `%05d.png` frames; a folder's frames are numbered from 1, gaps are allowed,
            and their times assume 25 frames per second.
        batch_size: Most frames in a batch.

    Returns:
        An iterator of batches; the file is closed when it ends or is dropped.

    Raises:
        ValueError: If the batch size is below 1.
        ClipError: While iterating, if there is no such file, it holds no video, or nothing in it can be decoded.
        TruncatedClipError: After the last frame that could be decoded, if the clip ends early or is damaged.
    """
    if batch_size < 1:
        raise ValueError(f"{batch_size = }, at least 1 was expected")
    return _batches(decode_frames(clip), batch_size)


def read_frames_at(clip: Path, frame_indices: Sequence[int], loop_filter: bool = True) -> FrameBatch:
    """Read certain frames of a clip: the very pixels and times that `read_frames` gives for them.

    The packets are read once without decoding, to learn which frame lies where; then each stretch between keyframes
    that holds a wanted frame is decoded, once and no further than needed. A clip whose packets do not tell (no
    timestamps, damage) is decoded from its start.

    Args:
        clip: As for `read_frames`.
        frame_indices: Places in the clip, from 0, in any order, repeats allowed.
        loop_filter: As for `decode_frames`.

    Returns:
        The frames in the order asked for.

    Raises:
        ClipError: If the clip cannot be read, an index is out of range, or the wanted frames differ in size.
    """
    wanted = sorted({int(index) for index in frame_indices})
    if not wanted:
        return _stack([], (0, 0))
    found = read_folder_frames_at(clip, wanted) if clip.is_dir() else read_video_frames_at(clip, wanted, loop_filter)
    sizes = {frame.size for frame in found.values()}
    if len(sizes) > 1:
        listed = ", ".join(f"{width}x{height}" for width, height in sorted(sizes))
        raise ClipError(f"{clip}: the frames asked for differ in size ({listed}); ask for them one size at a time")
    return _stack([found[int(index)] for index in frame_indices], sizes.pop())


def count_frames(clip: Path) -> int:
    """Count a clip's frames by decoding it.

    Raises:
        ClipError: As for `read_frames`.
    """
    with closing(decode_frames(clip)) as frames:
        return sum(1 for _ in frames)


def is_frame_folder(folder: Path) -> bool:
    """Say whether a folder is a clip in itself: it holds frames named `%05d.png`."""
    return folder.is_dir() and any(NUMBERED_FRAME.fullmatch(path.name) for path in folder.iterdir())


def clip_sha256(clip: Path) -> str:
    """Hash a clip: a file's bytes, or the names and bytes of a folder of frames.

    Raises:
        OSError: If it cannot be read.
    """
    if clip.is_dir():
        names = sorted(path for path in clip.iterdir() if path.is_file())
        return hashlib.sha256("".join(path.name + sha256_file(path) for path in names).encode()).hexdigest()
    return sha256_file(clip)


def decode_frames(clip: Path, loop_filter: bool = True) -> Generator[Frame, None, None]:
    """Decode every frame of a clip, in the order they are shown, and make an image only of what is asked for one.

    Args:
        clip: As for `read_frames`.
        loop_filter: Whether the decoder smooths the edges of its blocks. Without it decoding is cheaper, and pixels
            differ a little from what the encoder meant, more with every frame up to the next keyframe.

    Returns:
        A generator of frames; the file is closed when it ends or is closed.

    Raises:
        ClipError: While iterating, as for `read_frames`.
        TruncatedClipError: After the last frame, likewise.
    """
    return decode_folder(clip) if clip.is_dir() else decode_video(clip, loop_filter)


def _batches(frames: Generator[Frame, None, None], batch_size: int) -> Iterator[FrameBatch]:
    """Gather frames of one size; what was gathered is given out before an error of the source goes on."""
    pending: list[Frame] = []
    truncated: TruncatedClipError | None = None
    # A dropped iterator must close the file now, not when the garbage collector gets there.
    with closing(frames):
        try:
            for frame in frames:
                if pending and (len(pending) == batch_size or frame.size != pending[0].size):
                    batch, pending = _stack(pending, pending[0].size), []
                    yield batch
                    del batch
                pending.append(frame)
        except TruncatedClipError as error:
            truncated = error
        if pending:
            yield _stack(pending, pending[0].size)
    if truncated:
        raise truncated


def _stack(frames: Sequence[Frame], size: tuple[int, int]) -> FrameBatch:
    width, height = size
    images = np.empty((len(frames), height, width, 3), dtype=np.uint8)
    for row, frame in enumerate(frames):
        images[row] = frame.image()
    return FrameBatch(
        frame_index=np.array([frame.index for frame in frames], dtype=np.int64),
        time_seconds=np.array([frame.time_seconds for frame in frames], dtype=np.float64),
        duration_seconds=np.array([frame.duration_seconds for frame in frames], dtype=np.float64),
        images=images,
    )
