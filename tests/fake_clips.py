"""Tiny video files and folders of frames with known contents.

Frame i has the grey level 8 * i (modulo 256) with a blue patch at the top left.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from common.errors import TruncatedClipError
from video.clips import FrameBatch, read_frames

KIT_CLIPS = [
    "adult-climbing__diffusion-motion-transfer-rock-climbing.mp4",
    "adult-climbing__ketutkrisna-turn-vault.mp4",
    "adult-running__prashant-1285-running.mp4",
    "bird-none__ybybzhang-mallard-water.mp4",
    "dog-running__taskswithcode-dog-running.mp4",
]


@dataclass(frozen=True)
class Encoder:
    """How clips are encoded; without options, there are no keyframes at scene changes."""

    codec: str = "libx264"
    options: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Orientation:
    """How players display a clip: rotated counter-clockwise by an angle in degrees, then mirrored."""

    rotation: int
    mirrored: bool = False


def grey(number: int, size: tuple[int, int]) -> np.ndarray:
    """Draw frame `number` with a width and height, shape (H, W, 3), uint8, BGR."""
    image = np.full((size[1], size[0], 3), 8 * number % 256, np.uint8)
    image[: size[1] // 4, : size[0] // 4] = (255, 0, 0)
    return image


def make_clip(
    path: Path,
    frames: int = 30,
    encoder: Encoder = Encoder(),
    *,
    size: tuple[int, int] = (64, 48),
    times_ms: Sequence[int] | None = None,
    orientation: Orientation | None = None,
) -> Path:
    """Write a clip, at 25 frames per second unless times are given, and return its path."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(encoder.codec, rate=25, options={"sc_threshold": "0", **encoder.options})
        assert isinstance(stream, av.VideoStream)
        stream.width, stream.height, stream.pix_fmt = *size, "yuv420p"
        if times_ms is not None:
            stream.codec_context.time_base = Fraction(1, 1000)
        if orientation is not None:
            stream.set_display_rotation(orientation.rotation, hflip=orientation.mirrored)
        container.start_encoding()
        for number in range(frames):
            picture = av.VideoFrame.from_ndarray(grey(number, size), format="bgr24")
            if times_ms is not None:
                picture.pts, picture.time_base = times_ms[number], Fraction(1, 1000)
            container.mux(stream.encode(picture))
        container.mux(stream.encode(None))
    return path


def make_sound(path: Path) -> Path:
    """Write an audio file and return its path."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=16000)
        sound = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
        sound.sample_rate = 16000
        container.mux(stream.encode(sound))
        container.mux(stream.encode(None))
    return path


def remux(source: Path, target: Path, **options: str) -> Path:
    """Copy the packets of a video into another container and return its path."""
    with av.open(str(source)) as reading, av.open(str(target), "w", options=options) as writing:
        stream = reading.streams.video[0]
        copy = writing.add_stream_from_template(stream)
        for packet in reading.demux(stream):
            if packet.dts is not None:
                packet.stream = copy
                writing.mux(packet)
    return target


def cut_file(path: Path, share: float = 0.5) -> Path:
    """Truncate a file to a share of its bytes and return its path."""
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    return path


def make_folder(folder: Path, numbers: Sequence[int]) -> Path:
    """Write a folder of frames with some numbers and return it."""
    folder.mkdir()
    for number in numbers:
        cv2.imwrite(str(folder / f"{number:05d}.png"), grey(number, (64, 48)))
    return folder


def read_all(clip: Path, batch_size: int = 16) -> FrameBatch:
    """Read every frame of a clip into one batch."""
    return join(read_frames(clip, batch_size))


def join(batches: Iterator[FrameBatch]) -> FrameBatch:
    """Concatenate batches."""
    return FrameBatch(*map(np.concatenate, zip(*(vars(batch).values() for batch in batches), strict=True)))


def read_until_error(clip: Path) -> tuple[int, str]:
    """Count the frames before the error for a truncated clip, and return the error message too."""
    frames = 0
    with pytest.raises(TruncatedClipError) as caught:  # noqa: PT012 - the frames before the error are the point
        for batch in read_frames(clip):
            frames += len(batch)
    assert "\n" not in str(caught.value)
    return frames, str(caught.value)


def assert_same_frames(part: FrameBatch, whole: FrameBatch, indices: Sequence[int]) -> None:
    """Assert that a batch consists of the frames of the whole clip with some indices."""
    rows = np.searchsorted(whole.frame_index, indices)
    for name, expected in vars(whole).items():
        np.testing.assert_array_equal(getattr(part, name), expected[rows], err_msg=name)
