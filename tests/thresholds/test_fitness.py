"""Scores of many sets of gates equal those that `a2d.metrics` computes one by one."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.testing import assert_allclose
from numpy.typing import NDArray

from a2d.metrics import count
from thresholds import fitness
from thresholds.fitness import OBJECTIVES, GateScores, PresenceTable, score_gates

Case = tuple[NDArray[np.float64], NDArray[np.bool_], NDArray[np.float64]]


def one_by_one(
    ratios: NDArray[np.float64], truth: NDArray[np.bool_], gates: NDArray[np.float64]
) -> NDArray[np.float64]:
    scores = [count(ratios >= particle, truth).sample_averaged for particle in gates]
    return np.array([(score.precision, score.recall, score.f1) for score in scores]).reshape(-1, 3)


def assert_same(ratios: NDArray[np.float64], truth: NDArray[np.bool_], gates: NDArray[np.float64]) -> None:
    scores = score_gates(ratios, truth, gates)
    found = np.stack([scores.precision, scores.recall, scores.f1], axis=1)
    assert_allclose(found, one_by_one(ratios, truth, gates), rtol=0, atol=1e-12)


@st.composite
def tables(draw: st.DrawFn) -> Case:
    """Draw ratios and gates in tenths, so that ties, 0 and 1 are common."""
    videos, actors, particles = draw(st.integers(1, 12)), draw(st.integers(1, 7)), draw(st.integers(1, 6))
    tenths = st.integers(0, 10).map(lambda number: number / 10)
    ratios = draw(arrays(np.float64, (videos, actors), elements=tenths))
    truth = draw(arrays(np.bool_, (videos, actors)))
    gates = draw(arrays(np.float64, (particles, actors), elements=tenths))
    return ratios, truth, gates


@given(tables())
def test_scores_equal_metrics_on_any_table(case: Case) -> None:
    assert_same(*case)


@pytest.mark.parametrize("videos", [1, 3782, fitness.BLOCK_SIZE + 5], ids=["one", "a2d", "more-than-a-block"])
def test_scores_equal_metrics_for_any_number_of_videos(videos: int) -> None:
    rng = np.random.default_rng(0)
    ratios, truth = rng.random((videos, 6)).round(2), rng.random((videos, 6)) < 0.3
    assert_same(ratios, truth, rng.random((7, 6)).round(2))


@pytest.mark.parametrize("actors", [14, 15, 30], ids=["8-bit", "8-bit-full", "16-bit"])
def test_many_actors_do_not_overflow(actors: int) -> None:
    rng = np.random.default_rng(1)
    truth = rng.random((20, actors)) < 0.5
    truth[0] = True
    gates = np.vstack([np.zeros(actors), rng.random((3, actors))])
    assert_same(rng.random((20, actors)), truth, gates)


def test_blocks_do_not_change_the_scores(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(2)
    ratios, truth, gates = rng.random((50, 6)), rng.random((50, 6)) < 0.3, rng.random((33, 6))
    whole = score_gates(ratios, truth, gates)
    monkeypatch.setattr(fitness, "BLOCK_SIZE", 1)
    assert score_gates(ratios, truth, gates).f1.tolist() == whole.f1.tolist()


@pytest.mark.parametrize(
    ("ratio", "gate", "present"),
    [(0.15, 0.15, True), (0.15, np.nextafter(0.15, 1), False), (0.0, 0.0, True), (0.0, 0.1, False), (1.0, 1.0, True)],
    ids=["tie", "just-above", "gate-0", "ratio-0", "both-1"],
)
def test_actor_is_present_if_its_ratio_reaches_the_gate(ratio: float, gate: float, present: bool) -> None:
    scores = score_gates(np.array([[ratio]]), np.array([[True]]), np.array([[gate]]))
    assert scores.recall[0] == float(present)


def test_f1_is_the_mean_of_the_videos_f1() -> None:
    ratios, truth = np.array([[0.9, 0.0], [0.9, 0.9]]), np.array([[True, False], [False, True]])
    scores = score_gates(ratios, truth, np.array([[0.5, 0.5]]))
    assert_allclose([scores.precision[0], scores.recall[0], scores.f1[0]], [0.75, 1.0, (1 + 2 / 3) / 2], atol=1e-7)


@pytest.mark.parametrize(("videos", "particles"), [(0, 3), (4, 0)], ids=["no-video", "no-particle"])
def test_scores_of_nothing_are_zero(videos: int, particles: int) -> None:
    scores = score_gates(np.zeros((videos, 6)), np.zeros((videos, 6), bool), np.zeros((particles, 6)))
    assert scores.precision.tolist() == scores.recall.tolist() == scores.f1.tolist() == [0.0] * particles


def test_objectives_are_lower_for_higher_scores() -> None:
    scores = GateScores(np.array([0.5, 0.8]), np.array([0.5, 0.5]), np.array([0.5, 0.25]))
    assert set(OBJECTIVES) == {"precision", "prf", "f1"}
    assert OBJECTIVES["precision"](scores).tolist() == [-0.5, -0.8]
    assert OBJECTIVES["f1"](scores).tolist() == [-0.5, -0.25]
    assert_allclose(OBJECTIVES["prf"](scores), [-0.125, -0.1])


@pytest.mark.parametrize("bad", [-0.1, 1.1, np.nan], ids=str)
def test_presence_table_rejects_ratios_outside_the_unit_interval(bad: float) -> None:
    with pytest.raises(ValueError, match=r"presence ratios must be in \[0, 1\]"):
        PresenceTable(np.array([[0.5, bad]]), np.zeros((1, 2), bool))


def test_wrong_shapes_are_rejected() -> None:
    with pytest.raises(ValueError, match=r"ratios\.shape = \(2, 3\), truth\.shape = \(2, 2\)"):
        PresenceTable(np.zeros((2, 3)), np.zeros((2, 2), bool))
    with pytest.raises(ValueError, match=r"gates \(particles, 3\) were expected"):
        score_gates(np.zeros((2, 3)), np.zeros((2, 3), bool), np.zeros(3))
