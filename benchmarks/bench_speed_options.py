"""What makes stage 1 faster than looking at every frame as it was meant, and what that does to presence ratios.

Each shortcut, and 8 bits, beside the usual way: frames a second, and how far the ratios of a data set's clips move. Run
from the repository root:

    python -m benchmarks.bench_speed_options --data $KIT/clips.csv --split test --calibrate-on train
"""

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from a2d.dataset import clip_labels, read_samples
from a2d.metrics import count
from a2d.taxonomy import Taxonomy, load_taxonomy
from benchmarks.interleaved import Candidate, time_interleaved
from benchmarks.report import make_parser, publish
from pipeline.cached_detector import CachedDetector, UnreadableClip
from pipeline.config import TaggerConfig
from thresholds.gates import load_gates

USUAL = "every frame, f32"
CLOSE = 0.01  # a presence ratio that moved by no more counts as the same


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, print the table, write the JSON."""
    parser = make_parser(__doc__, repeats=3)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--split", default="test")
    parser.add_argument("--calibrate-on", default="train", metavar="SPLIT", help="whose clips set the scale of int8")
    parser.add_argument("--detector", default=TaggerConfig.detector)
    parser.add_argument("--every", type=int, default=6, help="time every Nth clip only (default: %(default)s)")
    arguments = parser.parse_args(argv)
    taxonomy = load_taxonomy()
    labels = clip_labels(read_samples(arguments.data, arguments.split, taxonomy))
    truth = np.stack([taxonomy.actors_of(taxonomy.encode(own)) for own in labels.values()])
    calibration = list(clip_labels(read_samples(arguments.data, arguments.calibrate_on, taxonomy)))
    configs = configs_of(TaggerConfig(detector=arguments.detector, device="cpu"), calibration)
    gates = load_gates(configs[USUAL].gates_file).values
    rates = _rates(configs, list(labels)[:: arguments.every], arguments.repeats)
    ratios = {name: presence_ratios(config, list(labels), taxonomy) for name, config in configs.items()}
    rows = {}
    for name, own in ratios.items():
        rows[name] = {
            "frames_per_second": round(rates[name], 1),
            "times_usual": round(rates[name] / rates[USUAL], 2),
            **effect(own, ratios[USUAL], gates),
            "gates_f1": round(count(own >= gates, truth).sample_averaged.f1, 4),
        }
    timed = len(list(labels)[:: arguments.every])
    publish({"detector": arguments.detector, "clips": len(labels), "timed_clips": timed}, rows, arguments.out)
    return 0


def configs_of(usual: TaggerConfig, calibration: Sequence[Path]) -> dict[str, TaggerConfig]:
    """List what is compared."""
    int8 = replace(usual, precision="int8", calibration=tuple(map(str, calibration)))
    return {
        USUAL: usual,
        "--precision bf16": replace(usual, precision="bf16"),
        "--precision int8": int8,
        "--skip-loop-filter": replace(usual, loop_filter=False),
        "--reuse-below 1": replace(usual, reuse_below=1.0),
        "--reuse-below 3": replace(usual, reuse_below=3.0),
        "--stride 2": replace(usual, stride=2),
        "--stride 3": replace(usual, stride=3),
        "--stride 5": replace(usual, stride=5),
        "--precision int8 --skip-loop-filter --stride 2": replace(int8, loop_filter=False, stride=2),
    }


def effect(
    ratios: NDArray[np.float64], usual: NDArray[np.float64], gates: NDArray[np.float64]
) -> dict[str, float | int]:
    """Say how far presence ratios, shape (clips, actors), moved."""
    moved = np.abs(ratios - usual)
    return {
        "mean_move": round(float(moved.mean()), 4),
        "largest_move": round(float(moved.max()), 4),
        "share_within_0.01": round(float((moved <= CLOSE).mean()), 4),
        "gates_that_differ": int(((ratios >= gates) != (usual >= gates)).sum()),
    }


def presence_ratios(config: TaggerConfig, clips: Sequence[Path], taxonomy: Taxonomy) -> NDArray[np.float64]:
    """Give the presence ratios of clips, shape (clips, actors)."""
    rows = []
    for found in CachedDetector.from_config(config, taxonomy).detect_all(clips):
        if isinstance(found, UnreadableClip):
            raise found.error
        rows.append(found.detections.presence_ratios(len(taxonomy.actors)))
    return np.stack(rows)


def _rates(configs: Mapping[str, TaggerConfig], clips: list[Path], repeats: int) -> dict[str, float]:
    """Time every configuration, in frames a second, those that it does not look at among them."""
    ways = {name: Candidate(_stage1, {"config": config, "clips": clips}) for name, config in configs.items()}
    timings = time_interleaved(ways, repeats)
    frames = sum(
        found.detections.frames
        for found in CachedDetector.from_config(configs[USUAL], load_taxonomy()).detect_all(clips)
        if not isinstance(found, UnreadableClip)
    )
    return {name: frames / timing.median for name, timing in timings.items()}


def _stage1(config: TaggerConfig, clips: list[Path]) -> Callable[[], Any]:
    detector = CachedDetector.from_config(config, load_taxonomy())
    return lambda: list(detector.detect_all(clips))


if __name__ == "__main__":
    sys.exit(main())
