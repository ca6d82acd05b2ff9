"""Truncated, damaged and invalid clips, reported in one line."""

from pathlib import Path

import av
import numpy as np
import photo_clips
import pytest
from fake_clips import (
    Encoder,
    assert_same_frames,
    cut_file,
    make_clip,
    make_sound,
    read_all,
    read_until_error,
    remux,
)

from common.errors import ClipError, TruncatedClipError
from video.clips import read_frames, read_frames_at


def test_missing_file_is_rejected(tmp_path: Path) -> None:
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
def test_files_without_video_are_rejected(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    clip = tmp_path / name
    clip.write_bytes(content)
    for read in (read_all, lambda clip: read_frames_at(clip, [0])):
        with pytest.raises(ClipError, match=message):
            read(clip)


def test_audio_file_is_rejected(tmp_path: Path) -> None:
    with pytest.raises(ClipError, match="there is no video in it"):
        read_all(make_sound(tmp_path / "sound.mp4"))


def test_video_without_frames_is_rejected(tmp_path: Path) -> None:
    with pytest.raises(ClipError, match=r"no frame could be decoded|not a video"):
        read_all(make_clip(tmp_path / "clip.mkv", 0))


def test_video_with_one_frame(tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "clip.mp4", 1)
    whole = read_all(clip)
    assert whole.time_seconds.tolist() == [0]
    assert_same_frames(read_frames_at(clip, [0, 0]), whole, [0, 0])


def test_video_without_decodable_frames_is_rejected(tmp_path: Path) -> None:
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


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clip of 74 frames, the first 22 to 25 of which are in the first half of its bytes."""
    frames = photo_clips.pan(photo_clips.PEOPLE, 74)
    return photo_clips.write_frames(tmp_path_factory.mktemp("source") / "source.mp4", frames, 25)


@pytest.mark.parametrize(
    ("name", "options", "total"),
    [
        pytest.param("cut.mp4", {"movflags": "faststart"}, " of 74", id="mp4"),
        pytest.param("cut.mp4", {"movflags": "frag_keyframe+empty_moov"}, "", id="fragmented-mp4"),
        pytest.param("cut.mkv", {}, "", id="mkv"),
        pytest.param("cut.ts", {}, "", id="ts"),
        pytest.param("cut.flv", {}, "", id="flv"),
    ],
)
def test_truncated_clip_yields_its_frames_first(
    source: Path, tmp_path: Path, name: str, options: dict[str, str], total: str
) -> None:
    clip = cut_file(remux(source, tmp_path / name, **options))
    frames, message = read_until_error(clip)
    assert 21 <= frames <= 26
    assert "cut off or damaged (" in message
    assert message.endswith(f": {frames}{total} frames could be decoded")
    np.testing.assert_array_equal(read_frames_at(clip, [20, 3]).images, read_all(source).images[[20, 3]])


def test_mp4_truncated_between_frames_is_detected(tmp_path: Path) -> None:
    source = make_clip(tmp_path / "whole.mp4", 20)
    clip = remux(source, tmp_path / "cut.mp4", movflags="faststart")
    with av.open(str(clip)) as container:
        ends = [packet.pos + packet.size for packet in container.demux(video=0) if packet.pos is not None]
    clip.write_bytes(clip.read_bytes()[: ends[11]])
    frames, message = read_until_error(clip)
    assert frames == 12
    assert "12 of 20" in message


def test_mp4_without_sample_table_is_rejected(demo_clip: Path, tmp_path: Path) -> None:
    clip = cut_file(remux(demo_clip, tmp_path / "cut.mp4"))
    with pytest.raises(ClipError, match="not a video that can be read"):
        read_all(clip)


def test_damaged_clip_yields_the_other_frames_first(tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "clip.mkv", 40, Encoder("mpeg4", {"g": "5"}))
    with av.open(str(clip)) as container:
        packets = [bytes(packet) for packet in container.demux(video=0) if packet.size]
    clip.write_bytes(clip.read_bytes().replace(packets[20], b"\xff" * len(packets[20])))
    frames, message = read_until_error(clip)
    assert 34 <= frames <= 40
    assert "cut off or damaged" in message


def test_batch_size_below_one_is_rejected_immediately(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="batch_size = 0"):
        read_frames(tmp_path, 0)
