"""Particle swarm optimisation: SPSO-2011, built from components of pyswarms, and pyswarms' global-best swarm.

SPSO-2011 is Clerc, "Standard Particle Swarm Optimisation" (2012); the A2D actor-action challenge report tunes the gates
with it (section 3.1.1, equations 1 and 2). This is the only module that imports pyswarms, and only when a swarm runs.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from math import log
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from common.files import nearest

INERTIA = 1 / (2 * log(2))
ATTRACTION = 0.5 + log(2)
INFORMED = 3  # particles that each particle informs besides itself
REBOUND = -0.5  # factor of a velocity component whose particle hit a bound

# Clerc and Kennedy's constriction coefficients (2002), the usual constants of the global-best swarm.
GLOBAL_BEST_OPTIONS = {"c1": 1.49618, "c2": 1.49618, "w": 0.7298}

LOGGING_FILE = Path(__file__).with_name("pyswarms_logging.yaml")

FloatArray = NDArray[np.float64]
SwarmObjective = Callable[[FloatArray], FloatArray]
"""Maps positions (particles, dimensions) to values (particles,); lower is better."""


@dataclass(frozen=True)
class SwarmSettings:
    """Size of the search.

    Attributes:
        optimizer: `spso2011`, or `gbest`, the global-best swarm with an inertia weight.
        particles: Number of particles in the swarm.
        iterations: Evaluations of the whole swarm, including the first at its random initial positions.
        runs: Independent runs with different seeds, the best of which counts.
        seed: Seed from 0; equal seeds give equal results.
    """

    optimizer: str
    particles: int
    iterations: int
    runs: int
    seed: int

    def __post_init__(self) -> None:
        """Check the settings.

        Raises:
            ValueError: If the optimizer is unknown or a number is too small.
        """
        if self.optimizer not in OPTIMIZERS:
            raise ValueError(f"unknown optimizer {self.optimizer!r}; {nearest(self.optimizer, OPTIMIZERS)}")
        for name in ("particles", "iterations", "runs"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}: at least 1 was expected, found {getattr(self, name)}")
        if self.seed < 0:
            raise ValueError(f"seed: a whole number from 0 was expected, found {self.seed}")


@dataclass(frozen=True)
class SwarmResult:
    """Result of a search.

    Attributes:
        position: Best position of all runs, shape (dimensions,).
        value: The objective at this position.
        history: Best value up to each iteration, shape (runs, iterations).
    """

    position: FloatArray
    value: float
    history: FloatArray


@dataclass(frozen=True)
class _Run:
    position: FloatArray  # (dimensions,)
    history: FloatArray  # (iterations,), non-increasing


@dataclass(frozen=True)
class _Box:
    """The search space: bounds of shape (dimensions,) each, lower <= upper."""

    lower: FloatArray
    upper: FloatArray

    def __post_init__(self) -> None:
        if self.lower.ndim != 1 or self.lower.shape != self.upper.shape or not self.lower.size:
            raise ValueError(f"bounds (dimensions,) were expected, found {self.lower.shape = }, {self.upper.shape = }")
        if not (np.isfinite(self.lower) & np.isfinite(self.upper) & (self.lower <= self.upper)).all():
            raise ValueError(f"finite bounds, lower <= upper, were expected, found {self.lower} and {self.upper}")

    @property
    def pair(self) -> tuple[FloatArray, FloatArray]:
        """The bounds as pyswarms expects them."""
        return self.lower, self.upper


def minimise(objective: SwarmObjective, bounds: tuple[FloatArray, FloatArray], settings: SwarmSettings) -> SwarmResult:
    """Minimise a function over a box. The state of numpy's global random generator is preserved.

    Args:
        objective: Maps positions (particles, dimensions) to values (particles,); called once per iteration.
        bounds: Lower and upper bounds, shape (dimensions,) each.
        settings: Size of the search.

    Returns:
        The best position, and the history of all runs.

    Raises:
        ValueError: If the bounds are invalid, or the objective's values have another shape or are not finite.
    """
    box = _Box(np.asarray(bounds[0], dtype=np.float64), np.asarray(bounds[1], dtype=np.float64))
    run_swarm = OPTIMIZERS[settings.optimizer]
    runs = []
    for sequence in np.random.SeedSequence(settings.seed).spawn(settings.runs):
        rng = np.random.default_rng(sequence)
        with _silent_pyswarms(), _seeded_global_generator(sequence):
            runs.append(run_swarm(_checked(objective), box, settings.particles, settings.iterations, rng))
    history = np.stack([run.history for run in runs])
    best = int(history[:, -1].argmin())
    return SwarmResult(runs[best].position, float(history[best, -1]), history)


def _checked(objective: SwarmObjective) -> SwarmObjective:
    """Reject values of a wrong shape and non-finite values: comparisons with NaN would silently always fail."""

    def evaluate(positions: FloatArray) -> FloatArray:
        values = np.asarray(objective(positions), dtype=np.float64)
        if values.shape != positions.shape[:1] or not np.isfinite(values).all():
            raise ValueError(f"the objective should return {len(positions)} finite values, it returned {values!r}")
        return values

    return evaluate


def _run_spso2011(
    objective: SwarmObjective, box: _Box, particles: int, iterations: int, rng: np.random.Generator
) -> _Run:
    """Run one SPSO-2011 swarm."""
    from pyswarms.backend import BoundaryHandler, compute_pbest, create_swarm
    from pyswarms.backend.topology import Random

    swarm = create_swarm(particles, len(box.lower), bounds=box.pair)
    swarm.velocity = rng.uniform(box.lower, box.upper, swarm.position.shape) - swarm.position
    swarm.pbest_cost = np.full(particles, np.inf)
    to_nearest_bound = BoundaryHandler("nearest")
    # When pyswarms 1.3.0 draws neighbours itself, it stacks rows of unequal length into one array, which numpy has
    # rejected since 1.24. A "static" topology uses given neighbours instead, here those of SPSO.
    topology = Random(static=True)
    topology.neighbor_idx = _draw_informants(particles, rng)
    history = np.empty(iterations)
    for iteration in range(iterations):
        if iteration:
            _move(swarm, box, to_nearest_bound, rng)
        swarm.current_cost = objective(swarm.position)
        swarm.pbest_pos, swarm.pbest_cost = compute_pbest(swarm)
        history[iteration] = swarm.pbest_cost.min()
        if iteration and history[iteration] >= history[iteration - 1]:
            topology.neighbor_idx = _draw_informants(particles, rng)
        swarm.best_pos, swarm.best_cost = topology.compute_gbest(swarm, INFORMED)
    return _Run(swarm.pbest_pos[swarm.pbest_cost.argmin()].copy(), history)


def _draw_informants(particles: int, rng: np.random.Generator) -> list[NDArray[np.intp]]:
    """Draw the informants of each particle.

    Each particle informs itself and `INFORMED` particles drawn with replacement, as in Clerc's definition, so each
    particle has between one informant (itself) and all.

    Returns:
        Indices of each particle's informants.
    """
    informs = np.eye(particles, dtype=bool)
    informs[np.arange(particles)[:, None], rng.integers(particles, size=(particles, INFORMED))] = True
    return [np.flatnonzero(column) for column in informs.T]


def _move(swarm: Any, box: _Box, to_nearest_bound: Callable[..., FloatArray], rng: np.random.Generator) -> None:
    """Move a pyswarms swarm by v(t+1) = w·v(t) + x' − x, x(t+1) = x + v(t+1), and keep it inside its box."""
    target = sample_target(swarm.position, swarm.pbest_pos, swarm.best_pos, rng)
    velocity = INERTIA * swarm.velocity + target - swarm.position
    unbounded = swarm.position + velocity
    swarm.position = to_nearest_bound(unbounded, box.pair)
    # pyswarms' VelocityHandler("invert") would reverse all components; only those that hit a bound must be reversed.
    swarm.velocity = np.where(unbounded == swarm.position, velocity, REBOUND * velocity)


def sample_target(
    position: FloatArray, personal_best: FloatArray, neighbourhood_best: FloatArray, rng: np.random.Generator
) -> FloatArray:
    """Draw x' of SPSO-2011 for every particle: a random point in the ball with centre G and radius |G − x|.

    G = x + c·(p + l − 2x)/3, and G = x + c·(p − x)/2 for a particle that is its neighbourhood's best. The report only
    specifies "sampled from the hypersphere"; here, points are uniform in the ball's volume: the direction is drawn from
    the normal distribution, and the distance from G is U^(1/dimensions) of the radius.

    Args:
        position: x, shape (particles, dimensions).
        personal_best: p, the best position of each particle, same shape.
        neighbourhood_best: l, the best position among its informants, same shape.
        rng: Random generator.

    Returns:
        x', shape (particles, dimensions).
    """
    to_personal, to_neighbours = personal_best - position, neighbourhood_best - position
    is_best = (personal_best == neighbourhood_best).all(axis=1, keepdims=True)
    offset = ATTRACTION * np.where(is_best, to_personal / 2, (to_personal + to_neighbours) / 3)
    radius = np.linalg.norm(offset, axis=1, keepdims=True)
    direction = rng.standard_normal(position.shape)
    direction /= np.linalg.norm(direction, axis=1, keepdims=True)
    depth = rng.random((len(position), 1)) ** (1 / position.shape[1])
    return position + offset + radius * depth * direction


def _run_global_best(
    objective: SwarmObjective, box: _Box, particles: int, iterations: int, rng: np.random.Generator
) -> _Run:
    """Run pyswarms' global-best swarm; it draws from numpy's global generator only, so `rng` is not used."""
    from pyswarms.single import GlobalBestPSO

    # Without a clamp, initial velocities are in [0, 1), so all particles would leave a small box at its upper bounds.
    width = box.upper - box.lower
    swarm = GlobalBestPSO(
        particles,
        len(box.lower),
        GLOBAL_BEST_OPTIONS,
        bounds=box.pair,
        bh_strategy="nearest",
        velocity_clamp=(-width, width),
    )
    _, position = swarm.optimize(objective, iterations, verbose=False)
    return _Run(np.asarray(position, dtype=np.float64), np.asarray(swarm.cost_history, dtype=np.float64))


OPTIMIZERS: dict[str, Callable[[SwarmObjective, _Box, int, int, np.random.Generator], _Run]] = {
    "spso2011": _run_spso2011,
    "gbest": _run_global_best,
}


@contextmanager
def _silent_pyswarms() -> Iterator[None]:
    """Prevent pyswarms from configuring logging for the whole process.

    By default, its import and each of its objects add two handlers to the root logger, set its level and open
    `report.log` in the working folder.
    """
    before = os.environ.get("LOG_CFG")
    os.environ["LOG_CFG"] = str(LOGGING_FILE)
    try:
        yield
    finally:
        if before is None:
            del os.environ["LOG_CFG"]
        else:
            os.environ["LOG_CFG"] = before


@contextmanager
def _seeded_global_generator(sequence: np.random.SeedSequence) -> Iterator[None]:
    """Seed numpy's global generator, the only one that pyswarms draws from, and restore its state afterwards."""
    before = np.random.get_state()  # noqa: NPY002
    np.random.seed(sequence.generate_state(4))  # noqa: NPY002
    try:
        yield
    finally:
        np.random.set_state(before)  # noqa: NPY002
