"""Speed options of stage 1: frames per second, and how much the presence ratios change.

Each speed option, and each reduced precision, is compared with every frame in single precision: its speed, and the
change of the presence ratios of a data set's clips. Run from the repository root:

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
from pipeline.clip_windows import clip_presence_ratios
from pipeline.config import TaggerConfig
from thresholds.gates import load_gates

BASELINE = "every frame, f32"
TOLERANCE = 0.01  # a presence ratio that changes by no more counts as unchanged


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, print the table, write the JSON."""
    parser = make_parser(__doc__, repeats=3)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--split", default="test")
    parser.add_argument("--calibrate-on", default="train", metavar="SPLIT", help="clips from which int8 is calibrated")
    parser.add_argument("--detector", default=TaggerConfig.detector)
    parser.add_argument("--every", type=int, default=6, help="time every Nth clip only (default: %(default)s)")
    arguments = parser.parse_args(argv)
    taxonomy = load_taxonomy()
    labels_by_clip = clip_labels(read_samples(arguments.data, arguments.split, taxonomy))
    clips = list(labels_by_clip)
    truth = np.stack([taxonomy.actors_of(taxonomy.encode(labels)) for labels in labels_by_clip.values()])
    calibration = list(clip_labels(read_samples(arguments.data, arguments.calibrate_on, taxonomy)))
    configs = make_configs(TaggerConfig(detector=arguments.detector, device="cpu"), calibration)
    gates = load_gates(configs[BASELINE].gates_file).values
    timed_clips = clips[:: arguments.every]
    rates = _measure_rates(configs, timed_clips, arguments.repeats)
    ratios_by_name = {name: presence_ratios(config, clips, taxonomy) for name, config in configs.items()}
    rows = {}
    for name, ratios in ratios_by_name.items():
        rows[name] = {
            "frames_per_second": round(rates[name], 1),
            "speedup": round(rates[name] / rates[BASELINE], 2),
            **measure_changes(ratios, ratios_by_name[BASELINE], gates),
            "gates_f1": round(count(ratios >= gates, truth).sample_averaged.f1, 4),
        }
    conditions = {"detector": arguments.detector, "clips": len(clips), "timed_clips": len(timed_clips)}
    publish(conditions, rows, arguments.out)
    return 0


def make_configs(baseline: TaggerConfig, calibration: Sequence[Path]) -> dict[str, TaggerConfig]:
    """Create the configurations to compare, by name."""
    int8 = replace(baseline, precision="int8", calibration=tuple(map(str, calibration)))
    return {
        BASELINE: baseline,
        "--precision bf16": replace(baseline, precision="bf16"),
        "--precision int8": int8,
        "--skip-loop-filter": replace(baseline, loop_filter=False),
        "--reuse-below 1": replace(baseline, reuse_below=1.0),
        "--reuse-below 3": replace(baseline, reuse_below=3.0),
        "--stride 2": replace(baseline, stride=2),
        "--stride 3": replace(baseline, stride=3),
        "--stride 5": replace(baseline, stride=5),
        "--precision int8 --skip-loop-filter --stride 2": replace(int8, loop_filter=False, stride=2),
    }


def measure_changes(
    ratios: NDArray[np.float64], baseline: NDArray[np.float64], gates: NDArray[np.float64]
) -> dict[str, float | int]:
    """Compare presence ratios with those of the baseline.

    Args:
        ratios: Shape (clips, actors).
        baseline: Shape (clips, actors).
        gates: Shape (actors,).

    Returns:
        Statistics of the absolute differences, and the number of gate decisions that differ.
    """
    changes = np.abs(ratios - baseline)
    return {
        "mean_change": round(float(changes.mean()), 4),
        "max_change": round(float(changes.max()), 4),
        "share_within_0.01": round(float((changes <= TOLERANCE).mean()), 4),
        "gate_decisions_changed": int(((ratios >= gates) != (baseline >= gates)).sum()),
    }


def presence_ratios(config: TaggerConfig, clips: Sequence[Path], taxonomy: Taxonomy) -> NDArray[np.float64]:
    """Compute the presence ratios of clips, shape (clips, actors).

    Raises:
        ClipError: If a clip cannot be read.
    """
    rows = []
    for detected in CachedDetector.from_config(config, taxonomy).detect_all(clips):
        if isinstance(detected, UnreadableClip):
            raise detected.error
        rows.append(clip_presence_ratios(detected.detections, len(taxonomy.actors)))
    return np.stack(rows)


def _measure_rates(configs: Mapping[str, TaggerConfig], clips: list[Path], repeats: int) -> dict[str, float]:
    """Time all configurations; skipped frames count, too, in the frames per second."""
    candidates = {
        name: Candidate(_prepare_stage1, {"config": config, "clips": clips}) for name, config in configs.items()
    }
    timings = time_interleaved(candidates, repeats)
    frames = sum(
        detected.detections.frames
        for detected in CachedDetector.from_config(configs[BASELINE], load_taxonomy()).detect_all(clips)
        if not isinstance(detected, UnreadableClip)
    )
    return {name: frames / timing.median for name, timing in timings.items()}


def _prepare_stage1(config: TaggerConfig, clips: list[Path]) -> Callable[[], Any]:
    detector = CachedDetector.from_config(config, load_taxonomy())
    return lambda: list(detector.detect_all(clips))


if __name__ == "__main__":
    sys.exit(main())
