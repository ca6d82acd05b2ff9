"""The practice clips: a list that every command reads, of clips that play, no photograph in both splits."""

import numpy as np
import pytest

from a2d.dataset import read_samples, split_names
from a2d.skipped_samples import SkippedSamples
from docs.practice_clips import CLIPS, FPS, FRAMES, main
from video.clips import count_frames, read_frames_at


@pytest.fixture(scope="module")
def practice(tmp_path_factory):
    folder = tmp_path_factory.mktemp("docs") / "practice"
    assert main([str(folder)]) == 0
    return folder


def test_every_clip_is_listed_with_its_labels(practice, taxonomy):
    assert split_names(practice / "clips.csv") == ("train", "test")
    found = {
        (sample.clip.stem, " ".join(sample.labels), split)
        for split in ("train", "test")
        for sample in read_samples(practice, split, taxonomy, SkippedSamples(strict=True))
    }
    assert found == {(clip.name, clip.labels, clip.split) for clip in CLIPS}
    assert len(list((practice / "clips").iterdir())) == len(CLIPS) == len(found)


def test_no_photograph_is_in_both_splits():
    splits = {clip.scene.file: clip.split for clip in CLIPS}
    assert all(splits[clip.scene.file] == clip.split for clip in CLIPS)


def test_the_camera_moves_and_two_clips_of_a_photograph_differ(practice):
    first, second = (practice / "clips" / f"street-{number}.mp4" for number in (1, 2))
    assert count_frames(first) == FRAMES
    frames = read_frames_at(first, [0, FRAMES - 1])
    assert frames.time_seconds[1] == pytest.approx((FRAMES - 1) / FPS)
    assert np.abs(frames.images[0].astype(int) - frames.images[1]).mean() > 5
    assert np.abs(frames.images[0].astype(int) - read_frames_at(second, [0]).images[0]).mean() > 5


def test_a_folder_that_cannot_be_made_is_an_error_in_one_line(tmp_path, capsys):
    (tmp_path / "file").touch()
    assert main([str(tmp_path / "file" / "practice")]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1
