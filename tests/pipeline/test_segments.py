"""Segments: when an action happens, from its scores at the sampled frames."""

from itertools import pairwise

import numpy as np
import pytest

from pipeline.segments import find_segments


def segments(times, scores, threshold=0.5, every=0.5, duration=100.0):
    return find_segments(np.array(times, float), np.array(scores, float), threshold, every, duration)


def test_neighbouring_intervals_are_one_segment_and_a_long_gap_ends_it():
    assert segments([0, 0.5, 1.0, 5.0], [0.9] * 4) == ((0.0, 1.5), (5.0, 5.5))


def test_an_actor_that_is_out_of_sight_for_a_while_still_acts():
    assert segments([0, 0.5, 1.5], [0.9] * 3) == ((0.0, 2.0),)
    assert segments([0, 3.5], [0.9] * 2) == ((0.0, 4.0),)
    assert segments([0, 4.0], [0.9] * 2) == ((0.0, 0.5), (4.0, 4.5))


def test_an_actor_that_is_seen_doing_something_else_does_not():
    assert segments([0, 1.5, 3.0], [0.9, 0.1, 0.9]) == ((0.0, 0.5), (3.0, 3.5))


def test_the_last_segment_ends_with_the_clip():
    assert segments([0, 0.5], [0.9] * 2, duration=0.7) == ((0.0, 0.7),)


def test_one_low_score_among_high_ones_does_not_end_a_segment():
    assert segments([0, 0.5, 1.0, 1.5, 2.0], [0.9, 0.9, 0.2, 0.9, 0.9]) == ((0.0, 2.5),)


def test_distant_frames_are_not_averaged():
    assert segments([0, 5], [0.9, 0.1]) == ((0.0, 0.5),)


def test_a_threshold_that_only_single_scores_reach_gives_their_segments():
    assert segments([0, 0.5, 1.0], [0.1, 0.6, 0.1]) == ((0.5, 1.0),)


@pytest.mark.parametrize("seed", range(20))
def test_a_threshold_at_or_below_the_mean_gives_a_segment(seed):
    rng = np.random.default_rng(seed)
    times = np.unique(rng.integers(0, 30, 12)) / 2
    scores = rng.random(len(times))
    found = segments(times, scores, threshold=float(scores.mean()))
    assert found
    assert all(start < end for start, end in found)
    assert all(one[1] <= other[0] for one, other in pairwise(found))
