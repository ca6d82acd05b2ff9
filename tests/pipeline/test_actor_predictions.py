"""From logits at sampled frames to the probabilities of a window and of a clip."""

import numpy as np

from action_heads.label_decision import to_probabilities
from pipeline.actor_predictions import ActorPredictions


def predictions(logits: list[list[float]], windows: list[int] | None = None) -> ActorPredictions:
    index = np.arange(len(logits)) * 12
    window_index = None if windows is None else np.array(windows)
    return ActorPredictions(index, index / 24, np.array(logits, np.float32), window_index)


def test_clip_within_one_window_has_the_mean_of_its_logits():
    found = predictions([[1.0, -1.0], [3.0, 0.0]]).clip_probabilities
    np.testing.assert_array_equal(found, to_probabilities(np.array([2.0, -0.5], np.float32)))


def test_each_action_counts_where_it_is_shown_best():
    found = predictions([[3.0, -3.0], [1.0, -3.0], [-3.0, 4.0]], [0, 0, 1])
    np.testing.assert_allclose(
        found.window_probabilities, to_probabilities(np.array([[2.0, -3.0], [-3.0, 4.0]])), atol=1e-6
    )
    np.testing.assert_allclose(found.clip_probabilities, to_probabilities(np.array([2.0, 4.0])), atol=1e-6)


def test_paused_picture_counts_once():
    moving = [[3.0, -1.0], [-1.0, 1.0], [-2.0, 2.0]]
    paused = moving[:1] + [[-1.0 + 0.01 * (step % 3), 1.0] for step in range(40)] + moving[2:]
    usual, found = (predictions(logits).clip_probabilities for logits in (moving, paused))
    np.testing.assert_allclose(found, usual, atol=0.01)
    assert abs(to_probabilities(np.mean(paused, axis=0)) - usual).max() > 0.04, "the plain mean would differ"


def test_slow_change_is_no_pause():
    """Each frame is like the one before, but not like the first."""
    ramp = [[0.05 * step] for step in range(100)]
    np.testing.assert_allclose(predictions(ramp).clip_probabilities, to_probabilities(np.mean(ramp, axis=0)), atol=0.01)


def test_at_frames_selects_or_reports_what_is_missing():
    found = predictions([[0.0], [1.0], [2.0]], [0, 0, 1])
    selected = found.at_frames([12, 24])
    assert selected is not None
    assert (selected.logits.tolist(), selected.window_index.tolist()) == ([[1.0], [2.0]], [0, 1])
    for missing in ([12, 13], [36], [0, 12, 25]):
        assert found.at_frames(missing) is None
