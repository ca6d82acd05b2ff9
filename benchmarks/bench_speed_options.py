"""Speed options of stage 1: frames per second, and how much the presence ratios change.

Each speed option, and each reduced precision, is compared with every frame in single precision: its speed, and the
change of the presence ratios of a data set's clips. Run from the repository root:

    python -m benchmarks.bench_speed_options --data $KIT/clips.csv --split test --calibrate-on train
"""

import argparse
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from a2d.dataset import clip_labels, read_samples
from a2d.metrics import count
from a2d.taxonomy import load_taxonomy
from benchmarks import ultralytics_strides
from benchmarks.expected_changes import expected_changes
from benchmarks.interleaved import Candidate, time_interleaved
from benchmarks.report import make_parser, publish
from pipeline.cached_detector import CachedDetector, UnreadableClip
from pipeline.clip_windows import clip_presence_ratios
from pipeline.config import TaggerConfig
from pipeline.tagger import ActorActionTagger

BASELINE = "every frame, f32"
ULTRALYTICS = "Ultralytics vid_stride"
TOLERANCE = 0.01  # a presence ratio that changes by no more counts as unchanged


@dataclass(frozen=True)
class Way:
    """A way to process clips.

    Attributes:
        candidate: Processes those that are timed.
        ratios: Computes the presence ratios of all, shape (clips, actors), and how many frames were processed.
        baseline: The name of the way whose ratios these are compared with.
    """

    candidate: Candidate
    ratios: Callable[[], tuple[NDArray[np.float64], int]]
    baseline: str


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, print the table, write the JSON."""
    arguments = _parse_arguments(argv)
    taxonomy = load_taxonomy()
    labels_by_clip = clip_labels(read_samples(arguments.data, arguments.split, taxonomy))
    clips = list(labels_by_clip)
    truth = np.stack([taxonomy.actors_of(taxonomy.encode(labels)) for labels in labels_by_clip.values()])
    calibration = list(clip_labels(read_samples(arguments.data, arguments.calibrate_on, taxonomy)))
    configs = make_configs(TaggerConfig(detector=arguments.detector, device="cpu"), calibration)
    wanted = (BASELINE, *(f"--{option}" for option in arguments.only or [""]))
    configs = {name: config for name, config in configs.items() if name.startswith(wanted)}
    tagger, timed_clips = ActorActionTagger.from_config(configs[BASELINE]), clips[:: arguments.every]
    ways = _our_ways(configs, clips, timed_clips, arguments.cache)
    if arguments.ultralytics:
        ways |= _ultralytics_ways(tagger.detector, arguments.ultralytics, clips, timed_clips)
    timings = time_interleaved({name: way.candidate for name, way in ways.items()}, arguments.repeats)
    timed_frames = _count_frames(tagger.detector, timed_clips)
    found = {name: way.ratios() for name, way in ways.items()}
    expected: dict[str, float] = {}
    if arguments.seeds:
        expected = expected_changes(configs, arguments.data, arguments.split, arguments.cache, arguments.seeds)
    rows = {}
    for name, way in ways.items():
        (ratios, processed), (of_every_frame, frames) = found[name], found[way.baseline]
        rows[name] = {
            "frames_per_second": round(timed_frames / timings[name].median, 1),
            "speedup": round(timings[BASELINE].median / timings[name].median, 2),
            "frames_processed": round(processed / frames, 3),
            **measure_changes(ratios, of_every_frame, tagger.gates.values),
            **({"share_expected": round(expected[name], 4)} if name in expected else {}),
            "gates_f1": round(count(ratios >= tagger.gates.values, truth).sample_averaged.f1, 4),
        }
    conditions = {"detector": arguments.detector, "clips": len(clips), "timed_clips": len(timed_clips)}
    publish(conditions, rows, arguments.out)
    return 0


def _parse_arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = make_parser(__doc__, repeats=3)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--split", default="test")
    parser.add_argument("--calibrate-on", default="train", metavar="SPLIT", help="clips from which int8 is calibrated")
    parser.add_argument("--only", nargs="+", metavar="OPTION", help="options that begin like one of these, without --")
    parser.add_argument("--detector", default=TaggerConfig.detector)
    parser.add_argument(
        "--ultralytics",
        type=int,
        nargs="+",
        metavar="STRIDE",
        help="also Ultralytics' own prediction of every Nth frame, compared with its own of every frame",
    )
    parser.add_argument(
        "--cache", type=Path, help="detections of every frame, for the changes; the timed runs use none (default: none)"
    )
    parser.add_argument(
        "--seeds",
        type=int,
        default=0,
        help="also the mean over so many draws, and over the frames that a stride may begin at",
    )
    parser.add_argument("--every", type=int, default=6, help="time every Nth clip only (default: %(default)s)")
    return parser.parse_args(argv)


def _our_ways(
    configs: Mapping[str, TaggerConfig], clips: list[Path], timed_clips: list[Path], cache: Path | None
) -> dict[str, Way]:
    return {
        name: Way(
            Candidate(_prepare_stage1, {"config": config, "clips": timed_clips}),
            partial(presence_ratios, replace(config, cache=cache), clips),
            BASELINE,
        )
        for name, config in configs.items()
    }


def _ultralytics_ways(
    detector: CachedDetector, strides: Sequence[int], clips: list[Path], timed_clips: list[Path]
) -> dict[str, Way]:
    """Let Ultralytics use the same weights; no layers confirm its boxes, so it is compared with itself."""
    ways = {}
    for stride in sorted({1, *strides}):
        settings: dict[str, Any] = {"weights": detector.path, "settings": detector.settings, "stride": stride}
        ratios = partial(ultralytics_strides.presence_ratios, **settings, clips=clips, taxonomy=detector.taxonomy)
        candidate = Candidate(ultralytics_strides.prepare_prediction, {**settings, "clips": timed_clips})
        ways[f"{ULTRALYTICS} {stride}"] = Way(candidate, ratios, f"{ULTRALYTICS} 1")
    return ways


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
        "--imgsz 224": replace(baseline, image_size=224, force=True),  # its gates are for another size
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


def presence_ratios(config: TaggerConfig, clips: Sequence[Path]) -> tuple[NDArray[np.float64], int]:
    """Compute the presence ratios of clips, shape (clips, actors), and how many frames were processed in all.

    Raises:
        ClipError: If a clip cannot be read.
    """
    detector = ActorActionTagger.from_config(config).detector
    rows = []
    processed = 0
    for detected in detector.detect_all(clips):
        if isinstance(detected, UnreadableClip):
            raise detected.error
        rows.append(clip_presence_ratios(detected.detections, len(detector.taxonomy.actors)))
        processed += len(detected.detections.frame_index)
    return np.stack(rows), processed


def _count_frames(detector: CachedDetector, clips: list[Path]) -> int:
    """Count the frames of clips; those that an option skips count, too, in the frames per second."""
    return sum(
        detected.detections.frames
        for detected in detector.detect_all(clips)
        if not isinstance(detected, UnreadableClip)
    )


def _prepare_stage1(config: TaggerConfig, clips: list[Path]) -> Callable[[], Any]:
    detector = ActorActionTagger.from_config(config).detector
    return lambda: list(detector.detect_all(clips))


if __name__ == "__main__":
    sys.exit(main())
