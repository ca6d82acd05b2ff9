"""Decoding of every frame, in order, upright and at its time."""

import gc
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from fake_clips import KIT_CLIPS, Orientation, assert_same_frames, join, make_clip, read_all

from video.clips import FrameBatch, count_frames, decode_frames, end_seconds, read_frames, read_frames_at


def test_import_loads_no_heavy_library() -> None:
    heavy = "import sys, video.clips; sys.exit(any(name in sys.modules for name in ('av', 'cv2', 'torch')))"
    assert subprocess.run([sys.executable, "-c", heavy], check=False).returncode == 0


@pytest.fixture(params=["demo", *KIT_CLIPS])
def long_clip(request, demo_clip: Path) -> Path:
    """The demo clip, or a real one."""
    return demo_clip if request.param == "demo" else request.getfixturevalue("kit") / "clips" / request.param


def test_long_clips_are_decoded_completely_and_by_index(long_clip: Path) -> None:
    clip = long_clip
    with av.open(str(clip)) as container:
        kinds = [frame.pict_type for frame in container.decode(video=0)]
        expected = container.streams.video[0].frames
    assert av.video.frame.PictureType.B in kinds
    whole = read_all(clip)
    assert len(whole) == count_frames(clip) == expected
    assert (np.diff(whole.time_seconds) > 0).all()
    draw = np.random.default_rng(0).integers(len(whole), size=6).tolist()
    indices = [*draw, len(whole) - 1, 0, draw[0]]
    assert_same_frames(read_frames_at(clip, indices), whole, indices)


@pytest.mark.parametrize("batch_size", [1, 7, 30, 31])
def test_batches_contain_every_frame_once_and_in_order(tmp_path: Path, batch_size: int) -> None:
    batches = list(read_frames(make_clip(tmp_path / "clip.mp4"), batch_size))
    assert [len(batch) for batch in batches[:-1]] == [batch_size] * (len(batches) - 1)
    whole = join(iter(batches))
    np.testing.assert_array_equal(whole.frame_index, np.arange(30))
    np.testing.assert_allclose(whole.time_seconds, np.arange(30) / 25)
    np.testing.assert_allclose(whole.images[:, 40, 40, 1], np.arange(30) * 8, atol=3)


def test_variable_frame_rate_is_preserved(tmp_path: Path) -> None:
    times_ms = [500, 540, 580, 1000, 1010, 2500]
    whole = read_all(make_clip(tmp_path / "clip.mkv", 6, times_ms=times_ms))
    np.testing.assert_allclose(whole.time_seconds, (np.array(times_ms) - 500) / 1000, atol=1e-9)


@pytest.mark.parametrize("suffix", ["h264", "avi"])
def test_missing_or_wrong_timestamps_become_a_constant_rate(tmp_path: Path, suffix: str) -> None:
    whole = read_all(make_clip(tmp_path / f"clip.{suffix}"))
    assert whole.time_seconds[0] == 0
    assert (np.diff(whole.time_seconds) > 0).all()
    assert whole.time_seconds[-1] == pytest.approx(29 / 25, abs=0.2)


@pytest.mark.parametrize(
    ("rotation", "mirrored", "corner"),
    [
        pytest.param(-90, False, "top right", id="rotate=90"),
        pytest.param(180, False, "bottom right", id="rotate=180"),
        pytest.param(90, False, "bottom left", id="rotate=270"),
        pytest.param(0, True, "top right", id="mirrored"),
        pytest.param(-90, True, "top left", id="mirrored-and-rotated"),
    ],
)
def test_frames_are_upright(tmp_path: Path, rotation: int, mirrored: bool, corner: str) -> None:
    clip = make_clip(tmp_path / "clip.mp4", 2, orientation=Orientation(rotation, mirrored))
    image = read_all(clip).images[1].astype(int)
    assert image.shape == ((64, 48, 3) if abs(rotation) == 90 else (48, 64, 3))
    rows, columns = np.nonzero(image[..., 0] - image[..., 2] > 100)
    vertical = "top" if rows.mean() < image.shape[0] / 2 else "bottom"
    horizontal = "left" if columns.mean() < image.shape[1] / 2 else "right"
    assert f"{vertical} {horizontal}" == corner
    if not mirrored:  # OpenCV rotates clips too, but does not mirror them
        np.testing.assert_array_equal(cv2.VideoCapture(str(clip)).read()[1].shape, image.shape)


def test_change_of_size_starts_a_new_batch(tmp_path: Path) -> None:
    small = make_clip(tmp_path / "small.h264", 5)
    large = make_clip(tmp_path / "large.h264", 4, size=(96, 64))
    clip = tmp_path / "both.h264"
    clip.write_bytes(small.read_bytes() + large.read_bytes())
    shapes = [batch.images.shape for batch in read_frames(clip)]
    assert shapes == [(5, 48, 64, 3), (4, 64, 96, 3)]
    assert read_frames_at(clip, [8, 5]).images.shape == (2, 64, 96, 3)
    mixed = read_frames_at(clip, [5, 4, 5])
    assert mixed.frame_index.tolist() == [5, 4, 5]
    whole = [image for batch in read_frames(clip) for image in batch.images]
    for image, index in zip(mixed.images, (5, 4, 5), strict=True):
        np.testing.assert_array_equal(image, whole[index])


def test_deleting_the_iterator_closes_the_file(tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "clip.mp4")
    open_files = Path("/proc/self/fd")
    if not open_files.is_dir():
        pytest.skip("needs /proc")
    batches = read_frames(clip, 2)
    next(batches)
    assert clip in [file.readlink() for file in open_files.iterdir() if file.exists()]
    del batches
    assert clip not in [file.readlink() for file in open_files.iterdir() if file.exists()]


@pytest.mark.parametrize("rotation", [0, 90])
def test_pictures_are_freed_without_a_collection_of_cycles(tmp_path: Path, rotation: int) -> None:
    clip = make_clip(tmp_path / "clip.mp4", 5, orientation=Orientation(rotation, mirrored=False))
    gc.collect()
    gc.disable()
    try:
        for frame in decode_frames(clip):
            frame.image()
        del frame
        gc.set_debug(gc.DEBUG_SAVEALL)
        gc.collect()
        assert [kept for kept in gc.garbage if isinstance(kept, (av.VideoFrame, np.ndarray))] == []
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
        gc.enable()


@pytest.fixture
def batch() -> FrameBatch:
    times = np.array([0.0, 0.1, 0.3])
    return FrameBatch(np.arange(3), times, np.array([0.1, 0.2, 0.5]), np.zeros((3, 48, 64, 3), np.uint8))


def test_kit_clip_has_its_duration_and_size(kit: Path) -> None:
    whole = read_all(kit / "clips" / KIT_CLIPS[1])
    assert whole.images.shape == (74, 320, 568, 3)
    duration_seconds = end_seconds(whole.time_seconds, float(whole.duration_seconds[-1]))
    assert duration_seconds == pytest.approx(74 * 1001 / 24000)


@pytest.mark.parametrize(
    ("last_duration_seconds", "frames", "expected"),
    [
        pytest.param(0.5, 3, 0.8, id="known"),
        pytest.param(0.0, 3, 0.3 + 0.15, id="median-interval"),
        pytest.param(0.0, 1, 0.04, id="one-frame"),
    ],
)
def test_end_seconds_includes_the_last_frame(last_duration_seconds: float, frames: int, expected: float) -> None:
    times = np.array([0.0, 0.1, 0.3])[:frames]
    assert end_seconds(times, last_duration_seconds) == pytest.approx(expected)


def test_frame_batch_checks_shapes_and_has_a_short_repr(batch: FrameBatch) -> None:
    assert repr(batch) == "FrameBatch(3 frames 0…2, 0.000…0.300 s, 64x48)"
    with pytest.raises(ValueError, match=r"time_seconds.shape = \(2,\)"):
        replace(batch, time_seconds=np.zeros(2))
    with pytest.raises(ValueError, match=r"self.images.shape = \(3, 48, 64\)"):
        replace(batch, images=np.zeros((3, 48, 64), np.uint8))


def test_frames_can_be_converted_by_several_threads(demo_clip):
    """The decoder's thread converts the detector's input while the heads convert earlier frames."""
    code = (
        "import sys; from pathlib import Path; from concurrent.futures import ThreadPoolExecutor; "
        "from video.clips import decode_frames; frames = list(decode_frames(Path(sys.argv[1])))[:40] * 20; "
        "pool = ThreadPoolExecutor(4); print(len({image.tobytes() for image in pool.map(lambda f: f.image(), frames)}))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(demo_clip)],
        cwd=Path(__file__).resolve().parents[2],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,  # without a lock, the threads can block each other forever
    )
    assert int(done.stdout) <= 40
