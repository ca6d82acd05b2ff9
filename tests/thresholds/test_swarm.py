"""Both swarms find minima reproducibly and leave the process as it was."""

import os
import subprocess
import sys
import textwrap
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from numpy.typing import NDArray

from thresholds import swarm
from thresholds.swarm import OPTIMIZERS, SwarmSettings, minimise, sample_target

DEFAULTS = SwarmSettings("spso2011", particles=40, iterations=10, runs=4, seed=0)
CENTRE = np.array([0.15, 0.2, 0.3])
BOX = (np.full(3, 0.1), np.full(3, 0.4))

every_optimizer = pytest.mark.parametrize("optimizer", OPTIMIZERS)


def settings(optimizer: str, **changes: int) -> SwarmSettings:
    return replace(DEFAULTS, optimizer=optimizer, **changes)


def sphere(positions: NDArray[np.float64]) -> NDArray[np.float64]:
    return ((positions - CENTRE) ** 2).sum(axis=1)


@every_optimizer
def test_minimise_finds_the_minimum_of_a_shifted_sphere(optimizer: str) -> None:
    result = minimise(sphere, BOX, settings(optimizer, iterations=80))
    assert result.value < 1e-6
    np.testing.assert_allclose(result.position, CENTRE, atol=1e-3)


@every_optimizer
def test_minimise_finds_a_minimum_on_the_bounds(optimizer: str) -> None:
    result = minimise(lambda positions: positions.sum(axis=1), BOX, settings(optimizer, iterations=60))
    np.testing.assert_allclose(result.position, BOX[0], atol=1e-3)


@every_optimizer
def test_result_is_consistent(optimizer: str) -> None:
    result = minimise(sphere, BOX, settings(optimizer, particles=5, iterations=7, runs=3))
    assert result.position.shape == (3,)
    assert result.history.shape == (3, 7)
    assert result.value == result.history[:, -1].min() == sphere(result.position[None])[0]
    assert (np.diff(result.history) <= 0).all()
    assert len(set(result.history[:, -1])) == 3, "runs must have different seeds"


@every_optimizer
def test_minimise_evaluates_whole_swarms_within_the_bounds(optimizer: str) -> None:
    evaluated: list[NDArray[np.float64]] = []

    def record(positions: NDArray[np.float64]) -> NDArray[np.float64]:
        evaluated.append(positions.copy())
        return sphere(positions)

    minimise(record, BOX, settings(optimizer, particles=9, iterations=6, runs=2))
    assert [positions.shape for positions in evaluated] == [(9, 3)] * 12
    assert all(((positions >= BOX[0]) & (positions <= BOX[1])).all() for positions in evaluated)


@every_optimizer
def test_equal_seeds_give_equal_results(optimizer: str) -> None:
    first, again, other = (minimise(sphere, BOX, settings(optimizer, seed=seed)) for seed in (5, 5, 6))
    assert_array_equal(first.position, again.position)
    assert_array_equal(first.history, again.history)
    assert (first.history != other.history).any()


@every_optimizer
@pytest.mark.parametrize("fails", [False, True], ids=["finishes", "raises"])
def test_global_generator_and_environment_are_preserved(
    optimizer: str, fails: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOG_CFG", "set by the caller")
    np.random.seed(1)
    expected = np.random.random(3)
    np.random.seed(1)
    if fails:
        with pytest.raises(ZeroDivisionError):
            minimise(lambda positions: positions / 0 if 1 // 0 else positions, BOX, settings(optimizer))
    else:
        minimise(sphere, BOX, settings(optimizer))
    assert_array_equal(np.random.random(3), expected)
    assert os.environ["LOG_CFG"] == "set by the caller"


@every_optimizer
@pytest.mark.parametrize(("particles", "iterations"), [(1, 1), (1, 4), (2, 3)])
def test_minimise_with_the_smallest_swarms(optimizer: str, particles: int, iterations: int) -> None:
    result = minimise(sphere, BOX, settings(optimizer, particles=particles, iterations=iterations, runs=1))
    assert result.history.shape == (1, iterations)


@every_optimizer
def test_bounds_may_be_equal(optimizer: str) -> None:
    point = np.array([0.2, 0.2, 0.2])
    assert_array_equal(minimise(sphere, (point, point), settings(optimizer)).position, point)


@pytest.mark.parametrize("dimensions", [1, 2, 6])
def test_targets_are_uniform_in_the_ball(dimensions: int) -> None:
    rng = np.random.default_rng(0)
    personal, best = np.full((20_000, dimensions), 2.0), np.full((20_000, dimensions), 3.0)
    targets = sample_target(np.zeros_like(personal), personal, best, rng)
    centre = swarm.ATTRACTION * (personal + best)[0] / 3
    radius = np.linalg.norm(centre)
    depths = np.linalg.norm(targets - centre, axis=1) / radius
    assert depths.max() <= 1 + 1e-12
    # Uniform over the volume: the share of points within a relative distance r is r^dimensions.
    np.testing.assert_allclose((depths < 0.5 ** (1 / dimensions)).mean(), 0.5, atol=0.02)
    np.testing.assert_allclose(targets.mean(axis=0), centre, atol=0.05)


def test_target_of_the_best_particle_of_a_neighbourhood() -> None:
    best = np.tile([2.0, 0.0], (20_000, 1))
    targets = sample_target(0 * best, best, best, np.random.default_rng(0))
    centre = swarm.ATTRACTION * best[0] / 2
    depths = np.linalg.norm(targets - centre, axis=1) / np.linalg.norm(centre)
    assert 0.9 < depths.max() <= 1 + 1e-12
    np.testing.assert_allclose(targets.mean(axis=0), centre, atol=0.05)


def test_target_of_a_particle_at_all_best_positions() -> None:
    position = np.full((1, 3), 0.25)
    assert_array_equal(sample_target(position, position, position, np.random.default_rng(0)), position)


def test_informants_are_the_particle_itself_and_a_few_drawn_ones() -> None:
    informants = swarm._draw_informants(40, np.random.default_rng(0))
    assert all(particle in indices for particle, indices in enumerate(informants))
    assert 2 * 40 < sum(map(len, informants)) <= 4 * 40


@pytest.mark.parametrize(("improves", "draws"), [(False, 6), (True, 1)], ids=["stagnating", "improving"])
def test_informants_are_drawn_again_after_an_iteration_without_improvement(
    improves: bool, draws: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn, evaluated = [], []
    draw_informants = swarm._draw_informants

    def record(particles: int, rng: np.random.Generator) -> list[NDArray[np.intp]]:
        drawn.append(draw_informants(particles, rng))
        return drawn[-1]

    def objective(positions: NDArray[np.float64]) -> NDArray[np.float64]:
        evaluated.append(len(positions))
        return np.full(len(positions), -float(len(evaluated)) if improves else 0.0)

    monkeypatch.setattr(swarm, "_draw_informants", record)
    minimise(objective, BOX, settings("spso2011", iterations=6, runs=1))
    assert len(drawn) == draws


def test_initial_velocities_lead_to_points_in_the_box(monkeypatch: pytest.MonkeyPatch) -> None:
    destinations = []
    move = swarm._move

    def record(moved: Any, *rest: Any) -> None:
        destinations.append(moved.position + moved.velocity)
        move(moved, *rest)

    monkeypatch.setattr(swarm, "_move", record)
    minimise(sphere, BOX, settings("spso2011", particles=100, iterations=2, runs=1))
    (points,) = destinations
    assert ((points >= BOX[0] - 1e-12) & (points <= BOX[1] + 1e-12)).all()
    np.testing.assert_allclose(points.mean(axis=0), (BOX[0] + BOX[1]) / 2, atol=0.03)


def test_constants_are_those_of_the_literature() -> None:
    assert pytest.approx(0.721, abs=1e-3) == swarm.INERTIA  # Clerc (2012), section 3
    assert pytest.approx(1.193, abs=1e-3) == swarm.ATTRACTION
    assert (swarm.INFORMED, swarm.REBOUND) == (3, -0.5)
    phi = 4.1  # Clerc and Kennedy (2002)
    constriction = 2 / (phi - 2 + np.sqrt(phi**2 - 4 * phi))
    expected = {"c1": constriction * phi / 2, "c2": constriction * phi / 2, "w": constriction}
    assert pytest.approx(expected, abs=1e-4) == swarm.GLOBAL_BEST_OPTIONS


def test_only_velocity_components_at_a_bound_are_reversed() -> None:
    class Swarm:
        position = np.array([[0.2, 0.39]])
        velocity = np.array([[0.02, 0.2]])
        pbest_pos = best_pos = position

    box = swarm._Box(np.full(2, 0.1), np.full(2, 0.4))
    swarm._move(Swarm, box, lambda position, bounds: position.clip(*bounds), np.random.default_rng(0))
    np.testing.assert_allclose(Swarm.position, [[0.2 + swarm.INERTIA * 0.02, 0.4]])
    np.testing.assert_allclose(Swarm.velocity, [[swarm.INERTIA * 0.02, -0.5 * swarm.INERTIA * 0.2]])


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"optimizer": "spso"}, "unknown optimizer 'spso'; did you mean 'spso2011'"),
        ({"particles": 0}, "particles: at least 1"),
        ({"iterations": 0}, "iterations: at least 1"),
        ({"runs": 0}, "runs: at least 1"),
        ({"seed": -1}, "seed: a whole number from 0"),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else "",
)
def test_swarm_settings_reject_invalid_values(changed: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        replace(DEFAULTS, **changed)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"bounds": (BOX[1], BOX[0])}, "lower <= upper"),
        ({"bounds": (BOX[0], BOX[1][:2])}, "bounds \\(dimensions,\\) were expected"),
        ({"objective": lambda positions: positions}, "finite values"),
        ({"objective": lambda positions: np.full(len(positions), np.nan)}, "finite values"),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else "",
)
def test_minimise_rejects_invalid_arguments(changed: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        minimise(**{"objective": sphere, "bounds": BOX, "settings": DEFAULTS, **changed})


SILENCE_CHECK = """
    import logging, os, sys
    handler = logging.NullHandler()
    logging.root.addHandler(handler)
    logging.root.setLevel(logging.ERROR)

    def is_unchanged() -> bool:
        root = logging.root
        return root.handlers == [handler] and root.level == logging.ERROR and "LOG_CFG" not in os.environ

    from thresholds.swarm import OPTIMIZERS, SwarmSettings, minimise
    assert "pyswarms" not in sys.modules, "importing thresholds.swarm must not load pyswarms"
    for optimizer in OPTIMIZERS:
        minimise(lambda positions: positions.sum(axis=1), ([0.0], [1.0]), SwarmSettings(optimizer, 4, 10, 2, 0))
        assert is_unchanged(), optimizer
    assert "pyswarms" in sys.modules
    assert os.listdir() == [], os.listdir()
"""


def test_pyswarms_adds_no_log_file_and_no_handler(tmp_path: Path) -> None:
    root = Path(__file__).parents[2]
    environment = {key: value for key, value in os.environ.items() if key != "LOG_CFG"} | {"PYTHONPATH": str(root)}
    command = [sys.executable, "-c", textwrap.dedent(SILENCE_CHECK)]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout == ""
    assert done.stderr == ""
