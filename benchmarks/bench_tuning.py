"""Speed of tuning the gates with the challenge report's settings: all particles at once, or one after the other.

Run from the repository root: `python -m benchmarks.bench_tuning [--out result.json]`. Imports are not timed.
"""

import argparse
import json
import platform
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median

import numpy as np
from numpy.typing import NDArray

from a2d.metrics import count
from common.files import write_atomically
from thresholds.fitness import OBJECTIVES, GateScores, PresenceTable, score_gates
from thresholds.swarm import SwarmResult, SwarmSettings, minimise

VIDEOS = 3782  # as many as in A2D
PARTICLES, ITERATIONS, RUNS = 40, 10, 4
LOWER, UPPER = 0.1, 0.4
ACTOR_SHARES = (0.45, 0.11, 0.17, 0.14, 0.16, 0.19)  # videos with a person, ball, bird, car, cat, dog: similar to A2D

ScoreFunction = Callable[[NDArray[np.float64], NDArray[np.bool_], NDArray[np.float64]], GateScores]
"""Scores sets of gates (particles, actors) on presence ratios and ground truth, both of shape (videos, actors)."""


@dataclass(frozen=True)
class Timing:
    """Measurements of one implementation.

    Attributes:
        name: Name of the implementation.
        median_seconds: Median time of a tuning with all its runs and iterations.
        fastest_seconds: Shortest time of a tuning.
        value: The objective reached.
    """

    name: str
    median_seconds: float
    fastest_seconds: float
    value: float


def simulate_presence(seed: int = 0) -> PresenceTable:
    """Simulate detections: most present actors are detected often, most absent ones never.

    Args:
        seed: Seed of the simulation.

    Returns:
        Ratios and ground truth of `VIDEOS` videos of 24 to 300 frames; each video has at least one actor.
    """
    rng = np.random.default_rng(seed)
    shape = (VIDEOS, len(ACTOR_SHARES))
    truth = rng.random(shape) < ACTOR_SHARES
    empty = ~truth.any(axis=1)
    truth[empty, rng.integers(shape[1], size=int(empty.sum()))] = True
    detection_rate = np.where(truth, rng.beta(1.2, 0.8, shape), rng.beta(0.15, 3.0, shape))
    frames = rng.integers(24, 301, size=(VIDEOS, 1))
    return PresenceTable(rng.binomial(frames, detection_rate) / frames, truth)


def score_one_by_one(ratios: NDArray[np.float64], truth: NDArray[np.bool_], gates: NDArray[np.float64]) -> GateScores:
    """Score each set of gates with `a2d.metrics`, in a loop over the particles."""
    scores = [count(ratios >= particle, truth).sample_averaged for particle in gates]
    return GateScores(*np.array([(score.precision, score.recall, score.f1) for score in scores]).T)


def tune_with(score: ScoreFunction, table: PresenceTable) -> SwarmResult:
    """Tune −P·R·F1 with the report's settings and a given implementation of the scores."""
    box = (np.full(table.actors, LOWER), np.full(table.actors, UPPER))
    return minimise(
        lambda gates: OBJECTIVES["prf"](score(table.ratios, table.truth, gates)),
        box,
        SwarmSettings("spso2011", PARTICLES, ITERATIONS, RUNS, seed=0),
    )


def measure(name: str, run: Callable[[], SwarmResult], repeats: int) -> Timing:
    """Time a tuning several times, after a warm-up that also does the imports."""
    value = run().value
    seconds = []
    for _ in range(repeats):
        started = time.perf_counter()
        run()
        seconds.append(time.perf_counter() - started)
    return Timing(name, median(seconds), min(seconds), value)


def main(argv: Sequence[str] | None = None) -> int:
    """Measure both implementations, print the table and, if a file is given, write the JSON."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--repeats", type=int, default=7, help="timed runs of each (default: %(default)s)")
    parser.add_argument("--out", type=Path, help="JSON file for the measurements")
    arguments = parser.parse_args(argv)
    if arguments.repeats < 1:
        parser.error(f"--repeats: at least 1 was expected, found {arguments.repeats}")
    table = simulate_presence()
    loop = measure("one particle at a time", lambda: tune_with(score_one_by_one, table), arguments.repeats)
    vectorized = measure("all particles at once", lambda: tune_with(score_gates, table), arguments.repeats)
    print(
        f"{VIDEOS} videos, {RUNS} runs x {PARTICLES} particles x {ITERATIONS} iterations, median of {arguments.repeats}"
    )
    print(f"{'scoring':<24}{'median s':>10}{'fastest s':>11}{'speed-up':>10}{'−P·R·F1':>10}")
    for timing in (loop, vectorized):
        speedup = loop.median_seconds / timing.median_seconds
        print(
            f"{timing.name:<24}{timing.median_seconds:>10.3f}{timing.fastest_seconds:>11.3f}"
            f"{speedup:>9.1f}x{timing.value:>10.4f}"
        )
    if arguments.out:
        settings = {"videos": VIDEOS, "particles": PARTICLES, "iterations": ITERATIONS, "runs": RUNS}
        versions = {"python": platform.python_version(), "numpy": np.__version__, "machine": platform.machine()}
        timings = [asdict(loop), asdict(vectorized)]
        content = {**settings, "repeats": arguments.repeats, **versions, "timings": timings}
        write_atomically(arguments.out, json.dumps(content, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
