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
from pipeline.cached_detector import UnreadableClip
from pipeline.clip_windows import clip_presence_ratios
from pipeline.config import TaggerConfig
from pipeline.tagger import ActorActionTagger
from thresholds.gates import load_gates

BASELINE = "every frame, f32"
TOLERANCE = 0.01  # a presence ratio that changes by no more counts as unchanged


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, print the table, write the JSON."""
    parser = make_parser(__doc__, repeats=3)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--split", default="test")
    parser.add_argument("--calibrate-on", default="train", metavar="SPLIT", help="clips from which int8 is calibrated")
    parser.add_argument("--only", nargs="+", metavar="OPTION", help="options that begin like one of these, without --")
    parser.add_argument("--detector", default=TaggerConfig.detector)
    parser.add_argument(
        "--cache", type=Path, help="detections of every frame, for the changes; the timed runs use none (default: none)"
    )
    parser.add_argument("--every", type=int, default=6, help="time every Nth clip only (default: %(default)s)")
    arguments = parser.parse_args(argv)
    taxonomy = load_taxonomy()
    labels_by_clip = clip_labels(read_samples(arguments.data, arguments.split, taxonomy))
    clips = list(labels_by_clip)
    truth = np.stack([taxonomy.actors_of(taxonomy.encode(labels)) for labels in labels_by_clip.values()])
    calibration = list(clip_labels(read_samples(arguments.data, arguments.calibrate_on, taxonomy)))
    configs = make_configs(TaggerConfig(detector=arguments.detector, device="cpu"), calibration)
    if arguments.only:
        configs = {
            name: config
            for name, config in configs.items()
            if name.startswith((BASELINE, *(f"--{option}" for option in arguments.only)))
        }
    gates = load_gates(configs[BASELINE].gates_file).values
    timed_clips = clips[:: arguments.every]
    rates = _measure_rates(configs, timed_clips, arguments.repeats)
    found = {
        name: presence_ratios(replace(config, cache=arguments.cache), clips, taxonomy)
        for name, config in configs.items()
    }
    ratios_by_name = {name: ratios for name, (ratios, _) in found.items()}
    rows = {}
    for name, (ratios, processed) in found.items():
        rows[name] = {
            "frames_per_second": round(rates[name], 1),
            "speedup": round(rates[name] / rates[BASELINE], 2),
            "frames_processed": round(processed, 3),
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
        "--until-sure 0.02": replace(baseline, until_sure=0.02),
        "--until-sure 0.01": replace(baseline, until_sure=0.01),
        "--until-sure 0.005": replace(baseline, until_sure=0.005),
        "--precision bf16": replace(baseline, precision="bf16"),
        "--precision int8": int8,
        "--skip-loop-filter": replace(baseline, loop_filter=False),
        "--reuse-below 1": replace(baseline, reuse_below=1.0),
        "--reuse-below 3": replace(baseline, reuse_below=3.0),
        "--stride 2": replace(baseline, stride=2),
        "--stride 3": replace(baseline, stride=3),
        "--stride 5": replace(baseline, stride=5),
        "--stride 8": replace(baseline, stride=8),
        "--stride 10": replace(baseline, stride=10),
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
        Statistics of the absolute differences, and the number and the share of gate decisions that differ.
    """
    changes = np.abs(ratios - baseline)
    differing = (ratios >= gates) != (baseline >= gates)
    return {
        "mean_change": round(float(changes.mean()), 4),
        "max_change": round(float(changes.max()), 4),
        "share_within_0.01": round(float((changes <= TOLERANCE).mean()), 4),
        "gate_decisions_changed": int(differing.sum()),
        "share_changed": round(float(differing.mean()), 4),
    }


def presence_ratios(
    config: TaggerConfig, clips: Sequence[Path], taxonomy: Taxonomy
) -> tuple[NDArray[np.float64], float]:
    """Compute the presence ratios of clips, shape (clips, actors), and the share of frames that were processed.

    Raises:
        ClipError: If a clip cannot be read.
    """
    rows = []
    processed, frames = 0, 0
    for detected in ActorActionTagger.from_config(config).detector.detect_all(clips):
        if isinstance(detected, UnreadableClip):
            raise detected.error
        rows.append(clip_presence_ratios(detected.detections, len(taxonomy.actors)))
        processed += len(detected.detections.frame_index)
        frames += detected.detections.frames
    return np.stack(rows), processed / frames


def _measure_rates(configs: Mapping[str, TaggerConfig], clips: list[Path], repeats: int) -> dict[str, float]:
    """Time all configurations; skipped frames count, too, in the frames per second."""
    candidates = {
        name: Candidate(_prepare_stage1, {"config": config, "clips": clips}) for name, config in configs.items()
    }
    timings = time_interleaved(candidates, repeats)
    frames = sum(
        detected.detections.frames
        for detected in ActorActionTagger.from_config(configs[BASELINE]).detector.detect_all(clips)
        if not isinstance(detected, UnreadableClip)
    )
    return {name: frames / timing.median for name, timing in timings.items()}


def _prepare_stage1(config: TaggerConfig, clips: list[Path]) -> Callable[[], Any]:
    detector = ActorActionTagger.from_config(config).detector
    return lambda: list(detector.detect_all(clips))


if __name__ == "__main__":
    sys.exit(main())
