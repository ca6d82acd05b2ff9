"""Time and memory of continuing a run with many results: open its folder, look every clip up, add one, finish.

Run from the repository root: `python -m benchmarks.bench_results [--rows 50000 1000000] [--out result.json]`. The
folder is made on the spot, in `--folder`, which needs 9 GB for a million rows of 4 KB.
"""

import json
import multiprocessing
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from statistics import median

from a2d.taxonomy import load_taxonomy
from benchmarks.commands import peak_bytes
from benchmarks.report import make_parser, publish
from pipeline.results import ActorEvidence, ClipResult, TaggedLabel, Timeline, Weights
from pipeline.results_folder import ResultsFolder

WEIGHTS = Weights("d" * 64, "7" * 64, {actor.name: "a" * 64 for actor in load_taxonomy().actors})
CLIPS = "/clips"
CLIPS_PER_FOLDER = 20


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, print the table, write the JSON."""
    parser = make_parser(__doc__, repeats=1)
    parser.add_argument("--rows", type=int, nargs="+", default=[50_000, 1_000_000])
    parser.add_argument("--row-kb", type=int, nargs="+", default=[1, 4], help="size of a row (default: 1 4)")
    parser.add_argument("--folder", type=Path, help="where to make the folders of results (default: the system's)")
    arguments = parser.parse_args(argv)
    measurements: dict[str, dict[str, float]] = {}
    for count in arguments.rows:
        for kilobytes in arguments.row_kb:
            with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
                name = f"{count:,} rows of {kilobytes} KB"
                write_rows(Path(folder), count, 1000 * kilobytes)
                for index in ("no index yet", "index"):
                    runs = [measure_in_new_process(Path(folder), count) for _ in range(arguments.repeats)]
                    measurements[f"{name}, {index}"] = {key: median(run[key] for run in runs) for key in runs[0]}
    publish({"repeats": arguments.repeats}, measurements, arguments.out)
    return 0


def clip_path(number: int) -> str:
    """Return the path of a clip by its number."""
    return f"{CLIPS}/{number // CLIPS_PER_FOLDER}/clip {number}.mp4"


def make_result(row_bytes: int) -> ClipResult:
    """Make a result as of a clip with one actor, whose row has about a given size."""
    taxonomy = load_taxonomy()
    labels = taxonomy.actor("person").label_names
    actors = {actor.name: ActorEvidence(0.0, 0.1, False, -0.1) for actor in taxonomy.actors}
    result = ClipResult(
        video=clip_path(0),
        sha256="c" * 64,
        status="ok",
        error=None,
        weights=Weights("d" * 64, "7" * 64, {}),
        frames=240,
        fps=29.97,
        duration_seconds=8.008,
        actors=actors,
        labels=(TaggedLabel("adult-walking", 18, 0.8123, ((0.0, 1.501), (2.002, 8.008))),),
        timing={"total_seconds": 1.5},
    )
    for looks in range(10**6):
        actors["person"] = ActorEvidence(0.9167, 0.039, True, 0.8776, tuple(range(0, 15 * looks, 15)))
        seconds = tuple(round(0.501 * look, 3) for look in range(looks))
        timeline = {"person": Timeline(seconds, {label: (0.123,) * looks for label in labels})}
        sized = replace(result, weights=WEIGHTS, scores=dict.fromkeys(labels, 0.0536), timeline=timeline)
        if looks == 0:
            sized = replace(result, weights=result.weights)
        if len(json.dumps(sized.to_dict())) >= row_bytes:
            break
    return sized


def write_rows(folder: Path, count: int, row_bytes: int) -> None:
    """Write a folder of results, as if it were copied from elsewhere without its index."""
    with ResultsFolder(folder, WEIGHTS, {}) as results:
        results.add(make_result(row_bytes))
    row = (folder / "results.jsonl").read_text(encoding="utf-8")
    parts = row.replace(json.dumps(clip_path(0)), json.dumps("\0")).split(json.dumps("\0"))
    with (folder / "results.jsonl").open("w", encoding="utf-8") as file:
        file.writelines(json.dumps(clip_path(number)).join(parts) for number in range(count))


def measure_in_new_process(folder: Path, count: int) -> dict[str, float]:
    """Run `measure` in a process of its own, whose peak memory nothing else has raised."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as executor:
        return executor.submit(measure, folder, count).result()


def measure(folder: Path, count: int) -> dict[str, float]:
    """Continue a run with one more clip; return seconds by step, and peak memory."""
    cpu_before = sum(os.times()[:2])
    times = [time.perf_counter()]
    results = ResultsFolder(folder, WEIGHTS, {})
    times.append(time.perf_counter())
    missing = sum(results.find(clip_path(number)) is None for number in range(count))
    times.append(time.perf_counter())
    new = replace(make_result(1000), video=f"{CLIPS}/new {time.time_ns()}.mp4")
    times.append(time.perf_counter())
    results.add(new)
    times.append(time.perf_counter())
    results.close()
    times.append(time.perf_counter())
    if missing:
        raise RuntimeError(f"{missing} of {count} clips were not found")
    opening, finding, _, adding, closing = (round(after - before, 4) for before, after in pairwise(times))
    return {
        "open_s": opening,
        "find_each_s": finding,
        "add_one_s": adding,
        "finish_s": closing,
        "cpu_s": round(sum(os.times()[:2]) - cpu_before, 2),
        "all_s": round(opening + finding + adding + closing, 2),
        "peak_mb": round(peak_bytes("self") / 1e6),
    }


if __name__ == "__main__":
    sys.exit(main())
