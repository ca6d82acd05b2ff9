"""Reliability of probabilities: bins, their limits, and the calibration error."""

import json

import numpy as np
import pytest

from a2d.calibration import BINS, measure_reliability


def test_nothing_is_calibrated():
    reliability = measure_reliability(np.zeros((0, 3)), np.zeros((0, 3), bool))
    assert reliability.expected_calibration_error == 0
    assert reliability.counts.tolist() == [0] * BINS
    assert np.isnan(reliability.mean_probability).all()
    assert np.isnan(reliability.true_fraction).all()


def test_a_limit_belongs_to_the_bin_above_it_and_one_to_the_last():
    probabilities = np.array([0.0, 0.0999, 0.5, 0.9, 1.0])
    reliability = measure_reliability(probabilities, np.ones(5, bool))
    assert reliability.counts.tolist() == [2, 0, 0, 0, 0, 1, 0, 0, 0, 2]
    assert reliability.edges.round(3).tolist() == [0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1]


def test_fractions_and_error_computed_by_hand():
    probabilities = np.array([[0.62, 0.68], [0.61, 0.05]])
    reliability = measure_reliability(probabilities, np.array([[True, False], [True, False]]))
    assert reliability.mean_probability[6] == pytest.approx((0.62 + 0.68 + 0.61) / 3)
    assert reliability.true_fraction[6] == pytest.approx(2 / 3)
    expected = (3 * abs(1.91 / 3 - 2 / 3) + abs(0.05 - 0)) / 4
    assert reliability.expected_calibration_error == pytest.approx(expected)
    content = json.loads(json.dumps(reliability.to_dict()))
    assert content["expected_calibration_error"] == reliability.expected_calibration_error
    assert content["true_counts"] == [0, 0, 0, 0, 0, 0, 2, 0, 0, 0]
