"""Frames of clips in a work folder: broken clips are skipped, and clips of one name do not share frames."""

import cv2
import pytest
from fake_clips import make_clip

from a2d.formats.base import Sample
from a2d.skipped_samples import SkippedSamples
from common.errors import DatasetError
from pipeline.training.work_folder import extract_frames


def sample(clip, line):
    return Sample(clip, None, (), "train", clip.name, f"clips.csv:{line}")


def test_a_broken_clip_is_skipped_with_its_line(tmp_path):
    good, broken = make_clip(tmp_path / "b.mp4"), tmp_path / "a.mp4"
    broken.write_text("no video")
    samples, skipped = [sample(good, 2), sample(broken, 3)], SkippedSamples()
    frames = extract_frames(tmp_path / "work", samples, 3, skipped=skipped)
    assert {clip: len(files) for clip, files in frames.items()} == {good: 3}
    (reason,) = skipped.reasons
    assert reason.startswith(f"clips.csv:3: {broken}: not a video")
    with pytest.raises(DatasetError, match=r"clips\.csv:3: "):
        extract_frames(tmp_path / "work", samples, 3)


def test_clips_of_one_name_have_frames_of_their_own(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    clips = [make_clip(tmp_path / "a" / "x.mp4"), make_clip(tmp_path / "b" / "x.mp4", size=(32, 24))]
    for _ in range(2):  # the second time, they are found in the work folder
        frames = extract_frames(tmp_path / "work", [sample(clip, 1) for clip in clips], 2)
        shapes = [{cv2.imread(str(path)).shape for path in frames[clip]} for clip in clips]
        assert shapes == [{(48, 64, 3)}, {(24, 32, 3)}]
