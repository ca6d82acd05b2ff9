"""Segments as frame numbers, and boxes with the actions of their moments."""

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from export_results import tagged
from hypothesis import given
from hypothesis import strategies as st
from result_rows import PERSON_LABELS, row

from pipeline.exports.moments import FrameClock, labelled_boxes
from pipeline.results import ActorEvidence, Timeline

CLIP = tagged(Path("/clip.mp4"))  # 6 frames at 0.0, 0.1, … 0.5 s


@pytest.mark.parametrize(
    ("segment", "expected"),
    [
        pytest.param((0.0, 0.6), (0, 5), id="all"),
        pytest.param((0.0, 0.2), (0, 1), id="a frame that begins at the end is not part"),
        pytest.param((0.2, 0.3), (2, 2), id="one frame"),
        pytest.param((0.25, 0.45), (3, 4), id="frames that begin in it"),
        pytest.param((0.21, 0.24), (3, 3), id="at least one"),
        pytest.param((0.2004, 0.2996), (2, 2), id="rounded times"),
        pytest.param((0.58, 0.6), (5, 5), id="none after the last"),
    ],
)
def test_segments_contain_the_frames_that_begin_in_them(segment, expected):
    assert FrameClock.of(CLIP).span(*segment) == expected


def test_adjacent_segments_share_no_frame():
    clock = FrameClock.of(row(frames=74, fps=24.0, duration_seconds=74 / 24, timeline={}))
    spans = [clock.span(start, start + 0.5) for start in np.arange(0, 3, 0.5)]
    assert all(last + 1 == first for (_, last), (first, _) in pairwise(spans))
    assert (spans[0][0], spans[-1][1]) == (0, 71)


def test_a_variable_frame_rate_is_followed():
    """Ten frames in the first second, and two in the next: frame 10 is shown at 1.0 s, and frame 11 at 1.5 s."""
    timeline = {"person": Timeline((0.0, 0.5, 1.0, 1.5), {name: (0.9,) * 4 for name in PERSON_LABELS})}
    actors = {"person": ActorEvidence(1.0, 0.1, True, 0.9, (0, 5, 10, 11))}
    clock = FrameClock.of(row(frames=12, fps=6.0, duration_seconds=2.0, timeline=timeline, actors=actors))
    assert [clock.span(0.0, 1.0), clock.span(1.0, 2.0), clock.span(0.5, 1.5)] == [(0, 9), (10, 11), (5, 10)]


@pytest.mark.parametrize("frames", [0, 1, 5])
def test_a_clip_of_a_single_moment(frames):
    clip = row(frames=frames, fps=0.0, duration_seconds=0.0, timeline={})
    assert FrameClock.of(clip).span(0.0, 0.0) == (0, max(frames - 1, 0))


@given(
    frames=st.integers(1, 10_000),
    fps=st.floats(1, 240),
    share=st.tuples(st.floats(0, 1), st.floats(0, 1)),
)
def test_every_segment_has_frames_of_the_clip(frames, fps, share):
    duration = round(frames / fps, 3)
    first, last = FrameClock.of(row(frames=frames, fps=fps, duration_seconds=duration, timeline={})).span(
        *sorted(part * duration for part in share)
    )
    assert 0 <= first <= last < frames


def test_boxes_have_the_actions_of_their_moments(taxonomy):
    boxes = [
        (box.label.label, box.segment, box.frame_index, box.time_seconds, box.score)
        for box in labelled_boxes(CLIP, taxonomy)
    ]
    # At 0.2 s nobody walks, and there is no box.
    assert boxes == [
        ("adult-walking", 0, 0, 0.0, 0.9),
        ("adult-walking", 1, 4, 0.4, 0.7),
        ("adult-none", 0, 4, 0.4, 0.5),
    ]


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"labels": ()}, id="no label"),
        pytest.param({"timeline": {}}, id="no times"),
        pytest.param({"actors": {}}, id="no evidence"),
        pytest.param({"actors": {"person": replace(CLIP.actors["person"], boxes=())}}, id="an earlier version's row"),
    ],
)
def test_results_without_boxes(changes, taxonomy):
    assert not list(labelled_boxes(replace(CLIP, **changes), taxonomy))
