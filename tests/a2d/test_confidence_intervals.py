"""Confidence intervals by the cluster bootstrap."""

import numpy as np
import pytest
from scipy.stats import binomtest

from a2d.confidence_intervals import bootstrap_f1, bootstrap_mean, f1_by_sample, wilson_interval


def test_sources_are_resampled_as_a_whole():
    predicted, actual = np.ones((6, 1), bool), np.array([[1], [1], [1], [0], [0], [0]], bool)
    assert bootstrap_f1(predicted, actual, ["one"] * 6, seed=0) == (
        0.5,
        0.5,
    )  # all resamples are equal
    assert bootstrap_f1(predicted, actual, ["one"] * 3 + ["other"] * 3, seed=0) == (0.0, 1.0)


def test_intervals_are_wider_for_sources_than_for_samples():
    predicted = np.eye(2, dtype=bool)[np.repeat([0, 1], 50)]
    actual = np.eye(2, dtype=bool)[np.zeros(100, int)]
    by_sample = bootstrap_f1(predicted, actual, [str(n) for n in range(100)], seed=0)
    by_source = bootstrap_f1(predicted, actual, ["a"] * 50 + ["b"] * 50, seed=0)
    assert by_source == (0.0, 1.0)
    assert 0.35 < by_sample[0] < 0.5 < by_sample[1] < 0.65


def test_mean_weights_samples_and_not_sources():
    low, high = bootstrap_mean(np.array([1.0, 1.0, 1.0, 0.0]), [*"aaab"], seed=0)
    assert (low, high) == (0.0, 1.0)
    assert bootstrap_mean(np.array([1.0, 1.0, 1.0, 0.0]), [*"aaaa"], seed=0) == (0.75, 0.75)


def test_f1_by_sample_is_that_of_each_row():
    predicted = np.array([[1, 1, 0], [0, 0, 0], [0, 0, 1]], bool)
    actual = np.array([[1, 0, 1], [1, 0, 0], [0, 0, 1]], bool)
    np.testing.assert_allclose(f1_by_sample(predicted, actual), [0.5, 0, 1])


@pytest.mark.parametrize(("hits", "trials"), [(0, 1), (1, 1), (3, 7), (50, 929)])
def test_wilson_interval_is_that_of_scipy(hits, trials):
    expected = binomtest(hits, trials).proportion_ci(0.95, method="wilson")
    assert wilson_interval(np.array([hits]), np.array([trials]))[:, 0] == pytest.approx([expected.low, expected.high])
