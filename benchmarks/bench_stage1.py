"""Speed of stage 1 from file to boxes: each backend, other software, and the limits set by decoder and network.

All candidates use the same weights and every frame of the same clips. Run from the repository root:

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
from benchmarks.report import add_clip_arguments, make_parser, publish
from benchmarks.ultralytics_strides import prepare_prediction
from common.paths import cache_folder
from inference.runtime import BF16, CPU_BATCH_SIZE, F32, INT8, OPENVINO, TORCH, make_runtime
from video.clips import decode_frames

ULTRALYTICS, MOSAIX, DECODER = "Ultralytics predict(stream=True)", "mosaix", "decoder alone"
NETWORK_PREFIX = "network alone, "
OURS = {
    "PyTorch f32": (TORCH, F32),
    "OpenVINO f32": (OPENVINO, F32),
    "OpenVINO bf16": (OPENVINO, BF16),
    "OpenVINO int8": (OPENVINO, INT8),
}


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, print the table, write the JSON."""
    parser = make_parser(__doc__)
    add_clip_arguments(parser)
    parser.add_argument("--calibration", type=Path, nargs="+", help="clips for int8 (default: those that are timed)")
    parser.add_argument("--detector", type=Path, required=True, help="an Ultralytics .pt file")
    parser.add_argument("--imgsz", type=int, default=224)
    parser.add_argument("--batch-size", type=int, default=CPU_BATCH_SIZE)
    parser.add_argument("--only", nargs="+", metavar="NAME", help="time these candidates only")
    arguments = parser.parse_args(argv)
    clips = arguments.clips[:: arguments.every]
    candidates = make_candidates(arguments, clips)
    if arguments.only:
        candidates = {name: candidate for name, candidate in candidates.items() if name in arguments.only}
    frames = sum(1 for clip in clips for _ in decode_frames(clip))
    timings = time_interleaved(candidates, arguments.repeats)
    conditions = {
        "clips": len(clips),
        "frames": frames,
        "image_size": arguments.imgsz,
        "batch_size": arguments.batch_size,
        "repeats": arguments.repeats,
    }
    publish(conditions, make_rows(timings, frames), arguments.out)
    return 0


def make_candidates(arguments: argparse.Namespace, clips: list[Path]) -> dict[str, Candidate]:
    """Create the candidates; each processes all clips."""
    inputs = {"clips": clips, "image_size": arguments.imgsz}
    candidates = {ULTRALYTICS: Candidate(_prepare_ultralytics, {**inputs, "weights": arguments.detector})}
    if importlib.util.find_spec("mosaix"):
        candidates[MOSAIX] = Candidate(_prepare_mosaix, {**inputs, "weights": arguments.detector})
    candidates[DECODER] = Candidate(_prepare_decoder, inputs)
    for name, (backend, precision) in OURS.items():
        settings = {
            **inputs,
            "weights": arguments.detector,
            "batch_size": arguments.batch_size,
            "backend": backend,
            "precision": precision,
            "calibration": (arguments.calibration or clips) if precision == INT8 else None,
        }
        candidates[name] = Candidate(_prepare_stage1, settings)
        candidates[NETWORK_PREFIX + name] = Candidate(_prepare_network, settings)
    return candidates


def make_rows(timings: Mapping[str, Timing], frames: int) -> dict[str, dict[str, float]]:
    """Convert timings to rates, and relate them to Ultralytics and to the upper bound.

    Decoder and network share the cores, so that the upper bound is 1 / (1/decoder + 1/network).
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
            rows[name]["speedup_over_ultralytics"] = round(rate / rates[ULTRALYTICS], 2)
        if DECODER in rates and NETWORK_PREFIX + name in rates:
            rows[name]["share_of_bound"] = round(rate * (1 / rates[DECODER] + 1 / rates[NETWORK_PREFIX + name]), 3)
    return rows


def _prepare_ultralytics(clips: list[Path], weights: Path, image_size: int) -> Callable[[], object]:
    return prepare_prediction(weights, DetectorSettings(image_size), 1, clips)


def _prepare_mosaix(clips: list[Path], weights: Path, image_size: int) -> Callable[[], object]:
    """Prepare mosaix: nine frames are tiled into one image, each as large as the other candidates' inputs."""
    import mosaix

    pipelines = {}

    def run() -> None:
        for clip in clips:
            if clip not in pipelines:
                width, height = Letterbox.fit(next(decode_frames(clip)).size, image_size).resized_size
                # On a CPU, a larger batch is not faster.
                tile = mosaix.TileConfig(batch=1, cell_width=width, cell_height=height, imgsz_per_cell=image_size)
                inference = mosaix.InferenceConfig(
                    device="cpu", half=False, conf=DetectorSettings().confidence, warmup=0
                )
                pipelines[clip] = mosaix.VideoPipeline.from_model(str(weights), tile=tile, inference=inference)
            pipelines[clip].run(str(clip))

    return run


def _prepare_decoder(clips: list[Path], image_size: int) -> Callable[[], object]:
    """Prepare decoding every frame and resizing it to the network's input size."""

    def run() -> None:
        for clip in clips:
            for frame in decode_frames(clip):
                frame.image(Letterbox.fit(frame.size, image_size).resized_size)

    return run


def _make_detector(
    weights: Path, image_size: int, batch_size: int, backend: str, precision: str, calibration: list[Path] | None
) -> YoloActorDetector:
    images = calibration_images(calibration) if calibration else None
    runtime = make_runtime(backend, precision, "cpu", cache_folder() / "engines", images)
    return YoloActorDetector(weights, load_taxonomy(), DetectorSettings(image_size), runtime, batch_size)


def _prepare_stage1(clips: list[Path], **settings: Any) -> Callable[[], object]:
    """Prepare stage 1 as the commands run it."""
    detector = _make_detector(**settings)
    return lambda: [job.detections for job in detect_clips(detector, [ClipJob(clip) for clip in clips])]


def _prepare_network(clips: list[Path], **settings: Any) -> Callable[[], object]:
    """Prepare the network alone, on as many blank inputs of the same shapes as the clips have frames."""
    detector = _make_detector(**settings)
    shapes = [(sum(1 for _ in decode_frames(clip)), next(decode_frames(clip)).size) for clip in clips]

    def run() -> None:
        for frames, size in shapes:
            letterbox = detector.letterbox(size)
            inputs = letterbox.canvas(detector.batch_size)
            starts = range(0, frames, detector.batch_size)
            for output in [detector.submit(inputs[: min(len(inputs), frames - start)], letterbox) for start in starts]:
                output.result()

    return run


if __name__ == "__main__":
    sys.exit(main())
