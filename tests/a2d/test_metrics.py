"""Metrics against rows worked by hand and against scikit-learn."""

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
    """Draw what was said and what is true, two arrays (samples, labels); `labelled` leaves no sample without truth."""
    shape = draw(st.tuples(st.integers(1, 6), st.integers(2, 5)))
    said, true = (draw(hnp.arrays(bool, shape)) for _ in range(2))
    if labelled:
        bare = ~true.any(axis=1)
        true[bare, draw(st.integers(0, shape[1] - 1))] = True
    return said, true


def as_array(scores: Scores) -> NDArray[np.float64]:
    return np.array([scores.precision, scores.recall, scores.f1])


# --- By hand ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("said", "true", "scores"),
    [
        pytest.param([1, 1, 0], [1, 1, 0], (1, 1, 1), id="right"),
        pytest.param([1, 0, 1], [0, 1, 0], (0, 0, 0), id="wrong"),
        pytest.param([1, 1, 0], [1, 0, 1], (1 / 2, 1 / 2, 1 / 2), id="half"),
        pytest.param([1, 1, 1], [1, 0, 0], (1 / 3, 1, 1 / 2), id="too much"),
        pytest.param([1, 0, 0], [1, 1, 1], (1, 1 / 3, 1 / 2), id="too little"),
        pytest.param([0, 0, 0], [1, 1, 0], (0, 0, 0), id="nothing said"),
        pytest.param([1, 0, 0], [0, 0, 0], (0, 0, 0), id="nothing true"),
        pytest.param([0, 0, 0], [0, 0, 0], (0, 0, 0), id="nothing at all"),
    ],
)
def test_one_sample(said: list[int], true: list[int], scores: tuple[float, float, float]) -> None:
    counts = count(np.array([said], dtype=bool), np.array([true], dtype=bool))
    assert as_array(counts.sample_averaged) == pytest.approx(scores, abs=1e-7)


def test_four_samples() -> None:
    """The challenge's F1 is the mean of the samples' F1, which P and R do not give."""
    said = np.array([[1, 1, 0], [1, 0, 0], [0, 0, 0], [1, 1, 1]], dtype=bool)
    true = np.array([[1, 0, 0], [1, 1, 0], [0, 0, 1], [1, 1, 1]], dtype=bool)
    counts = count(said, true)
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
def test_nothing_to_count_scores_zero(shape: tuple[int, int]) -> None:
    counts = count(np.zeros(shape, dtype=bool), np.zeros(shape, dtype=bool))
    assert [counts.sample_averaged, counts.micro, counts.macro, counts.of_labels([])] == [Scores(0.0, 0.0, 0.0)] * 4


def test_scores_by_name() -> None:
    assert Scores(0.5, 0.25, 1 / 3).to_dict() == {"precision": 0.5, "recall": 0.25, "f1": 1 / 3}


# --- Against scikit-learn ---------------------------------------------------------------------------------------------


@given(predictions())
def test_sample_average_agrees_with_scikit_learn(rows: tuple[Rows, Rows]) -> None:
    said, true = rows
    expected = precision_recall_fscore_support(true, said, average="samples", zero_division=0)[:3]
    assert as_array(count(said, true).sample_averaged) == pytest.approx(expected, abs=1e-7)


@given(predictions(labelled=False))
def test_averages_over_labels_agree_with_scikit_learn(rows: tuple[Rows, Rows]) -> None:
    said, true = rows
    counts = count(said, true)
    for average, scores in [("micro", counts.micro), ("macro", counts.macro)]:
        expected = precision_recall_fscore_support(true, said, average=average, zero_division=0)[:3]
        assert as_array(scores) == pytest.approx(expected)
    expected = precision_recall_fscore_support(true, said, average=None, zero_division=0)[:3]
    assert np.stack([as_array(scores) for scores in counts.per_label], axis=1) == pytest.approx(np.stack(expected))


# --- Adding up --------------------------------------------------------------------------------------------------------


@given(predictions(labelled=False), st.data())
def test_sum_is_that_of_both_sets_of_samples(rows: tuple[Rows, Rows], data: st.DataObject) -> None:
    said, true = rows
    cut = data.draw(st.integers(0, len(said)))
    parts = count(said[:cut], true[:cut]) + count(said[cut:], true[cut:])
    whole = count(said, true)
    assert parts.samples == whole.samples
    assert parts.sample_sums == pytest.approx(whole.sample_sums)
    for name in ("true_positives", "predicted", "actual"):
        assert (getattr(parts, name) == getattr(whole, name)).all()


@pytest.mark.parametrize(
    ("said", "true"),
    [((2, 3), (2, 4)), ((2, 3), (1, 3)), ((3,), (3,)), ((1, 2, 3), (1, 2, 3))],
    ids=["labels differ", "samples differ", "one row", "three axes"],
)
def test_wrong_shapes(said: tuple[int, ...], true: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"\(samples, labels\) were expected, found predicted\.shape = "):
        count(np.zeros(said, dtype=bool), np.zeros(true, dtype=bool))
