"""Gates that the videos do not determine: they are kept, the others are tuned beside them, and no seed matters."""

import numpy as np
import pytest
from numpy.typing import NDArray

from thresholds.exact import best_gate
from thresholds.fitness import OBJECTIVES, PresenceTable, score_gates
from thresholds.tuning import OPTIMIZERS, SearchSettings, is_determined, is_indifferent, tune

every_optimizer = pytest.mark.parametrize("optimizer", OPTIMIZERS)
NAN = float("nan")


@pytest.fixture
def table() -> PresenceTable:
    """Three actors: the first is in half of the videos, the second in none, the third in all."""
    ratios = np.array([[0.32, 0.2, 0.9], [0.25, 0.0, 0.3], [0.18, 0.3, 0.8], [0.0, 0.12, 0.5]])
    truth = np.array([[True, False, True], [True, False, True], [False, False, True], [False, False, True]])
    return PresenceTable(ratios, truth)


@every_optimizer
@pytest.mark.parametrize("objective", OBJECTIVES)
def test_fixed_gates_are_kept_to_the_bit_even_outside_the_bounds(
    table: PresenceTable, optimizer: str, objective: str
) -> None:
    fixed = np.array([NAN, 0.7654321, 0.0123456789])
    for seed in range(3):
        tuned = tune(table, objective, SearchSettings(optimizer, seed=seed), fixed)
        assert tuned.values[1:].tolist() == fixed[1:].tolist()
        assert 0.18 < tuned.values[0] <= 0.25, "between the videos without the first actor and those with it"
        assert tuned.reached == score_gates(table.ratios, table.truth, tuned.values[None]).of_particle(0)


@every_optimizer
def test_free_gates_are_tuned_for_the_fixed_ones(optimizer: str) -> None:
    """Alone, the first actor's gate would be 0.3; but where the second is always predicted, precision decides."""
    rng = np.random.default_rng(0)
    truth = rng.random((60, 2)) < 0.5
    ratios = np.where(truth, rng.random((60, 2)), 0.6 * rng.random((60, 2)))
    table = PresenceTable(ratios, truth)
    for other in (0.0, 0.3, 1.0):
        tuned = tune(table, "prf", SearchSettings(optimizer, iterations=60), np.array([NAN, other]))
        best = best_gate(table, OBJECTIVES["prf"], np.array([NAN, other]), 0, (0.1, 0.4))
        expected = score_gates(ratios, truth, np.array([[best, other]])).of_particle(0)
        assert tuned.reached == expected


@every_optimizer
def test_all_gates_may_be_fixed(table: PresenceTable, optimizer: str) -> None:
    fixed = np.array([0.3, 0.9, 0.0])
    assert tune(table, "f1", SearchSettings(optimizer), fixed).values.tolist() == fixed.tolist()


@every_optimizer
def test_nothing_fixed_is_the_same_as_none(table: PresenceTable, optimizer: str) -> None:
    free = tune(table, "prf", SearchSettings(optimizer, seed=4), np.full(3, NAN))
    assert free.values.tolist() == tune(table, "prf", SearchSettings(optimizer, seed=4)).values.tolist()


@every_optimizer
def test_where_all_gates_decide_alike_no_seed_matters(optimizer: str) -> None:
    table = PresenceTable(
        np.array([[0.0, 0.3], [0.9, 0.2], [0.0, 0.2]]), np.array([[0, 1], [1, 0], [0, 0]], dtype=bool)
    )
    found = {float(tune(table, "prf", SearchSettings(optimizer, seed=seed)).values[0]) for seed in range(4)}
    assert len(found) == 1


def test_videos_without_any_actor_raise_gates() -> None:
    """An empty video counts as right only if no gate lets anything pass."""
    ratios = np.array([[0.35], [0.3], [0.2], [0.2], [0.2]])
    truth = np.array([[True], [True], [False], [False], [False]])
    for optimizer in OPTIMIZERS:
        tuned = tune(PresenceTable(ratios, truth), "prf", SearchSettings(optimizer))
        assert 0.2 < tuned.values[0] <= 0.3
        assert tuned.reached.f1 == 1


@pytest.mark.parametrize(
    ("truth", "expected"),
    [
        ([[1, 0], [0, 0]], [True, False]),
        ([[1, 0], [1, 1]], [False, True]),
        ([[1, 0]], [False, False]),
        (np.zeros((0, 2)), [False, False]),
    ],
    ids=["none shows it", "all show it", "one video", "no video"],
)
def test_a_gate_needs_videos_with_and_without_the_actor(truth: NDArray[np.int64], expected: list[bool]) -> None:
    assert is_determined(np.array(truth, dtype=bool)).tolist() == expected


def test_a_gate_needs_a_ratio_within_its_bounds() -> None:
    ratios = np.array([[0.05, 0.4, 0.1, 0.2], [0.9, 0.0, 0.0, 0.9]])
    assert is_indifferent(ratios, (0.1, 0.4)).tolist() == [True, True, False, False]
