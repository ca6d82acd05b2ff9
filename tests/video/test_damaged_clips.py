"""Damaged clips: the same frames, whichever way and however often they are read."""

from pathlib import Path

import av
import numpy as np
import photo_clips
import pytest

from common.errors import TruncatedClipError
from video import decoding, opening
from video.clips import decode_frames, read_frames, read_frames_at

FRAMES = 24

CASES = {
    "h264.mp4": ("libx264", {"g": "8", "threads": "1"}),
    "h264.mkv": ("libx264", {"g": "8", "threads": "1"}),
    "h264.ts": ("libx264", {"g": "8", "threads": "1"}),
    "h264.flv": ("libx264", {"g": "8", "threads": "1"}),
    "mpeg4.avi": ("mpeg4", {"g": "8", "bf": "2"}),
    "mpeg2.mkv": ("mpeg2video", {"g": "8", "bf": "2"}),
    "mpeg2.mpg": ("mpeg2video", {"g": "8", "bf": "2"}),
}


@pytest.fixture(scope="module", params=CASES)
def damaged(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clip of photographs, with a few bytes changed in its second half."""
    codec, options = CASES[request.param]
    clip = tmp_path_factory.mktemp("damaged") / request.param
    images = photo_clips.pan(photo_clips.PEOPLE, FRAMES)
    with av.open(str(clip), "w") as container:
        stream = container.add_stream(codec, rate=25, options=options)
        assert isinstance(stream, av.VideoStream)
        stream.height, stream.width = images.shape[1:3]
        stream.pix_fmt = "yuv420p"
        for image in images:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="bgr24")))
        container.mux(stream.encode(None))
    content = bytearray(clip.read_bytes())
    for percent in (52, 61, 70, 79):
        content[len(content) * percent // 100] ^= 0x5A
    clip.write_bytes(content)
    return clip


def read_all_parts(clip: Path) -> tuple[list[np.ndarray], list[float], str]:
    """Read the images of a clip, their times, and why it is damaged."""
    images: list[np.ndarray] = []
    seconds: list[float] = []
    try:
        for batch in read_frames(clip):
            images += list(batch.images)
            seconds += batch.time_seconds.tolist()
    except TruncatedClipError as reason:
        return images, seconds, str(reason)
    return images, seconds, ""


def forget_what_was_read() -> None:
    """Behave as another process would."""
    decoding._intact_frames.clear()


def test_reading_twice_gives_the_same(damaged: Path) -> None:
    first, second = read_all_parts(damaged), read_all_parts(damaged)
    assert first[2]
    assert first[1:] == second[1:]
    np.testing.assert_array_equal(first[0], second[0])


@pytest.mark.parametrize("intact_frames", [None, 0], ids=["not known", "known"])
def test_frames_by_index_equal_sequential_ones(damaged: Path, intact_frames: int | None) -> None:
    images, seconds, _ = read_all_parts(damaged)
    indices = [len(images) - 1, 0, len(images) // 2, len(images) * 3 // 4]
    forget_what_was_read()
    selected = read_frames_at(damaged, indices, intact_frames=intact_frames)
    assert selected.time_seconds.tolist() == [seconds[index] for index in indices]
    np.testing.assert_array_equal(selected.images, [images[index] for index in indices])


def test_resized_frames_do_not_depend_on_how_many_are_kept(damaged: Path) -> None:
    def read(kept: int) -> list[bytes]:
        frames, found = [], []
        try:
            for frame in decode_frames(damaged):
                frames = [*frames, frame][-kept:]
                found.append(frame.image((160, 90)).tobytes())
        except TruncatedClipError:
            pass
        return found

    assert read(1) == read(FRAMES)


@pytest.mark.parametrize("cores", [1, 2, 8])
def test_faults_are_found_with_any_number_of_cores(damaged: Path, cores: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(opening, "available_cores", lambda: cores)
    images, _, fault = read_all_parts(damaged)
    assert "cut off or damaged" in fault
    assert len(images) >= FRAMES - 6
