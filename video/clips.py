"""Reading clips: every frame in order, or single frames by their index.

A clip is a video file, or a folder of frames `00001.png`, `00002.png`, … (the course layout of A2D). Times are the
timestamps of the stream, so variable frame rates are supported; frames are counted by decoding, not from a header.

PyAV and OpenCV are imported when a clip is first read, so that importing this module is cheap.
"""

import hashlib
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from common.errors import TruncatedClipError
from common.files import sha256_file
from video.clip_paths import require_regular_file
from video.decoding import decode_video
from video.frames import ASSUMED_FPS, Frame
from video.image_folder import NUMBERED_FRAME, decode_folder, read_folder_frames_at
from video.random_access import read_video_frames_at


@dataclass(frozen=True)
class FrameBatch:
    """Frames of one clip, all of the same size.

    Attributes:
        frame_index: Shape (B,) int64, index in the clip, from 0.
        time_seconds: Shape (B,) float64, when each is shown, relative to the clip's first frame.
        duration_seconds: Shape (B,) float64, how long each is shown, 0 if unknown.
        images: Shape (B, H, W, 3) uint8, BGR, as displayed: upright, with square pixels.
    """

    frame_index: NDArray[np.int64]
    time_seconds: NDArray[np.float64]
    duration_seconds: NDArray[np.float64]
    images: NDArray[np.uint8]

    def __post_init__(self) -> None:
        """Check the shapes.

        Raises:
            ValueError: If one of them is wrong.
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


@dataclass(frozen=True)
class SelectedFrames:
    """Frames of one clip, of any sizes.

    Attributes:
        frame_index: Shape (N,) int64, index in the clip, from 0.
        time_seconds: Shape (N,) float64, when each is shown, relative to the clip's first frame.
        duration_seconds: Shape (N,) float64, how long each is shown, 0 if unknown.
        images: N images (H, W, 3) uint8, BGR, as displayed: an array (N, H, W, 3) if all are of one size, as those of
            most clips are, otherwise a list.
    """

    frame_index: NDArray[np.int64]
    time_seconds: NDArray[np.float64]
    duration_seconds: NDArray[np.float64]
    images: NDArray[np.uint8] | list[NDArray[np.uint8]]

    def __len__(self) -> int:
        return len(self.frame_index)


def end_seconds(time_seconds: NDArray[np.float64], last_duration_seconds: float) -> float:
    """Return when a clip ends, relative to its first frame.

    Args:
        time_seconds: When each frame is shown, shape (F,), F at least 1.
        last_duration_seconds: How long the last one is shown; if unknown (0), the median interval is used.
    """
    if last_duration_seconds <= 0:
        last_duration_seconds = float(np.median(np.diff(time_seconds))) if len(time_seconds) > 1 else 1 / ASSUMED_FPS
    return float(time_seconds[-1]) + last_duration_seconds


def read_frames(clip: Path, batch_size: int = 16) -> Iterator[FrameBatch]:
    """Read every frame of a clip in display order, in batches.

    Frames are read as players display them: rotated and flipped as the file demands, with square pixels, and HDR
    tone-mapped. A batch never mixes sizes: a new batch starts where the size changes.

    Args:
        clip: A video file, or a folder of `%05d.png` frames; a folder's frames are numbered from 1, gaps are allowed,
            and their times assume 25 frames per second.
        batch_size: Maximum number of frames in a batch.

    Returns:
        An iterator of batches; the file is closed when it is exhausted or deleted.

    Raises:
        ValueError: If the batch size is below 1.
        ClipError: While iterating, if the file does not exist, is not a video, or nothing in it can be decoded.
        TruncatedClipError: After the last frame that could be decoded, if the clip ends early or is damaged.
    """
    if batch_size < 1:
        raise ValueError(f"{batch_size = }, at least 1 was expected")
    return _batches(decode_frames(clip), batch_size)


def read_frames_at(
    clip: Path, frame_indices: Sequence[int], loop_filter: bool = True, intact_frames: int | None = None
) -> SelectedFrames:
    """Read frames of a clip by their index, with the same pixels and times as `read_frames`, in damaged clips too.

    The packets are first indexed without decoding; then only the parts between keyframes that contain a requested
    frame are decoded, once and no further than needed. A clip that cannot be indexed (no timestamps) or is damaged is
    decoded from its start; which clips are is found by decoding each completely once, unless it is known.

    Args:
        clip: As for `read_frames`.
        frame_indices: Indices from 0, in any order, duplicates allowed.
        loop_filter: As for `decode_frames`.
        intact_frames: The number of frames that `read_frames` has read from the clip without an error, 0 if there was
            an error; None if that is not known.

    Returns:
        The frames in the requested order.

    Raises:
        ClipError: If the clip cannot be read or an index is out of range.
    """
    wanted = sorted({int(index) for index in frame_indices})
    found: dict[int, Frame] = {}
    if wanted and clip.is_dir():
        found = read_folder_frames_at(clip, wanted)
    elif wanted:
        found = read_video_frames_at(clip, wanted, loop_filter, intact_frames)
    images = {index: frame.image() for index, frame in found.items()}
    selected = [images[int(index)] for index in frame_indices]
    one_size = len({image.shape for image in selected}) == 1
    frames = [found[int(index)] for index in frame_indices]
    return SelectedFrames(
        frame_index=np.array([frame.index for frame in frames], dtype=np.int64),
        time_seconds=np.array([frame.time_seconds for frame in frames], dtype=np.float64),
        duration_seconds=np.array([frame.duration_seconds for frame in frames], dtype=np.float64),
        images=np.stack(selected) if one_size else selected,
    )


def count_frames(clip: Path) -> int:
    """Count the frames of a clip by decoding it.

    Raises:
        ClipError: As for `read_frames`.
    """
    with closing(decode_frames(clip)) as frames:
        return sum(1 for _ in frames)


def is_frame_folder(folder: Path) -> bool:
    """Return whether a folder is a clip, that is, contains frames named `%05d.png`."""
    return folder.is_dir() and any(NUMBERED_FRAME.fullmatch(path.name) for path in folder.iterdir())


def clip_sha256(clip: Path) -> str:
    """Compute a digest of a clip: of a file's bytes, or of the names and bytes of the files in a folder.

    Returns:
        64 hexadecimal digits.

    Raises:
        ClipError: If it is a pipe or a device, for example.
        OSError: If the clip cannot be read.
    """
    if clip.is_dir():
        files = sorted(path for path in clip.iterdir() if path.is_file())
        return hashlib.sha256("".join(path.name + sha256_file(path) for path in files).encode()).hexdigest()
    require_regular_file(clip)
    return sha256_file(clip)


def decode_frames(clip: Path, loop_filter: bool = True) -> Generator[Frame, None, None]:
    """Decode every frame of a clip in display order; images are only converted on demand.

    Args:
        clip: As for `read_frames`.
        loop_filter: Whether to apply the deblocking filter of the codec. Without it, decoding is cheaper, and pixels
            differ slightly from the correct ones, increasingly until the next keyframe.

    Returns:
        A generator of frames; the file is closed when it is exhausted or closed.

    Raises:
        ClipError: While iterating, as for `read_frames`.
        TruncatedClipError: After the last frame, as for `read_frames`.
    """
    return decode_folder(clip) if clip.is_dir() else decode_video(clip, loop_filter)


def _batches(frames: Generator[Frame, None, None], batch_size: int) -> Iterator[FrameBatch]:
    """Group frames into batches of one size; the last batch is yielded before an error of the source is raised."""
    pending: list[Frame] = []
    truncated: TruncatedClipError | None = None
    # Deleting the iterator must close the file immediately, not when the garbage collector runs.
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
