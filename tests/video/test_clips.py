"""Decoding: every frame once, at its time, upright; random access to the pixel; bad clips said in one line."""

import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest

from benchmarks.clip_meter import ClipMeter
from common.errors import ClipError, TruncatedClipError
from video import random_access as video_access
from video.clips import FrameBatch, is_frame_folder, read_frames, read_frames_at

KIT_CLIPS = [
    "adult-climbing__diffusion-motion-transfer-rock-climbing.mp4",
    "adult-climbing__ketutkrisna-turn-vault.mp4",
    "adult-running__prashant-1285-running.mp4",
    "bird-none__ybybzhang-mallard-water.mp4",
    "dog-running__taskswithcode-dog-running.mp4",
]


# ---------------------------------------------------------------------------------------------------------------------
# Tiny clips. Frame i is grey level 8 * i (modulo 256) with a blue patch at the top left.


def grey(number: int, size: tuple[int, int]) -> np.ndarray:
    image = np.full((size[1], size[0], 3), 8 * number % 256, np.uint8)
    image[: size[1] // 4, : size[0] // 4] = (255, 0, 0)
    return image


def make_clip(
    path: Path,
    frames: int = 30,
    codec: str = "libx264",
    size: tuple[int, int] = (64, 48),
    times_ms: Sequence[int] | None = None,
    rotation: int | None = None,
    mirrored: bool = False,
    options: dict[str, str] | None = None,
) -> Path:
    """Write a clip, 25 frames a second unless the times are given; the encoder adds no keyframes of its own."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=25, options={"sc_threshold": "0", **(options or {})})
        assert isinstance(stream, av.VideoStream)
        stream.width, stream.height, stream.pix_fmt = *size, "yuv420p"
        if times_ms is not None:
            stream.codec_context.time_base = Fraction(1, 1000)
        if rotation is not None:
            stream.set_display_rotation(rotation, hflip=mirrored)
        container.start_encoding()
        for number in range(frames):
            picture = av.VideoFrame.from_ndarray(grey(number, size), format="bgr24")
            if times_ms is not None:
                picture.pts, picture.time_base = times_ms[number], Fraction(1, 1000)
            container.mux(stream.encode(picture))
        container.mux(stream.encode(None))
    return path


def make_sound(path: Path) -> Path:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=16000)
        sound = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
        sound.sample_rate = 16000
        container.mux(stream.encode(sound))
        container.mux(stream.encode(None))
    return path


def remux(source: Path, target: Path, **options: str) -> Path:
    with av.open(str(source)) as reading, av.open(str(target), "w", options=options) as writing:
        stream = reading.streams.video[0]
        copy = writing.add_stream_from_template(stream)
        for packet in reading.demux(stream):
            if packet.dts is not None:
                packet.stream = copy
                writing.mux(packet)
    return target


def cut_file(path: Path, share: float = 0.5) -> Path:
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    return path


def make_folder(folder: Path, numbers: Sequence[int]) -> Path:
    folder.mkdir()
    for number in numbers:
        cv2.imwrite(str(folder / f"{number:05d}.png"), grey(number, (64, 48)))
    return folder


def read_all(clip: Path, batch_size: int = 16) -> FrameBatch:
    return join(read_frames(clip, batch_size))


def join(batches: Iterator[FrameBatch]) -> FrameBatch:
    return FrameBatch(*map(np.concatenate, zip(*(vars(batch).values() for batch in batches), strict=True)))


def read_until_error(clip: Path) -> tuple[int, str]:
    """Count the frames that come before the clip is said to be truncated, and give the message."""
    frames = 0
    with pytest.raises(TruncatedClipError) as caught:  # noqa: PT012 - the frames before the error are the point
        for batch in read_frames(clip):
            frames += len(batch)
    assert "\n" not in str(caught.value)
    return frames, str(caught.value)


def assert_same_frames(part: FrameBatch, whole: FrameBatch, indices: Sequence[int]) -> None:
    places = np.searchsorted(whole.frame_index, indices)
    for name, expected in vars(whole).items():
        np.testing.assert_array_equal(getattr(part, name), expected[places], err_msg=name)


# ---------------------------------------------------------------------------------------------------------------------
# Every frame


def test_importing_the_module_is_cheap() -> None:
    heavy = "import sys, video.clips; sys.exit(any(name in sys.modules for name in ('av', 'cv2', 'torch')))"
    assert subprocess.run([sys.executable, "-c", heavy], check=False).returncode == 0


@pytest.mark.parametrize("name", KIT_CLIPS)
def test_kit_clips_decode_to_the_last_frame_and_by_index(kit: Path, name: str) -> None:
    clip = kit / "clips" / name
    with av.open(str(clip)) as container:
        kinds = [frame.pict_type for frame in container.decode(video=0)]
        promised = container.streams.video[0].frames
    assert av.video.frame.PictureType.B in kinds
    whole = read_all(clip)
    assert len(whole) == promised
    assert (np.diff(whole.time_seconds) > 0).all()
    draw = np.random.default_rng(0).integers(len(whole), size=6).tolist()
    indices = [*draw, len(whole) - 1, 0, draw[0]]
    assert_same_frames(read_frames_at(clip, indices), whole, indices)


@pytest.mark.parametrize("batch_size", [1, 7, 30, 31])
def test_batches_hold_every_frame_once_and_in_order(tmp_path: Path, batch_size: int) -> None:
    batches = list(read_frames(make_clip(tmp_path / "clip.mp4"), batch_size))
    assert [len(batch) for batch in batches[:-1]] == [batch_size] * (len(batches) - 1)
    whole = join(iter(batches))
    np.testing.assert_array_equal(whole.frame_index, np.arange(30))
    np.testing.assert_allclose(whole.time_seconds, np.arange(30) / 25)
    np.testing.assert_allclose(whole.images[:, 40, 40, 1], np.arange(30) * 8, atol=3)


def test_variable_frame_rate_keeps_its_times(tmp_path: Path) -> None:
    times_ms = [500, 540, 580, 1000, 1010, 2500]
    whole = read_all(make_clip(tmp_path / "clip.mkv", 6, times_ms=times_ms))
    np.testing.assert_allclose(whole.time_seconds, (np.array(times_ms) - 500) / 1000, atol=1e-9)


@pytest.mark.parametrize("suffix", ["h264", "avi"])
def test_missing_or_false_timestamps_become_a_steady_rate(tmp_path: Path, suffix: str) -> None:
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
        pytest.param(-90, True, "top left", id="mirrored-and-turned"),
    ],
)
def test_clips_are_shown_upright(tmp_path: Path, rotation: int, mirrored: bool, corner: str) -> None:
    clip = make_clip(tmp_path / "clip.mp4", 2, rotation=rotation, mirrored=mirrored)
    image = read_all(clip).images[1].astype(int)
    assert image.shape == ((64, 48, 3) if abs(rotation) == 90 else (48, 64, 3))
    rows, columns = np.nonzero(image[..., 0] - image[..., 2] > 100)
    vertical = "top" if rows.mean() < image.shape[0] / 2 else "bottom"
    horizontal = "left" if columns.mean() < image.shape[1] / 2 else "right"
    assert f"{vertical} {horizontal}" == corner
    if not mirrored:  # OpenCV turns clips too, but does not mirror them
        np.testing.assert_array_equal(cv2.VideoCapture(str(clip)).read()[1].shape, image.shape)


def test_a_change_of_size_starts_a_new_batch(tmp_path: Path) -> None:
    small = make_clip(tmp_path / "small.h264", 5)
    large = make_clip(tmp_path / "large.h264", 4, size=(96, 64))
    clip = tmp_path / "both.h264"
    clip.write_bytes(small.read_bytes() + large.read_bytes())
    shapes = [batch.images.shape for batch in read_frames(clip)]
    assert shapes == [(5, 48, 64, 3), (4, 64, 96, 3)]
    assert read_frames_at(clip, [8, 5]).images.shape == (2, 64, 96, 3)
    with pytest.raises(ClipError, match=r"differ in size \(64x48, 96x64\)"):
        read_frames_at(clip, [4, 5])


def test_a_dropped_iterator_closes_the_file(tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "clip.mp4")
    open_files = Path("/proc/self/fd")
    if not open_files.is_dir():
        pytest.skip("needs /proc")
    batches = read_frames(clip, 2)
    next(batches)
    assert clip in [file.readlink() for file in open_files.iterdir() if file.exists()]
    del batches
    assert clip not in [file.readlink() for file in open_files.iterdir() if file.exists()]


# ---------------------------------------------------------------------------------------------------------------------
# Certain frames


@pytest.mark.parametrize(
    ("name", "codec", "options"),
    [
        pytest.param("c.mp4", "libx264", {"g": "10"}, id="short-gops"),
        pytest.param(
            "c.mkv", "libx264", {"x264-params": "keyint=10:scenecut=0:open-gop=1:bframes=3:b-adapt=0"}, id="open-gops"
        ),
        pytest.param("c.mkv", "libx264", {"x264-params": "keyint=10:intra-refresh=1"}, id="intra-refresh"),
        pytest.param("c.ts", "libx264", {"g": "10"}, id="transport-stream"),
        pytest.param("c.webm", "libvpx", {"g": "10"}, id="vp8"),
        pytest.param("c.avi", "libx264", {}, id="no-timestamps"),
        pytest.param("c.avi", "mpeg4", {"bf": "2"}, id="mpeg4"),
        pytest.param("c.mp4", "libx264", {"g": "1"}, id="keyframes-only"),
    ],
)
def test_frames_by_index_are_the_sequential_ones(
    tmp_path: Path, name: str, codec: str, options: dict[str, str]
) -> None:
    clip = make_clip(tmp_path / name, 60, codec, options=options)
    whole = read_all(clip)
    assert len(whole) == 60
    for indices in ([0], [59], [11, 9, 10], [5, 41, 5, 0, 40, 23], list(range(60))):
        assert_same_frames(read_frames_at(clip, indices), whole, indices)


def test_frames_that_an_edit_list_hides_do_not_count(tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "clip.mp4", 90, options={"g": "10"})
    content = bytearray(clip.read_bytes())
    start = content.index(b"elst") + 12  # first entry: duration in ms, then the start in 1/12800 s
    duration, begin = (int.from_bytes(content[start + at : start + at + 4], "big") for at in (0, 4))
    content[start : start + 8] = (duration // 2).to_bytes(4, "big") + (begin + 13 * 512).to_bytes(4, "big")
    clip.write_bytes(content)
    whole = read_all(clip)
    assert len(whole) == 45
    np.testing.assert_allclose(whole.images[0, 40, 40, 1], 13 * 8, atol=3)
    indices = [44, 0, 6, 7]
    assert_same_frames(read_frames_at(clip, indices), whole, indices)


def test_each_gop_is_decoded_at_most_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clip = make_clip(tmp_path / "clip.mp4", 100, options={"g": "10", "bf": "0"})
    decoded: list[int | None] = []
    pictures = video_access.pictures_of

    def watched(*given: Any) -> Iterator[av.VideoFrame]:
        for picture in pictures(*given):
            decoded.append(picture.pts)
            yield picture

    monkeypatch.setattr(video_access, "pictures_of", watched)
    read_frames_at(clip, [57, 52, 53, 31])
    assert len(decoded) == len(set(decoded)) == 8 + 2  # 50–57 and 30–31


def test_asking_for_no_frame_gives_none(tmp_path: Path) -> None:
    assert len(read_frames_at(make_clip(tmp_path / "clip.mp4", 3), [])) == 0


@pytest.mark.parametrize("index", [-1, 30])
def test_an_index_out_of_range_is_named(tmp_path: Path, index: int) -> None:
    with pytest.raises(ClipError, match=rf"clip.mp4: there is no frame {index}: it has 30 frames, 0 to 29$"):
        read_frames_at(make_clip(tmp_path / "clip.mp4"), [3, index])


# ---------------------------------------------------------------------------------------------------------------------
# Bad clips


def test_a_missing_file_is_said(tmp_path: Path) -> None:
    with pytest.raises(ClipError, match=r"gone.mp4: no such file$"):
        read_all(tmp_path / "gone.mp4")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        pytest.param("text.mp4", b"Dear all,\n" * 99, "not a video that can be read", id="text-named-mp4"),
        pytest.param("text.txt", b"Dear all,\n" * 99, "there is no video in it", id="text"),
        pytest.param("empty.mp4", b"", "not a video that can be read", id="no-bytes"),
    ],
)
def test_files_that_are_no_video(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    clip = tmp_path / name
    clip.write_bytes(content)
    for read in (read_all, lambda clip: read_frames_at(clip, [0])):
        with pytest.raises(ClipError, match=message):
            read(clip)


def test_sound_without_video(tmp_path: Path) -> None:
    with pytest.raises(ClipError, match="there is no video in it"):
        read_all(make_sound(tmp_path / "sound.mp4"))


def test_no_frames(tmp_path: Path) -> None:
    with pytest.raises(ClipError, match=r"no frame could be decoded|not a video"):
        read_all(make_clip(tmp_path / "clip.mkv", 0))


def test_one_frame(tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "clip.mp4", 1)
    whole = read_all(clip)
    assert whole.time_seconds.tolist() == [0]
    assert_same_frames(read_frames_at(clip, [0, 0]), whole, [0, 0])


def test_nothing_decodable(tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "clip.mkv", 10)
    with av.open(str(clip)) as container:
        packets = [bytes(packet) for packet in container.demux(video=0) if packet.size]
    content = clip.read_bytes()
    for packet in packets:
        content = content.replace(packet, b"\xff" * len(packet))
    clip.write_bytes(content)
    with pytest.raises(ClipError, match="no frame could be decoded") as caught:
        read_all(clip)
    assert not isinstance(caught.value, TruncatedClipError)


@pytest.mark.parametrize(
    ("name", "options", "promise"),
    [
        pytest.param("cut.mp4", {"movflags": "faststart"}, " of 74", id="mp4"),
        pytest.param("cut.mp4", {"movflags": "frag_keyframe+empty_moov"}, "", id="fragmented-mp4"),
        pytest.param("cut.mkv", {}, "", id="mkv"),
        pytest.param("cut.ts", {}, "", id="ts"),
        pytest.param("cut.flv", {}, "", id="flv"),
    ],
)
def test_a_clip_that_is_cut_off_gives_its_frames_first(
    kit: Path, tmp_path: Path, name: str, options: dict[str, str], promise: str
) -> None:
    source = kit / "clips" / KIT_CLIPS[1]
    clip = cut_file(remux(source, tmp_path / name, **options))
    frames, message = read_until_error(clip)
    assert 36 <= frames <= 39
    assert "cut off or damaged (" in message
    assert message.endswith(f": {frames}{promise} frames could be decoded")
    np.testing.assert_array_equal(read_frames_at(clip, [20, 3]).images, read_all(source).images[[20, 3]])


def test_an_mp4_cut_between_two_frames_is_noticed(tmp_path: Path) -> None:
    source = make_clip(tmp_path / "whole.mp4", 20)
    clip = remux(source, tmp_path / "cut.mp4", movflags="faststart")
    with av.open(str(clip)) as container:
        ends = [packet.pos + packet.size for packet in container.demux(video=0) if packet.pos is not None]
    clip.write_bytes(clip.read_bytes()[: ends[11]])
    frames, message = read_until_error(clip)
    assert frames == 12
    assert "12 of 20" in message


def test_an_mp4_whose_table_is_cut_off_cannot_be_read(kit: Path, tmp_path: Path) -> None:
    clip = cut_file(remux(kit / "clips" / KIT_CLIPS[1], tmp_path / "cut.mp4"))
    with pytest.raises(ClipError, match="not a video that can be read"):
        read_all(clip)


def test_damage_in_the_middle_gives_the_other_frames_first(tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "clip.mkv", 40, "mpeg4", options={"g": "5"})
    with av.open(str(clip)) as container:
        packets = [bytes(packet) for packet in container.demux(video=0) if packet.size]
    clip.write_bytes(clip.read_bytes().replace(packets[20], b"\xff" * len(packets[20])))
    frames, message = read_until_error(clip)
    assert 34 <= frames <= 40
    assert "cut off or damaged" in message


def test_a_batch_size_below_one_is_refused_at_once(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="batch_size = 0"):
        read_frames(tmp_path, 0)


# ---------------------------------------------------------------------------------------------------------------------
# Folders of frames


def test_a_folder_of_numbered_frames_is_a_clip(tmp_path: Path) -> None:
    folder = make_folder(tmp_path / "vid", [2, 3, 7])
    (folder / "notes.txt").touch()
    whole = read_all(folder, 2)
    assert is_frame_folder(folder)
    assert whole.frame_index.tolist() == [1, 2, 6]
    np.testing.assert_allclose(whole.time_seconds, [0.04, 0.08, 0.24])
    np.testing.assert_array_equal(whole.images[2], grey(7, (64, 48)))
    assert_same_frames(read_frames_at(folder, [6, 1, 6]), whole, [6, 1, 6])
    with pytest.raises(ClipError, match=r"there is no frame 3 \(00004.png\): it has 3 frames"):
        read_frames_at(folder, [3])


def test_a_folder_with_a_bad_frame(tmp_path: Path) -> None:
    folder = make_folder(tmp_path / "vid", [1, 2, 3])
    cut_file(folder / "00002.png", 0.1)
    frames, message = read_until_error(folder)
    assert frames == 2
    assert "00002.png cannot be read): 2 of 3 frames" in message
    with pytest.raises(ClipError, match=r"00002\.png: not a readable PNG"):
        read_frames_at(folder, [1])


def test_folders_that_are_no_clips(tmp_path: Path) -> None:
    assert not is_frame_folder(tmp_path)
    with pytest.raises(ClipError, match="a folder without frames"):
        read_all(tmp_path)
    (tmp_path / "00001.png").touch()
    with pytest.raises(ClipError, match="no frame could be decoded"):
        read_all(tmp_path)
    (tmp_path / "00000.png").touch()
    with pytest.raises(ClipError, match="numbered from 00001"):
        read_all(tmp_path)


# ---------------------------------------------------------------------------------------------------------------------
# What was decoded


@pytest.fixture
def batch() -> FrameBatch:
    times = np.array([0.0, 0.1, 0.3])
    return FrameBatch(np.arange(3), times, np.array([0.1, 0.2, 0.5]), np.zeros((3, 48, 64, 3), np.uint8))


def test_a_meter_takes_the_measure_of_a_clip_on_the_way(kit: Path) -> None:
    meter = ClipMeter()
    for batch in read_frames(kit / "clips" / KIT_CLIPS[1]):
        meter.add(batch)
    info = meter.info()
    assert (info.frames, info.width, info.height) == (74, 568, 320)
    assert info.duration_seconds == pytest.approx(74 * 1001 / 24000)
    assert info.fps == pytest.approx(24000 / 1001)


@pytest.mark.parametrize(
    ("durations", "frames", "expected"),
    [
        pytest.param([0.1, 0.2, 0.5], 3, 0.8, id="known"),
        pytest.param([0.0, 0.0, 0.0], 3, 0.3 + 0.15, id="median-gap"),
        pytest.param([0.0], 1, 0.04, id="one-frame"),
    ],
)
def test_the_last_frame_lasts(batch: FrameBatch, durations: list[float], frames: int, expected: float) -> None:
    kept = {name: array[:frames] for name, array in vars(batch).items()}
    meter = ClipMeter()
    meter.add(FrameBatch(**{**kept, "duration_seconds": np.array(durations)}))
    info = meter.info()
    assert (info.frames, info.width, info.height) == (frames, 64, 48)
    assert info.duration_seconds == pytest.approx(expected)


def test_a_meter_that_saw_nothing_says_so() -> None:
    with pytest.raises(ValueError, match="no frame was counted"):
        ClipMeter().info()


def test_a_batch_checks_its_shapes_and_shows_no_pixels(batch: FrameBatch) -> None:
    assert repr(batch) == "FrameBatch(3 frames 0…2, 0.000…0.300 s, 64x48)"
    with pytest.raises(ValueError, match=r"time_seconds.shape = \(2,\)"):
        replace(batch, time_seconds=np.zeros(2))
    with pytest.raises(ValueError, match=r"self.images.shape = \(3, 48, 64\)"):
        replace(batch, images=np.zeros((3, 48, 64), np.uint8))


def test_frames_of_a_clip_may_be_painted_by_several_threads_at_a_time(kit):
    """The decoder's thread makes the detector's input while the heads look at frames before it."""
    code = (
        "import sys; from pathlib import Path; from concurrent.futures import ThreadPoolExecutor; "
        "from video.clips import decode_frames; frames = list(decode_frames(Path(sys.argv[1])))[:40] * 20; "
        "pool = ThreadPoolExecutor(4); print(len({image.tobytes() for image in pool.map(lambda f: f.image(), frames)}))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(kit / "clips" / "cat-none__yrcong-puff.mp4")],
        cwd=Path(__file__).resolve().parents[2],
        capture_output=True,
        text=True,
        check=True,
    )
    assert int(done.stdout) <= 40
