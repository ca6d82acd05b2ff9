"""Metrics compared with examples computed by hand and with scikit-learn."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray
from sklearn.metrics import precision_recall_fscore_support

from a2d.metrics import Scores, count

Rows = NDArray[np.bool_]


@st.composite
def predictions(draw: st.DrawFn, labelled: bool = True) -> tuple[Rows, Rows]:
    """Draw predictions and ground truth, both (samples, labels); `labelled` excludes samples without a true label."""
    shape = draw(st.tuples(st.integers(1, 6), st.integers(2, 5)))
    predicted, actual = (draw(hnp.arrays(bool, shape)) for _ in range(2))
    if labelled:
        unlabelled = ~actual.any(axis=1)
        actual[unlabelled, draw(st.integers(0, shape[1] - 1))] = True
    return predicted, actual


def as_array(scores: Scores) -> NDArray[np.float64]:
    return np.array([scores.precision, scores.recall, scores.f1])


# --- By hand ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("predicted", "actual", "scores"),
    [
        pytest.param([1, 1, 0], [1, 1, 0], (1, 1, 1), id="correct"),
        pytest.param([1, 0, 1], [0, 1, 0], (0, 0, 0), id="wrong"),
        pytest.param([1, 1, 0], [1, 0, 1], (1 / 2, 1 / 2, 1 / 2), id="half"),
        pytest.param([1, 1, 1], [1, 0, 0], (1 / 3, 1, 1 / 2), id="too many"),
        pytest.param([1, 0, 0], [1, 1, 1], (1, 1 / 3, 1 / 2), id="too few"),
        pytest.param([0, 0, 0], [1, 1, 0], (0, 0, 0), id="nothing predicted"),
        pytest.param([1, 0, 0], [0, 0, 0], (0, 0, 0), id="nothing true"),
        pytest.param([0, 0, 0], [0, 0, 0], (1, 1, 1), id="nothing predicted and nothing true"),
    ],
)
def test_scores_of_one_sample(predicted: list[int], actual: list[int], scores: tuple[float, float, float]) -> None:
    counts = count(np.array([predicted], dtype=bool), np.array([actual], dtype=bool))
    assert as_array(counts.sample_averaged) == pytest.approx(scores, abs=1e-7)


def test_averages_over_four_samples() -> None:
    """The challenge's F1 is the mean of the samples' F1, which does not follow from P and R."""
    predicted = np.array([[1, 1, 0], [1, 0, 0], [0, 0, 0], [1, 1, 1]], dtype=bool)
    actual = np.array([[1, 0, 0], [1, 1, 0], [0, 0, 1], [1, 1, 1]], dtype=bool)
    counts = count(predicted, actual)
    averaged = counts.sample_averaged
    assert as_array(averaged) == pytest.approx([2.5 / 4, 2.5 / 4, (2 / 3 + 2 / 3 + 0 + 1) / 4], abs=1e-7)
    assert averaged.f1 != pytest.approx(
        2 * averaged.precision * averaged.recall / (averaged.precision + averaged.recall)
    )
    assert as_array(counts.micro) == pytest.approx([5 / 6, 5 / 7, 10 / 13])
    assert [scores.precision for scores in counts.per_label] == pytest.approx([1, 1 / 2, 1])
    assert [scores.recall for scores in counts.per_label] == pytest.approx([1, 1 / 2, 1 / 2])
    assert counts.macro.f1 == pytest.approx((1 + 1 / 2 + 2 / 3) / 3)
    assert as_array(counts.of_labels([1, 2])) == pytest.approx([2 / 3, 1 / 2, 4 / 7])


@pytest.mark.parametrize("shape", [(0, 3), (2, 0), (0, 0)], ids=["no samples", "no labels", "neither"])
def test_scores_of_nothing_are_zero(shape: tuple[int, int]) -> None:
    counts = count(np.zeros(shape, dtype=bool), np.zeros(shape, dtype=bool))
    assert [counts.sample_averaged, counts.micro, counts.macro, counts.of_labels([])] == [Scores(0.0, 0.0, 0.0)] * 4


def test_scores_to_dict() -> None:
    assert Scores(0.5, 0.25, 1 / 3).to_dict() == {"precision": 0.5, "recall": 0.25, "f1": 1 / 3}


# --- Against scikit-learn ---------------------------------------------------------------------------------------------


@given(predictions())
def test_sample_average_agrees_with_scikit_learn(rows: tuple[Rows, Rows]) -> None:
    predicted, actual = rows
    expected = precision_recall_fscore_support(actual, predicted, average="samples", zero_division=0)[:3]
    assert as_array(count(predicted, actual).sample_averaged) == pytest.approx(expected, abs=1e-7)


@given(predictions(labelled=False))
def test_averages_over_labels_agree_with_scikit_learn(rows: tuple[Rows, Rows]) -> None:
    predicted, actual = rows
    counts = count(predicted, actual)
    for average, scores in [("micro", counts.micro), ("macro", counts.macro)]:
        expected = precision_recall_fscore_support(actual, predicted, average=average, zero_division=0)[:3]
        assert as_array(scores) == pytest.approx(expected)
    expected = precision_recall_fscore_support(actual, predicted, average=None, zero_division=0)[:3]
    assert np.stack([as_array(scores) for scores in counts.per_label], axis=1) == pytest.approx(np.stack(expected))


# --- Sums and shapes --------------------------------------------------------------------------------------------------


@given(predictions(labelled=False), st.data())
def test_sum_of_counts_pools_the_samples(rows: tuple[Rows, Rows], data: st.DataObject) -> None:
    predicted, actual = rows
    cut = data.draw(st.integers(0, len(predicted)))
    parts = count(predicted[:cut], actual[:cut]) + count(predicted[cut:], actual[cut:])
    whole = count(predicted, actual)
    assert parts.samples == whole.samples
    assert parts.sample_sums == pytest.approx(whole.sample_sums)
    for name in ("true_positives", "predicted", "actual"):
        assert (getattr(parts, name) == getattr(whole, name)).all()


@pytest.mark.parametrize(
    ("predicted", "actual"),
    [((2, 3), (2, 4)), ((2, 3), (1, 3)), ((3,), (3,)), ((1, 2, 3), (1, 2, 3))],
    ids=["labels differ", "samples differ", "one row", "three axes"],
)
def test_count_rejects_wrong_shapes(predicted: tuple[int, ...], actual: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"\(samples, labels\) were expected, found predicted\.shape = "):
        count(np.zeros(predicted, dtype=bool), np.zeros(actual, dtype=bool))
