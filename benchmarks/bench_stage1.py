"""Stage 1 from file to boxes: our pipeline on each backend, Ultralytics' own, and the limits of decoder and network.

All of them, one after the other, repeated, in one run: the same weights, the same clips, every frame.
"""

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from tabulate import tabulate

from a2d.clips import decode_frames
from a2d.engines import BF16, F32, OPENVINO, TORCH, cores, make_runtime
from a2d.labels import Taxonomy, load_taxonomy
from a2d.places import cache_folder
from actor_detector.clip_detection import detect_clip
from actor_detector.yolo import YoloActorDetector

DECODER, NETWORK = "decoder alone", "network alone"


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, print the table, write the JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clips", type=Path, nargs="+", required=True)
    parser.add_argument("--detector", type=Path, required=True, help="an Ultralytics .pt file")
    parser.add_argument("--imgsz", type=int, default=224)
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args(argv)
    ways = make_ways(arguments, load_taxonomy())
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    frames = sum(1 for clip in arguments.clips for _ in decode_frames(clip))
    for repeat in range(arguments.repeats + 1):
        for name, way in ways.items():
            started = time.perf_counter()
            for clip in arguments.clips:
                way(clip)
            if repeat:  # the first one compiles, and fills caches
                seconds[name].append(time.perf_counter() - started)
    rates = {name: frames / statistics.median(times) for name, times in seconds.items()}
    report = {
        "frames": frames,
        "clips": len(arguments.clips),
        "cores": cores(),
        "image_size": arguments.imgsz,
        "batch_size": arguments.batch_size,
        "frames_per_second": rates,
        "seconds": seconds,
    }
    print(tabulate(_rows(rates), headers=["stage 1", "frames/s", "of the bound", "times Ultralytics"], floatfmt=".2f"))
    if arguments.out:
        arguments.out.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    return 0


def make_ways(arguments: argparse.Namespace, taxonomy: Taxonomy) -> dict[str, Callable[[Path], object]]:
    """Make what is to be timed, each from a clip to all that it finds there."""
    ways: dict[str, Callable[[Path], object]] = {
        "Ultralytics predict(stream=True)": _ultralytics(arguments.detector, arguments.imgsz),
        DECODER: lambda clip: sum(1 for frame in decode_frames(clip) if frame.image() is not None),
    }
    for backend, precision in ((TORCH, F32), (OPENVINO, F32), (OPENVINO, BF16)):
        runtime = make_runtime(backend, precision, "cpu", cache_folder() / "engines")
        detector = YoloActorDetector(arguments.detector, taxonomy, arguments.imgsz, 0.5, runtime, arguments.batch_size)
        ways[runtime.name] = _ours(detector)
        ways[f"{NETWORK}, {runtime.name}"] = _network(detector)
    return ways


def _ultralytics(path: Path, image_size: int) -> Callable[[Path], object]:
    import torch
    from ultralytics import YOLO

    model = YOLO(str(path))

    def way(clip: Path) -> None:
        threads = torch.get_num_threads()
        for _ in model.predict(str(clip), stream=True, imgsz=image_size, device="cpu", verbose=False):
            pass
        torch.set_num_threads(threads)  # it leaves a core free, which is its own affair

    return way


def _ours(detector: YoloActorDetector) -> Callable[[Path], object]:
    return lambda clip: detect_clip(detector, clip)


def _network(detector: YoloActorDetector) -> Callable[[Path], object]:
    """Run the network on as many empty inputs of the right shape as the clip has frames."""
    known: dict[Path, tuple[int, tuple[int, int]]] = {}

    def way(clip: Path) -> None:
        if clip not in known:
            sizes = [frame.size for frame in decode_frames(clip)]
            known[clip] = len(sizes), sizes[0]
        frames, size = known[clip]
        letterbox = detector.letterbox(size)
        inputs = letterbox.canvas(detector.batch_size)
        answers = [
            detector.submit(inputs[: min(detector.batch_size, frames - start)], letterbox)
            for start in range(0, frames, detector.batch_size)
        ]
        for answer in answers:
            answer.result()

    return way


def _rows(rates: dict[str, float]) -> list[list[object]]:
    """One row a way; the bound is what decoder and network allow where they share the cores."""
    rows: list[list[object]] = []
    usual = rates["Ultralytics predict(stream=True)"]
    for name, rate in rates.items():
        network = rates.get(f"{NETWORK}, {name}")
        bound = 1 / (1 / rates[DECODER] + 1 / network) if network else np.nan
        rows.append([name, rate, rate / bound, rate / usual])
    return rows


if __name__ == "__main__":
    sys.exit(main())
