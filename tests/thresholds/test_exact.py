"""The exact search compared with brute force, and the swarm compared with the exact search."""

from itertools import product
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from common.errors import UserError
from thresholds.exact import coordinate_search, search
from thresholds.fitness import OBJECTIVES, PresenceTable, score_gates
from thresholds.tuning import OPTIMIZERS, SearchSettings, gates_on_bound, tune

every_objective = pytest.mark.parametrize("objective", OBJECTIVES)
UNIT = (0.0, 1.0)
DEFAULT_SEARCH: dict[str, Any] = {"starts": 8, "seed": 0}


def random_table(seed: int, videos: int = 12, actors: int = 3, ties: bool = True) -> PresenceTable:
    rng = np.random.default_rng(seed)
    truth = rng.random((videos, actors)) < 0.4
    truth[np.arange(videos), rng.integers(actors, size=videos)] = True
    ratios = (rng.random((videos, actors)) * (0.3 + 0.7 * truth)).round(1 if ties else 6)
    return PresenceTable(ratios, truth)


def with_certain_actor(ratios: list[float], truth: list[bool]) -> PresenceTable:
    """Add an actor that is present and detected in every video, so that errors on the first one cost precision."""
    certain = np.ones(len(ratios))
    return PresenceTable(np.column_stack([ratios, certain]), np.column_stack([truth, certain]).astype(bool))


def value_of(table: PresenceTable, objective: str, gates: NDArray[np.float64]) -> NDArray[np.float64]:
    return OBJECTIVES[objective](score_gates(table.ratios, table.truth, np.atleast_2d(gates)))


def all_cuts(ratios: NDArray[np.float64], bounds: tuple[float, float]) -> NDArray[np.float64]:
    """Return gates for all decisions possible within the bounds: on a ratio, just above one, or at a bound."""
    gates = np.unique(np.concatenate([ratios, np.nextafter(ratios, 2.0), bounds]))
    return gates[(gates >= bounds[0]) & (gates <= bounds[1])]


@every_objective
@pytest.mark.parametrize("bounds", [UNIT, (0.1, 0.4)], ids=["unit", "published"])
@pytest.mark.parametrize("seed", range(4))
def test_no_change_of_a_single_gate_improves_the_result(seed: int, bounds: tuple[float, float], objective: str) -> None:
    table = random_table(seed)
    result = coordinate_search(table, OBJECTIVES[objective], np.full(3, 0.15), bounds)
    assert result.value == value_of(table, objective, result.gates)[0]
    for actor in range(3):
        cuts = all_cuts(table.ratios[:, actor], bounds)
        others = np.repeat(result.gates[None], len(cuts), axis=0)
        others[:, actor] = cuts
        assert value_of(table, objective, others).min() >= result.value - 1e-12


@every_objective
@pytest.mark.parametrize("seed", range(4))
def test_search_finds_the_brute_force_optimum(seed: int, objective: str) -> None:
    table = random_table(seed, videos=8, actors=2, ties=False)
    grid = np.array(list(product(*(all_cuts(ratios, UNIT) for ratios in table.ratios.T))))
    result = search(table, OBJECTIVES[objective], starts=20, seed=0)
    np.testing.assert_allclose(result.value, value_of(table, objective, grid).min(), rtol=0, atol=1e-12)
    assert result.value == value_of(table, objective, result.gates)[0]


def test_search_returns_the_best_of_its_starts() -> None:
    table, objective = random_table(35, videos=4, actors=2), OBJECTIVES["f1"]
    found = [search(table, objective, starts=starts, seed=0).value for starts in range(1, 9)]
    assert found[0] == coordinate_search(table, objective, np.full(2, 0.15)).value
    assert found == sorted(found, reverse=True)
    assert found[-1] < found[0], "the first start ends in a local optimum"


def test_gates_are_halfway_between_ratios() -> None:
    result = search(
        with_certain_actor([0.2, 0.3, 0.6, 0.7], [False, False, True, True]), OBJECTIVES["f1"], **DEFAULT_SEARCH
    )
    np.testing.assert_allclose(result.gates, [0.45, 0.5])


@pytest.mark.parametrize(
    ("ratios", "truth", "gate"),
    [
        ([0.4, 0.8], [True, True], 0.2),
        ([0.0, 0.8], [True, True], 0.0),
        ([0.4, 0.8], [False, False], 0.9),
    ],
    ids=["always", "always-although-undetected", "never"],
)
def test_always_and_never_present(ratios: list[float], truth: list[bool], gate: float) -> None:
    result = search(with_certain_actor(ratios, truth), OBJECTIVES["f1"], **DEFAULT_SEARCH)
    np.testing.assert_allclose(result.gates, [gate, 0.5])


def test_no_gate_excludes_a_ratio_of_one() -> None:
    table = PresenceTable(np.array([[1.0], [0.5]]), np.array([[False], [False]]))
    result = coordinate_search(table, OBJECTIVES["precision"], np.array([1.0]))
    assert (table.ratios >= result.gates).tolist() == [[True], [False]]


def test_adjacent_floats_are_separated() -> None:
    low = 0.3
    high = float(np.nextafter(low, 1.0))
    result = search(with_certain_actor([low, high], [False, True]), OBJECTIVES["f1"], **DEFAULT_SEARCH)
    assert low < result.gates[0] <= high


def test_equal_ratios_are_not_separated() -> None:
    table = PresenceTable(np.full((4, 1), 0.5), np.array([[True], [False], [True], [True]]))
    result = search(table, OBJECTIVES["f1"], **DEFAULT_SEARCH)
    assert (table.ratios >= result.gates).all()


@pytest.mark.parametrize("start", [np.full(2, 0.15), np.full(3, 1.5)], ids=["shape", "range"])
def test_coordinate_search_rejects_invalid_starts(start: NDArray[np.float64]) -> None:
    with pytest.raises(ValueError, match="a start of 3 gates"):
        coordinate_search(random_table(0), OBJECTIVES["f1"], start)


@pytest.mark.parametrize("wrong", [{"starts": 0}, {"bounds": (0.4, 0.1)}, {"bounds": (0.0, 1.5)}], ids=str)
def test_search_rejects_invalid_arguments(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="at least 1 start"):
        search(random_table(0), OBJECTIVES["f1"], **(DEFAULT_SEARCH | wrong))


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_tune_respects_bounds_and_reports_scores(optimizer: str) -> None:
    table = random_table(0, videos=60, actors=6, ties=False)
    tuned = tune(table, "prf", SearchSettings(optimizer, bounds=(0.1, 0.4)))
    assert ((tuned.values >= 0.1) & (tuned.values <= 0.4)).all()
    value = value_of(table, "prf", tuned.values)[0]
    reached = tuned.reached
    np.testing.assert_allclose(-reached.precision * reached.recall * reached.f1, value)
    assert value <= value_of(table, "prf", np.full(6, 0.25))[0]


def test_exact_search_is_at_least_as_good_as_the_swarm() -> None:
    table = random_table(1, videos=200, actors=6, ties=False)
    swarm = tune(table, "prf", SearchSettings(iterations=30))
    exact = tune(table, "prf", SearchSettings("exact", runs=8))
    assert value_of(table, "prf", exact.values)[0] <= value_of(table, "prf", swarm.values)[0]


@pytest.mark.parametrize(
    ("objective", "settings", "message"),
    [
        ("prg", SearchSettings(), "unknown objective 'prg'; did you mean 'prf'"),
        ("prf", SearchSettings("exactly"), "unknown optimizer 'exactly'; did you mean 'exact'"),
        ("prf", SearchSettings(particles=0), "particles: at least 1"),
        ("prf", SearchSettings("exact", runs=0), "at least 1 start"),
    ],
    ids=["objective", "optimizer", "particles", "starts"],
)
def test_tune_rejects_invalid_arguments(objective: str, settings: SearchSettings, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        tune(random_table(0), objective, settings)


@pytest.mark.parametrize("bounds", [(0.4, 0.1), (0.2, 0.2), (-0.1, 0.4), (0.1, 1.5)], ids=str)
def test_search_settings_reject_invalid_bounds(bounds: tuple[float, float]) -> None:
    low, high = bounds
    with pytest.raises(UserError, match=rf"^bounds {low:g} {high:g} were given, 0 <= LOW < HIGH <= 1 is allowed$"):
        SearchSettings(bounds=bounds)


def test_tune_requires_a_video() -> None:
    with pytest.raises(ValueError, match="no video to tune on"):
        tune(PresenceTable(np.zeros((0, 6)), np.zeros((0, 6), bool)), "prf", SearchSettings())


def test_gates_on_bound_marks_both_bounds() -> None:
    assert gates_on_bound(np.array([0.1, 0.2, 0.4]), (0.1, 0.4)).tolist() == [True, False, True]
