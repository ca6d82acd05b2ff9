"""Variants of the decision from logits to labels."""

from types import SimpleNamespace

import numpy as np
import pytest

from experiments.ablation_rows import make_rows
from experiments.cross_validation import HeldOutPredictions
from experiments.label_decision import MOST_LIKELY_ONLY, LabelDecision, pool_boxes
from experiments.logits import to_logits

PROBABILITIES = np.array([[0.9, 0.5, 0.1, 0.2], [0.5, 0.2, 0.1, 0.2], [0.1, 0.5, 0.1, 0.2], [0.1, 0.2, 0.1, 0.2]])


@pytest.fixture(scope="module")
def decisions():
    return {row.name: row.decision for row in make_rows(0)}


def test_default_pools_the_mean_logit():
    pooled = LabelDecision().pool(to_logits(np.array([[0.9, 0.5], [0.1, 0.5]])))
    np.testing.assert_allclose(pooled, [0.5, 0.5], atol=1e-6)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("frames: mean of probabilities", [0.4, 0.35, 0.1, 0.2]),
        ("frames: mean of the top three", [0.5, 0.3865, 0.1, 0.2]),
        ("frames: maximum", [0.9, 0.5, 0.1, 0.2]),
        ("frames: noisy-or", [1 - 0.1 * 0.5 * 0.9**2, 1 - 0.5**2 * 0.8**2, 1 - 0.9**4, 1 - 0.8**4]),
    ],
)
def test_variants_pool_the_frames_of_a_clip(decisions, name, expected):
    np.testing.assert_allclose(decisions[name].pool(to_logits(PROBABILITIES)), expected, atol=1e-4)


def test_boxes_of_a_frame_are_pooled_by_their_maximum():
    logits = np.array([[1, 5], [4, 2], [3, 3]], np.float32)
    np.testing.assert_array_equal(pool_boxes(logits, np.array([7, 7, 9])), [[4, 5], [3, 3]])


def predict(taxonomy, decision):
    """Predict labels of three samples from frames of a ball in the last two; return their names by sample."""
    rows = np.array([[0.8, 0.6, 0.1, 0.1], [0.2, 0.1, 0.1, 0.1], [0.2, 0.1, 0.1, 0.1]])
    predictions = {"ball": HeldOutPredictions(np.array([1, 2, 2]), np.array([0, 0, 4]), to_logits(rows))}
    predicted = decision.predict(predictions, SimpleNamespace(samples=[None] * 3, taxonomy=taxonomy))
    return [[taxonomy.label_names[index] for index in np.flatnonzero(row)] for row in predicted]


def test_labels_that_reach_the_threshold_are_predicted(taxonomy):
    first, second, *_ = taxonomy.actor("ball").label_names
    assert predict(taxonomy, LabelDecision()) == [[], [first, second], [first]]
    assert predict(taxonomy, LabelDecision(threshold=0.7)) == [[], [first], [first]]
    assert predict(taxonomy, LabelDecision(threshold=0.15)) == [[], [first, second], [first]]


def test_most_likely_label_only(taxonomy):
    first, *_ = taxonomy.actor("ball").label_names
    assert predict(taxonomy, LabelDecision(threshold=MOST_LIKELY_ONLY)) == [[], [first], [first]]
