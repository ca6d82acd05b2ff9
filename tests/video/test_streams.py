"""Which of several video streams is read, and which formats and files are not opened."""

from pathlib import Path

import pytest
from av.stream import Disposition
from bad_videos_unusual import Video, write_streams
from fake_clips import make_clip, read_all

from common.errors import ClipError
from video import opening

DEFAULT, NONE, ATTACHED = Disposition.default.value, 0, Disposition.attached_pic.value
LARGE, SMALL = Video(frames=12), Video(size=(32, 24), frames=12)
PHOTO = Video("mjpeg", "yuvj420p", (32, 24), 1)
SLIDES = Video("mjpeg", "yuvj420p", (32, 24), 4, times_ms=[0, 1000, 2000, 3000])


@pytest.mark.parametrize(
    ("suffix", "videos", "dispositions"),
    [
        pytest.param("mkv", [SMALL, LARGE], [NONE, DEFAULT], id="the-default-one"),
        pytest.param("mkv", [LARGE, SMALL], [DEFAULT, NONE], id="the-default-one-first"),
        pytest.param("mp4", [PHOTO, LARGE], [], id="not-a-thumbnail-in-mp4"),
        pytest.param("mkv", [PHOTO, LARGE], [], id="not-a-thumbnail-in-mkv"),
        pytest.param("mkv", [PHOTO, LARGE], [DEFAULT, NONE], id="not-a-default-thumbnail"),
        pytest.param("mkv", [SLIDES, LARGE], [DEFAULT, NONE], id="not-a-slow-series-of-images"),
        pytest.param("mp4", [PHOTO, LARGE], [ATTACHED, DEFAULT], id="not-a-cover"),
        pytest.param("mp4", [LARGE, PHOTO], [DEFAULT, ATTACHED], id="not-a-cover-at-the-end"),
    ],
)
def test_the_stream_that_players_show_is_read(
    tmp_path: Path, suffix: str, videos: list[Video], dispositions: list[int]
) -> None:
    clip = tmp_path / f"clip.{suffix}"
    write_streams(clip, videos, dispositions)
    assert read_all(clip).images.shape == (12, 48, 64, 3)


def test_choice_is_reported_in_one_line(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    clip = tmp_path / "clip.mkv"
    write_streams(clip, [SMALL, LARGE], [NONE, DEFAULT])
    read_all(clip)
    assert caplog.messages == [f"{clip}: of its 2 video streams, number 1 is read (64x48, h264)"]


def test_nothing_is_reported_about_covers(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    clip = tmp_path / "clip.mp4"
    write_streams(clip, [PHOTO, LARGE], [ATTACHED, DEFAULT])
    read_all(clip)
    read_all(make_clip(tmp_path / "one.mp4"))
    assert not caplog.messages


def test_a_lone_photograph_is_a_video_of_one_frame(tmp_path: Path) -> None:
    assert len(read_all(PHOTO.write(tmp_path / "photo.mkv"))) == 1


def test_playlists_do_not_open_other_files(tmp_path: Path) -> None:
    make_clip(tmp_path / "secret.ts")
    playlists = {
        "list.m3u8": "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\nsecret.ts\n#EXT-X-ENDLIST\n",
        "list.mp4": "ffconcat version 1.0\nfile secret.ts\n",
    }
    for name, content in playlists.items():
        (tmp_path / name).write_text(content)
        with pytest.raises(ClipError, match="not a video that can be read"):
            read_all(tmp_path / name)


def test_frames_may_be_8k_but_not_larger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert 7680 * 4320 < opening.MAX_PIXELS < 10_000 * 10_000
    monkeypatch.setattr(opening, "MAX_PIXELS", 64 * 48 - 1)
    with pytest.raises(ClipError, match=r"clip.mp4: (frames of 64x48 pixels are too large|not a video)"):
        read_all(make_clip(tmp_path / "clip.mp4"))
