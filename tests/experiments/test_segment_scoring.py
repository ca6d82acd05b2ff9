"""Segments of joined clips: what counts as right, and that a joined video shows what it says."""

from itertools import pairwise

import pytest

from a2d.formats.base import Sample
from experiments.segment_scoring import (
    SIZE,
    count_matches,
    draw_parts,
    join_clips,
    main,
    score_segments,
    temporal_iou,
    true_segments,
)
from pipeline.commands.console import DONE
from video.clips import decode_frames


def sample(name, *labels):
    return Sample(name, None, labels, "test", str(name))


def test_overlap_of_segments():
    assert temporal_iou((0, 2), (0, 2)) == 1
    assert temporal_iou((0, 2), (2, 4)) == 0
    assert temporal_iou((1, 3), (0, 4)) == 0.5
    assert temporal_iou((1, 1), (1, 1)) == 0


def test_a_true_segment_is_found_once_and_only_by_its_own_label():
    actual = {"dog-running": [(0, 4), (6, 10)]}
    assert count_matches({"dog-running": [(0, 4), (6, 10)]}, actual, 0.5) == 2
    assert count_matches({"dog-running": [(0, 3), (0, 4)]}, actual, 0.5) == 1
    assert count_matches({"dog-running": [(0, 10)]}, actual, 0.5) == 0
    assert count_matches({"dog-walking": [(0, 4)]}, actual, 0.5) == 0
    scores = score_segments([({"dog-running": [(0, 4), (20, 21)]}, actual), ({}, {"cat-none": [(0, 1)]})], 0.5)
    assert (scores.precision, scores.recall) == (1 / 2, 1 / 3)
    assert scores.f1 == pytest.approx(2 / 5)
    assert score_segments([({}, {})], 0.5).f1 == 0


def test_neighbours_that_share_a_label_are_one_segment():
    parts = [(sample("a", "x", "y"), (0, 2)), (sample("b", "x"), (2, 5)), (sample("c", "y"), (5, 6))]
    assert true_segments(parts) == {"x": [(0, 5)], "y": [(0, 2), (5, 6)]}


def test_drawn_clips_differ_in_source_and_neighbours_in_label():
    samples = [sample(f"{number % 7}", f"label {number % 3}") for number in range(30)] + [sample("none")]
    drawn = draw_parts(samples, 12, seed=1)
    assert [len(parts) for parts in drawn] == [2, 3, 4] * 4
    for parts in drawn:
        assert len({part.group for part in parts}) == len(parts)
        assert all(one.labels != other.labels for one, other in pairwise(parts))
    assert drawn == draw_parts(samples, 12, seed=1)
    assert drawn != draw_parts(samples, 12, seed=2)


def test_a_joined_video_has_the_frames_of_its_parts_at_the_stated_times(cat_clip, people_and_cat_clip, tmp_path):
    parts = [sample(cat_clip, "cat-none"), sample(people_and_cat_clip, "cat-none", "adult-walking")]
    shown = join_clips(parts, tmp_path / "joined.mp4")
    frames = list(decode_frames(tmp_path / "joined.mp4"))
    counts = [sum(1 for _ in decode_frames(part.clip)) for part in parts]
    assert len(frames) == sum(counts)
    assert {frame.size for frame in frames} == {SIZE}
    (_, (start, middle)), (_, (second_start, _)) = shown
    assert start == 0
    assert middle == second_start
    assert frames[counts[0]].time_seconds == pytest.approx(middle, abs=0.002)


def test_clips_are_joined_tagged_and_scored(cat_clip, people_and_cat_clip, tmp_path, cache, capsys):
    data = tmp_path / "clips.csv"
    rows = [f"{cat_clip},cat-none,test", f"{people_and_cat_clip},adult-walking,test"]
    data.write_text("\n".join(["file,labels,split", *rows]) + "\n")
    command = ["--data", str(data), "--videos", "1", "--out", str(tmp_path / "out"), "--cache", str(cache)]
    assert main([*command, "--device", "cpu"]) == DONE
    printed = capsys.readouterr().out
    assert "predicted segments" in printed
    assert (tmp_path / "out" / "segments.json").is_file()
