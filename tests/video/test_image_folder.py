"""Folders of numbered frames as clips."""

from pathlib import Path

import numpy as np
import pytest
from fake_clips import assert_same_frames, cut_file, grey, make_folder, read_all, read_until_error

from common.errors import ClipError
from video.clips import is_frame_folder, read_frames_at


def test_folder_of_numbered_frames_is_a_clip(tmp_path: Path) -> None:
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


def test_folder_with_an_unreadable_frame(tmp_path: Path) -> None:
    folder = make_folder(tmp_path / "vid", [1, 2, 3])
    cut_file(folder / "00002.png", 0.1)
    frames, message = read_until_error(folder)
    assert frames == 2
    assert "00002.png cannot be read): 2 of 3 frames" in message
    with pytest.raises(ClipError, match=r"00002\.png: not a readable PNG"):
        read_frames_at(folder, [1])


def test_folders_without_frames_are_rejected(tmp_path: Path) -> None:
    assert not is_frame_folder(tmp_path)
    with pytest.raises(ClipError, match="a folder without frames"):
        read_all(tmp_path)
    (tmp_path / "00001.png").touch()
    with pytest.raises(ClipError, match="no frame could be decoded"):
        read_all(tmp_path)
    (tmp_path / "00000.png").touch()
    with pytest.raises(ClipError, match="numbered from 00001"):
        read_all(tmp_path)
