"""Stage 1 from file to boxes: ours on each backend, others' ways, and the limits of decoder and network.

The same weights, the same clips, every frame, each way in a process of its own, in turn. Run from the repository root:

    python -m benchmarks.bench_stage1 --clips $KIT/clips/*.mp4 --every 25 --detector $KIT/weights/yolo26n.pt
"""

import argparse
import importlib.util
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from a2d.taxonomy import load_taxonomy
from actor_detector.clip_detection import ClipJob, detect_clips
from actor_detector.detector_settings import DetectorSettings
from actor_detector.int8_calibration import calibration_images
from actor_detector.letterbox import Letterbox
from actor_detector.yolo import YoloActorDetector
from benchmarks.interleaved import Candidate, Timing, time_interleaved
from benchmarks.report import make_parser, publish
from common.paths import cache_folder
from inference.runtime import BF16, F32, INT8, OPENVINO, TORCH, make_runtime
from pipeline.config import TaggerConfig
from video.clips import decode_frames

ULTRALYTICS, MOSAIX, DECODER = "Ultralytics predict(stream=True)", "mosaix", "decoder alone"
NETWORK = "network alone, "
OURS = {
    "PyTorch f32": (TORCH, F32),
    "OpenVINO f32": (OPENVINO, F32),
    "OpenVINO bf16": (OPENVINO, BF16),
    "OpenVINO int8": (OPENVINO, INT8),
}


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, print the table, write the JSON."""
    parser = make_parser(__doc__)
    parser.add_argument("--clips", type=Path, nargs="+", required=True)
    parser.add_argument("--every", type=int, default=1, help="take every Nth of them only (default: %(default)s)")
    parser.add_argument("--calibration", type=Path, nargs="+", help="clips for int8 (default: those that are timed)")
    parser.add_argument("--detector", type=Path, required=True, help="an Ultralytics .pt file")
    parser.add_argument("--imgsz", type=int, default=224)
    parser.add_argument("--batch-size", type=int, default=TaggerConfig.batch_size)
    parser.add_argument("--only", nargs="+", metavar="WAY", help="time these alone")
    arguments = parser.parse_args(argv)
    clips = arguments.clips[:: arguments.every]
    ways = {
        name: way for name, way in make_ways(arguments, clips).items() if not arguments.only or name in arguments.only
    }
    frames = sum(1 for clip in clips for _ in decode_frames(clip))
    timings = time_interleaved(ways, arguments.repeats)
    facts = {
        "clips": len(clips),
        "frames": frames,
        "image_size": arguments.imgsz,
        "batch_size": arguments.batch_size,
        "repeats": arguments.repeats,
    }
    publish(facts, rows_of(timings, frames), arguments.out)
    return 0


def make_ways(arguments: argparse.Namespace, clips: list[Path]) -> dict[str, Candidate]:
    """List what is to be timed: each goes through all clips."""
    given = {"clips": clips, "image_size": arguments.imgsz}
    ways = {ULTRALYTICS: Candidate(_ultralytics, {**given, "weights": arguments.detector})}
    if importlib.util.find_spec("mosaix"):
        ways[MOSAIX] = Candidate(_mosaix, {**given, "weights": arguments.detector})
    ways[DECODER] = Candidate(_decoder, given)
    for name, (backend, precision) in OURS.items():
        own = {
            **given,
            "weights": arguments.detector,
            "batch_size": arguments.batch_size,
            "backend": backend,
            "precision": precision,
            "calibration": (arguments.calibration or clips) if precision == INT8 else None,
        }
        ways[name] = Candidate(_ours, own)
        ways[NETWORK + name] = Candidate(_network, own)
    return ways


def rows_of(timings: Mapping[str, Timing], frames: int) -> dict[str, dict[str, float]]:
    """Turn timings into rates, and say how near each of our ways is to its bound.

    The bound is what decoder and network allow that share the cores: 1 / (1/decoder + 1/network).
    """
    rates = {name: frames / timing.median for name, timing in timings.items()}
    rows = {}
    for name, rate in rates.items():
        rows[name] = {
            "frames_per_second": round(rate, 1),
            "slowest": round(frames / max(timings[name].seconds), 1),
            "fastest": round(frames / min(timings[name].seconds), 1),
        }
        if ULTRALYTICS in rates:
            rows[name]["times_ultralytics"] = round(rate / rates[ULTRALYTICS], 2)
        if DECODER in rates and NETWORK + name in rates:
            rows[name]["of_the_bound"] = round(rate * (1 / rates[DECODER] + 1 / rates[NETWORK + name]), 3)
    return rows


def _ultralytics(clips: list[Path], weights: Path, image_size: int) -> Callable[[], object]:
    """What its own documentation advises for videos."""
    from ultralytics import YOLO

    model = YOLO(str(weights))

    def run() -> None:
        for clip in clips:
            options = {"imgsz": image_size, "conf": DetectorSettings().confidence, "device": "cpu", "verbose": False}
            for _ in model.predict(str(clip), stream=True, **options):
                pass

    return run


def _mosaix(clips: list[Path], weights: Path, image_size: int) -> Callable[[], object]:
    """Nine frames in one image, each in a cell as large as what the other ways show the network."""
    import mosaix

    pipelines = {}

    def run() -> None:
        for clip in clips:
            if clip not in pipelines:
                inner = Letterbox.fit(next(decode_frames(clip)).size, image_size).resized_size
                cells = {"cell_width": inner[0], "cell_height": inner[1], "imgsz_per_cell": image_size}
                tile = mosaix.TileConfig(batch=1, **cells)  # more at a time is no faster on a CPU
                inference = mosaix.InferenceConfig(
                    device="cpu", half=False, conf=DetectorSettings().confidence, warmup=0
                )
                pipelines[clip] = mosaix.VideoPipeline.from_model(str(weights), tile=tile, inference=inference)
            pipelines[clip].run(str(clip))

    return run


def _decoder(clips: list[Path], image_size: int) -> Callable[[], object]:
    """Decode every frame, and make the small image that the network would see."""

    def run() -> None:
        for clip in clips:
            for frame in decode_frames(clip):
                frame.image(Letterbox.fit(frame.size, image_size).resized_size)

    return run


def _detector(
    weights: Path, image_size: int, batch_size: int, backend: str, precision: str, calibration: list[Path] | None
) -> YoloActorDetector:
    calibrated = calibration_images(calibration) if calibration else None
    runtime = make_runtime(backend, precision, "cpu", cache_folder() / "engines", calibrated)
    return YoloActorDetector(weights, load_taxonomy(), DetectorSettings(image_size), runtime, batch_size)


def _ours(clips: list[Path], **settings: Any) -> Callable[[], object]:
    """Stage 1 as the commands run it."""
    detector = _detector(**settings)
    return lambda: [done.detections for done in detect_clips(detector, [ClipJob(clip) for clip in clips])]


def _network(clips: list[Path], **settings: Any) -> Callable[[], object]:
    """The network alone, on as many empty inputs of the right shapes as the clips have frames."""
    detector = _detector(**settings)
    shapes = [(sum(1 for _ in decode_frames(clip)), next(decode_frames(clip)).size) for clip in clips]

    def run() -> None:
        for frames, size in shapes:
            letterbox = detector.letterbox(size)
            inputs = letterbox.canvas(detector.batch_size)
            starts = range(0, frames, detector.batch_size)
            for answer in [detector.submit(inputs[: min(len(inputs), frames - start)], letterbox) for start in starts]:
                answer.result()

    return run


if __name__ == "__main__":
    sys.exit(main())
