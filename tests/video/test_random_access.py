"""Frames by index, identical to sequential reading."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from fake_clips import Encoder, assert_same_frames, make_clip, read_all

from common.errors import ClipError
from video import random_access
from video.clips import read_frames_at


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
def test_read_frames_at_equals_sequential_reading(
    tmp_path: Path, name: str, codec: str, options: dict[str, str]
) -> None:
    clip = make_clip(tmp_path / name, 60, Encoder(codec, options))
    whole = read_all(clip)
    assert len(whole) == 60
    for indices in ([0], [59], [11, 9, 10], [5, 41, 5, 0, 40, 23], list(range(60))):
        assert_same_frames(read_frames_at(clip, indices), whole, indices)


def test_frames_excluded_by_an_edit_list_are_not_counted(tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "clip.mp4", 90, Encoder(options={"g": "10"}))
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
    clip = make_clip(tmp_path / "clip.mp4", 100, Encoder(options={"g": "10", "bf": "0"}))
    decoded: list[int | None] = []
    decode_packets = random_access.decode_packets

    def record(*arguments: Any) -> Iterator[av.VideoFrame]:
        for picture in decode_packets(*arguments):
            decoded.append(picture.pts)
            yield picture

    monkeypatch.setattr(random_access, "decode_packets", record)
    read_frames_at(clip, [57, 52, 53, 31])
    assert len(decoded) == len(set(decoded)) == 8 + 2  # 50–57 and 30–31


def test_read_frames_at_without_indices_is_empty(tmp_path: Path) -> None:
    assert len(read_frames_at(make_clip(tmp_path / "clip.mp4", 3), [])) == 0


@pytest.mark.parametrize("index", [-1, 30])
def test_index_out_of_range_is_rejected(tmp_path: Path, index: int) -> None:
    with pytest.raises(ClipError, match=rf"clip.mp4: there is no frame {index}: it has 30 frames, 0 to 29$"):
        read_frames_at(make_clip(tmp_path / "clip.mp4"), [3, index])
