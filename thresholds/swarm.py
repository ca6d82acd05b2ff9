"""Particle swarms: SPSO-2011, built on pyswarms' parts, and pyswarms' own global-best swarm.

SPSO-2011 is Clerc, "Standard Particle Swarm Optimisation" (2012); the A2D actor-action challenge report finds the gates
with it (section 3.1.1, equations 1 and 2). This is the only file that imports pyswarms, and only when a swarm runs.
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
INFORMED = 3  # how many others each particle informs
REBOUND = -0.5  # what is left of a velocity component that ran into a bound

# Clerc and Kennedy's constriction (2002), the usual constants of the global-best swarm.
GLOBAL_BEST_OPTIONS = {"c1": 1.49618, "c2": 1.49618, "w": 0.7298}

LOGGING_FILE = Path(__file__).with_name("pyswarms_logging.yaml")

FloatArray = NDArray[np.float64]
SwarmObjective = Callable[[FloatArray], FloatArray]
"""Positions (particles, dimensions) in, values (particles,) out; lower is better."""


@dataclass(frozen=True)
class SwarmResult:
    """What a search found.

    Attributes:
        position: The best place of all runs, shape (dimensions,).
        value: The objective there.
        run_values: Best value of each run, shape (runs,).
        history: Best value up to each iteration, shape (runs, iterations).
    """

    position: FloatArray
    value: float
    run_values: FloatArray
    history: FloatArray


@dataclass(frozen=True)
class _Run:
    position: FloatArray  # (dimensions,)
    history: FloatArray  # (iterations,), falling


@dataclass(frozen=True)
class _Box:
    """The space that is searched: shape (dimensions,) each, lower <= upper."""

    lower: FloatArray
    upper: FloatArray

    def __post_init__(self) -> None:
        if self.lower.ndim != 1 or self.lower.shape != self.upper.shape or not self.lower.size:
            raise ValueError(f"bounds (dimensions,) were expected, found {self.lower.shape = }, {self.upper.shape = }")
        if not (np.isfinite(self.lower) & np.isfinite(self.upper) & (self.lower <= self.upper)).all():
            raise ValueError(f"finite bounds, lower <= upper, were expected, found {self.lower} and {self.upper}")

    @property
    def pair(self) -> tuple[FloatArray, FloatArray]:
        """The bounds as pyswarms takes them."""
        return self.lower, self.upper


def minimise(
    objective: SwarmObjective,
    bounds: tuple[FloatArray, FloatArray],
    *,
    optimizer: str = "spso2011",
    particles: int = 40,
    iterations: int = 10,
    runs: int = 4,
    seed: int = 0,
) -> SwarmResult:
    """Minimise a function over a box; the defaults are those of the challenge report.

    Args:
        objective: Takes positions (particles, dimensions), gives values (particles,). Called once an iteration.
        bounds: Lower and upper bounds, shape (dimensions,) each.
        optimizer: `spso2011`, or `gbest`: the global-best swarm with an inertia weight.
        particles: Size of the swarm.
        iterations: Evaluations of the whole swarm, the first of them at its random start.
        runs: Independent runs, of which the best counts; each has a seed of its own.
        seed: From 0. The same seed gives the same result; numpy's global generator is left as it was.

    Returns:
        The best place found, with what each run reached.

    Raises:
        ValueError: If an argument is out of range, or the objective gives another shape or something not finite.
    """
    if optimizer not in OPTIMIZERS:
        raise ValueError(f"unknown optimizer {optimizer!r}; {nearest(optimizer, OPTIMIZERS)}")
    for name, number in {"particles": particles, "iterations": iterations, "runs": runs}.items():
        if number < 1:
            raise ValueError(f"{name}: at least 1 was expected, found {number}")
    if seed < 0:
        raise ValueError(f"seed: a whole number from 0 was expected, found {seed}")
    box = _Box(np.asarray(bounds[0], dtype=np.float64), np.asarray(bounds[1], dtype=np.float64))
    run = OPTIMIZERS[optimizer]
    finished = []
    for sequence in np.random.SeedSequence(seed).spawn(runs):
        with _silent_pyswarms(), _seeded_global_generator(sequence):
            finished.append(run(_checked(objective), box, particles, iterations, np.random.default_rng(sequence)))
    history = np.stack([run.history for run in finished])
    best = int(history[:, -1].argmin())
    return SwarmResult(finished[best].position, float(history[best, -1]), history[:, -1].copy(), history)


def _checked(objective: SwarmObjective) -> SwarmObjective:
    """Stop at values of a wrong shape, or not finite: a nan would never be beaten and never beat, without a word."""

    def evaluate(positions: FloatArray) -> FloatArray:
        values = np.asarray(objective(positions), dtype=np.float64)
        if values.shape != positions.shape[:1] or not np.isfinite(values).all():
            raise ValueError(f"the objective should give {len(positions)} finite values, it gave {values!r}")
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
    # Left to draw neighbours by itself, pyswarms 1.3.0 stacks rows of unequal length into one array, which numpy has
    # refused since 1.24. A "static" topology uses the neighbours that it is given, so SPSO's own are given to it.
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
    """Let each particle inform itself and `INFORMED` drawn ones; give, for each, the ones that inform it.

    Drawn with replacement, as Clerc has it, so that each particle has between one informant (itself) and all.
    """
    informs = np.eye(particles, dtype=bool)
    informs[np.arange(particles)[:, None], rng.integers(particles, size=(particles, INFORMED))] = True
    return [np.flatnonzero(column) for column in informs.T]


def _move(swarm: Any, box: _Box, to_nearest_bound: Callable[..., FloatArray], rng: np.random.Generator) -> None:
    """Move a pyswarms swarm by v(t+1) = w·v(t) + x' − x, x(t+1) = x + v(t+1), and keep it inside its box."""
    target = sample_target(swarm.position, swarm.pbest_pos, swarm.best_pos, rng)
    velocity = INERTIA * swarm.velocity + target - swarm.position
    wanted = swarm.position + velocity
    swarm.position = to_nearest_bound(wanted, box.pair)
    # pyswarms' VelocityHandler("invert") would turn whole particles round; only the component that hit should turn.
    swarm.velocity = np.where(wanted == swarm.position, velocity, REBOUND * velocity)


def sample_target(
    position: FloatArray, own_best: FloatArray, neighbourhood_best: FloatArray, rng: np.random.Generator
) -> FloatArray:
    """Draw x' of SPSO-2011 for every particle: a point of the ball round G that reaches from G to x.

    G = x + c·(p + l − 2x)/3, and G = x + c·(p − x)/2 for a particle that is its neighbourhood's best. The report says
    "sampled from the hypersphere" and no more; here the draw is uniform over the ball's volume: a direction from the
    normal distribution, and a radius that is U^(1/dimensions) of the ball's.

    Args:
        position: x, shape (particles, dimensions).
        own_best: p, the best place of each particle, same shape.
        neighbourhood_best: l, the best place among its informants, same shape.
        rng: Where the chance comes from.

    Returns:
        x', shape (particles, dimensions).
    """
    to_own, to_neighbours = own_best - position, neighbourhood_best - position
    is_best = (own_best == neighbourhood_best).all(axis=1, keepdims=True)
    offset = ATTRACTION * np.where(is_best, to_own / 2, (to_own + to_neighbours) / 3)
    radius = np.linalg.norm(offset, axis=1, keepdims=True)
    direction = rng.standard_normal(position.shape)
    direction /= np.linalg.norm(direction, axis=1, keepdims=True)
    depth = rng.random((len(position), 1)) ** (1 / position.shape[1])
    return position + offset + radius * depth * direction


def _run_global_best(
    objective: SwarmObjective, box: _Box, particles: int, iterations: int, rng: np.random.Generator
) -> _Run:
    """Run pyswarms' global-best swarm; its chance comes from numpy's global generator alone, so `rng` is not used."""
    from pyswarms.single import GlobalBestPSO

    # Without a clamp pyswarms starts every velocity in [0, 1): all particles would leave a narrow box at its upper end.
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
    """Keep pyswarms from setting up logging for the whole process, as its import and each of its objects does.

    Undisturbed, it adds two handlers to the root logger, sets the level and opens `report.log` in the working folder.
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
    """Seed numpy's global generator, the only one that pyswarms draws from, and put the caller's state back after."""
    before = np.random.get_state()  # noqa: NPY002
    np.random.seed(sequence.generate_state(4))  # noqa: NPY002
    try:
        yield
    finally:
        np.random.set_state(before)  # noqa: NPY002
