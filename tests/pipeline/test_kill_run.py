"""A run that is killed at random moments, with all its processes, loses nothing; 100 times by hand, see `kill_run`."""

import sys

import pytest
from kill_run import kill_runs


@pytest.mark.skipif(sys.platform != "linux", reason="needs process groups and /proc")
@pytest.mark.parametrize("annotate", [False, True], ids=["results", "annotated copies"])
def test_a_killed_run_is_continued_with_one_row_per_clip(people_clip, cat_clip, tmp_path, annotate):
    clips = [tmp_path / f"{number}.mp4" for number in range(4)]
    for number, clip in enumerate(clips):
        clip.symlink_to(cat_clip if number % 2 else people_clip)
    kill_runs(clips, tmp_path / "work", 1 if annotate else 2, seed=annotate, annotate=annotate)
