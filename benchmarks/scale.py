"""Tagging with several workers, on Ray, and on many machines (simulated); memory of the process that drives them.

Run from the repository root, on a machine with two cores or more that does nothing else:

    python -m benchmarks.scale --clips $KIT/clips/*.mp4 --every 2 --out benchmarks/scale.json
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from itertools import islice
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from benchmarks.commands import peak_bytes
from benchmarks.fleet import Costs, simulate
from benchmarks.report import add_clip_arguments, make_parser, publish
from common.paths import PROJECT
from pipeline.supervision.blocks import block_sizes

ONE, TWO, ON_RAY = "1 worker, 1 core", "2 workers, 1 core each", "2 workers, 1 core each, on Ray"
FEW = 2  # clips, of which a run costs hardly more than its start
UNREADABLE = 200
FLEETS = (10, 100, 1000)
MILLION = 1_000_000
POLLING_SECONDS = 0.2
MAX_ROWS = 10_000


@dataclass(frozen=True)
class Run:
    """A run of `tag`.

    Attributes:
        seconds: Wall-clock time from its start to its end.
        driver_bytes: Peak resident memory of the process that gives the workers their tasks, without them.
        rows: Its results, the first ones.
    """

    seconds: float
    driver_bytes: int
    rows: list[dict[str, Any]]


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, simulate, print the tables, write the JSON."""
    parser = make_parser(__doc__, repeats=3)
    add_clip_arguments(parser)
    parser.add_argument(
        "--paths",
        type=int,
        nargs="*",
        default=[1_000, 100_000, 1_000_000],
        help="of runs on Ray over so many files that are not there, to measure the driver (default: %(default)s)",
    )
    arguments = parser.parse_args(argv)
    clips = [clip.resolve() for clip in arguments.clips[:: arguments.every]]
    ways = {
        ONE: ([], 1),
        TWO: (["--workers", "2"], 2),
        ON_RAY: (["--workers", "2", "--engine", "ray", "--cpus-per-worker", "1"], 2),
    }
    tag(clips[:FEW], [], 2)  # converts the networks
    runs: dict[str, list[Run]] = {name: [] for name in ways}
    starts: dict[str, list[Run]] = {name: [] for name in ways}
    for number in range(arguments.repeats):
        for name in list(ways)[:: 1 if number % 2 else -1]:
            runs[name].append(tag(clips, *ways[name]))
            starts[name].append(tag(clips[:FEW], *ways[name]))
    rows: dict[str, dict[str, float]] = {name: _of_workers(name, runs, starts, len(clips)) for name in ways}
    costs = _costs(runs, starts)
    drivers = {count: _run_driver(count) for count in sorted(arguments.paths)}
    for count, run in drivers.items():
        rows[f"driver of {count:,} clips"] = {"seconds": run.seconds, "driver_mb": run.driver_bytes / 1e6}
    if len(drivers) > 1:
        few, many = min(drivers), max(drivers)
        costs = replace(costs, rows_per_second=(many - few) / (drivers[many].seconds - drivers[few].seconds))
    for workers in FLEETS:
        found = simulate(costs, MILLION, workers)
        rows[f"simulated: {workers:,} workers, a million clips"] = {
            "hours": found.seconds / 3600,
            "efficiency": found.efficiency,
            "blocks": found.blocks,
        }
    publish({"clips": len(clips), "repeats": arguments.repeats} | _described(costs), rows, arguments.out)
    return 0


def tag(clips: Sequence[Path], options: Sequence[str], cores: int, *, may_fail: bool = False) -> Run:
    """Tag clips with the first cores of this machine, without cached detections.

    Raises:
        RuntimeError: If the command fails; with `may_fail`, its clips may.
    """
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryFile() as stderr:
        paths, out = Path(folder) / "clips.txt", Path(folder) / "out"
        paths.write_text("".join(f"{clip}\n" for clip in clips), encoding="utf-8")
        command = [sys.executable, "-m", "pipeline", "tag", "--video", f"@{paths}", "--no-cache", "--device", "cpu"]
        started, peak = time.perf_counter(), 0
        process = subprocess.Popen(
            [*command, "--quiet", "--out", str(out), *options],
            cwd=PROJECT,
            stdout=subprocess.DEVNULL,
            stderr=stderr,
            preexec_fn=lambda: os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:cores]),
        )
        while process.poll() is None:
            peak = max(peak, peak_bytes(process.pid))
            time.sleep(POLLING_SECONDS)
        seconds = time.perf_counter() - started
        if process.returncode > may_fail:
            stderr.seek(0)
            raise RuntimeError(f"{' '.join(command)}: {stderr.read().decode(errors='replace')[-500:]}")
        with (out / "results.jsonl").open(encoding="utf-8") as lines:
            rows = [json.loads(line) for line in islice(lines, MAX_ROWS)]
        return Run(seconds, peak, rows)


def _of_workers(name: str, runs: dict[str, list[Run]], starts: dict[str, list[Run]], clips: int) -> dict[str, float]:
    """Compare the runs in one way with those of one worker, and of two on this machine; medians of rounds."""
    both = runs[name]
    return {
        "seconds": median(run.seconds for run in both),
        "clips_per_minute": median(60 * clips / run.seconds for run in both),
        "start_seconds": median(run.seconds for run in starts[name]),
        "efficiency": median(one.seconds / (2 * run.seconds) for one, run in zip(runs[ONE], both, strict=True))
        if name != ONE
        else 1.0,
        "against_local": median(run.seconds / local.seconds for run, local in zip(both, runs[TWO], strict=True)),
        "driver_mb": max(run.driver_bytes for run in both) / 1e6,
    }


def _costs(runs: dict[str, list[Run]], starts: dict[str, list[Run]]) -> Costs:
    """Work out what a clip, a failure, a start and a block cost a worker of one core."""
    first = runs[ONE][0]
    spent = [row["timing"]["total_seconds"] for row in first.rows if row["timing"]]
    of_two = [row["timing"]["total_seconds"] for row in starts[ONE][0].rows if row["timing"]]
    start = max(0.0, starts[ONE][0].seconds - sum(of_two))
    scale = (first.seconds - start) / sum(spent)  # the next clip is decoded while one is tagged
    missing = tag([Path(f"/missing/{number}.mp4") for number in range(UNREADABLE)], [], 1, may_fail=True)
    rounds = len(runs[ON_RAY])
    few, many = (median(_run_driver(count).seconds for _ in range(rounds)) for count in (FEW, UNREADABLE))
    blocks = len(block_sizes(UNREADABLE, 2)) - len(block_sizes(FEW, 2))
    return Costs(
        clip_seconds=[scale * seconds for seconds in spent],
        start_seconds=median(run.seconds for run in starts[ON_RAY]),
        block_seconds=2 * max(0.0, many - few) / blocks,  # of one of two workers
        rows_per_second=float("inf"),
        unreadable_seconds=max(0.0, missing.seconds - start) / UNREADABLE,
    )


def _run_driver(count: int) -> Run:
    """Run the driver on Ray over files that are not there; the workers share the machine with it."""
    clips = [Path(f"/missing/folder/of/an/archive/{number:09d}.mp4") for number in range(count)]
    return tag(clips, ["--workers", "2", "--engine", "ray", "--cpus-per-worker", "1"], 2, may_fail=True)


def _described(costs: Costs) -> dict[str, Any]:
    """Return the costs as conditions; of the clips' seconds, some quantiles."""
    quantiles = np.quantile(costs.clip_seconds, (0.05, 0.5, 0.95, 1.0)).round(2).tolist()
    numbers = {name: round(value, 4) for name, value in asdict(costs).items() if name != "clip_seconds"}
    return {"clip_seconds_at_5_50_95_100_percent": quantiles, **numbers}


if __name__ == "__main__":
    sys.exit(main())
