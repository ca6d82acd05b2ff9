"""Scores of single columns."""

import numpy as np
import pytest

from experiments.column_scores import bootstrap_columns


def test_interval_contains_the_f1_and_shrinks_with_more_sources():
    rng = np.random.default_rng(0)
    widths = []
    for sources in (10, 200):
        actual = rng.random((2 * sources, 2)) < 0.5
        predicted = actual ^ (rng.random(actual.shape) < 0.2)
        groups = [str(row // 2) for row in range(len(actual))]
        column = bootstrap_columns(predicted, actual, ["first", "second"], groups, seed=0)["first"]
        hits = (predicted & actual)[:, 0].sum()
        assert column["f1"] == pytest.approx(2 * hits / (predicted[:, 0].sum() + actual[:, 0].sum()))
        low, high = column["f1_interval"]
        assert low < column["f1"] < high
        widths.append(high - low)
    assert widths[1] < widths[0] / 2


def test_true_and_predicted_samples_are_counted():
    predicted = np.array([[1, 0], [1, 0], [1, 0]], bool)
    actual = np.array([[1, 1], [0, 0], [0, 1]], bool)
    scores = bootstrap_columns(predicted, actual, ["first", "second"], [*"aaa"], seed=0)
    assert scores == {
        "first": {"f1": 0.5, "f1_interval": [0.5, 0.5], "true": 1, "predicted": 3},
        "second": {"f1": 0.0, "f1_interval": [0.0, 0.0], "true": 2, "predicted": 0},
    }


def test_column_that_is_never_true_or_predicted_is_left_out():
    nothing = np.zeros((4, 1), bool)
    assert bootstrap_columns(nothing, nothing, ["never"], [*"abcd"], seed=0) == {}
