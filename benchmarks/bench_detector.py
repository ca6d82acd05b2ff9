"""Compare a detector with its teacher on every frame of a data set's clips: who is in which frame, and in which clip.

Run from the repository root: `python -m benchmarks.bench_detector --data clips.csv --split test [--out result.json]`.
Detections come from the cache where they are kept. Gates are each detector's own.
"""

import argparse
import json
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tabulate import tabulate

from a2d.dataset import clip_labels, read_samples
from a2d.files import write_atomically
from a2d.labels import Taxonomy, load_taxonomy
from a2d.metrics import Scores, count
from a2d.places import cache_folder
from pipeline import cli
from pipeline.config import TaggerConfig
from pipeline.stage1 import CachedDetector
from thresholds.gates import load_gates


@dataclass(frozen=True)
class Presence:
    """What one detector says of some clips.

    Attributes:
        frames: One array a clip, shape (F, actors): True where the actor is in the frame.
        ratios: Shape (clips, actors), in [0, 1].
    """

    frames: list[NDArray[np.bool_]]
    ratios: NDArray[np.float64]


def look(config: TaggerConfig, taxonomy: Taxonomy, clips: Sequence[Path]) -> Presence:
    """Run a detector, or its cache, over clips."""
    detector = CachedDetector.from_config(config, taxonomy)
    frames, ratios = [], []
    for clip in cli.progress_bar(clips, config.detector, "clip"):
        detections = detector.detect(clip).detections
        shown = np.zeros((detections.frames, len(taxonomy.actors)), bool)
        shown[detections.frame_row, detections.actor_index] = True
        frames.append(shown)
        ratios.append(detections.presence_ratios(len(taxonomy.actors)))
    return Presence(frames, np.stack(ratios))


def compare_frames(student: Presence, teacher: Presence, taxonomy: Taxonomy) -> dict[str, dict[str, float]]:
    """Score "actor in this frame" against the teacher: precision, recall, F1 and the teacher's frames, by actor."""
    said, truth = np.concatenate(student.frames), np.concatenate(teacher.frames)
    table = {}
    for actor in taxonomy.actors:
        one, other = said[:, actor.index], truth[:, actor.index]
        hits = int((one & other).sum())
        table[actor.name] = {
            "precision": hits / max(int(one.sum()), 1),
            "recall": hits / max(int(other.sum()), 1),
            "f1": 2 * hits / max(int(one.sum() + other.sum()), 1),
            "frames": int(other.sum()),
        }
    return table


def score_gates(
    config: TaggerConfig, presence: Presence, labels: Iterable[Sequence[str]], taxonomy: Taxonomy
) -> Scores:
    """Score a detector's own gates on the clips' labels, sample-averaged."""
    gates = load_gates(config.gates_file)
    truth = taxonomy.actors_of(np.stack([taxonomy.encode(names) for names in labels]))
    return count(presence.ratios >= gates.values, truth).sample_averaged


def main(argv: Sequence[str] | None = None) -> int:
    """Measure and print; the JSON is written last, whole or not at all."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="a labelled data set")
    parser.add_argument("--split", default="test")
    parser.add_argument("--detector", default=TaggerConfig().detector)
    parser.add_argument("--teacher", default="yolo26n")
    parser.add_argument("--conf", type=cli.fraction, nargs="+", help="try these confidences of the detector")
    parser.add_argument("--teacher-imgsz", type=cli.positive, help="instead of the teacher's own")
    parser.add_argument("--teacher-conf", type=cli.fraction, help="likewise")
    parser.add_argument("--cache", type=Path, default=cache_folder())
    parser.add_argument("--out", type=Path, help="JSON file for the measurements")
    arguments = parser.parse_args(argv)

    taxonomy = load_taxonomy()
    labels = clip_labels(read_samples(arguments.data, arguments.split, taxonomy))
    clips = list(labels)
    teacher_config = TaggerConfig(
        detector=arguments.teacher,
        image_size=arguments.teacher_imgsz,
        confidence=arguments.teacher_conf,
        cache=arguments.cache,
    )
    teacher = look(teacher_config, taxonomy, clips)
    results = []
    for confidence in arguments.conf or [None]:
        config = TaggerConfig(detector=arguments.detector, confidence=confidence, cache=arguments.cache)
        student = look(config, taxonomy, clips)
        table = compare_frames(student, teacher, taxonomy)
        macro = float(np.mean([row["f1"] for row in table.values()]))
        image_size, used = config.detector_settings
        rows = [
            [name, row["frames"], *(100 * row[key] for key in ("precision", "recall", "f1"))]
            for name, row in table.items()
        ]
        rows.append(["mean", "", "", "", 100 * macro])
        print(
            f"{arguments.detector} at {image_size}, confidence {used}, against {arguments.teacher}, {arguments.split}:"
        )
        print(tabulate(rows, ["actor", "teacher's frames", "P", "R", "F1"], floatfmt=".1f") + "\n")
        results.append({"confidence": used, "image_size": image_size, "actors": table, "macro_f1": macro})
    gates = {}
    for name, config, presence in (
        (arguments.detector, TaggerConfig(detector=arguments.detector), student),
        (arguments.teacher, TaggerConfig(detector=arguments.teacher), teacher),
    ):
        if config.gates_file.is_file() and not arguments.conf and not arguments.teacher_imgsz:
            gates[name] = score_gates(config, presence, labels.values(), taxonomy).to_dict()
            print(f"gates of {name}: " + ", ".join(f"{key} {100 * value:.1f}" for key, value in gates[name].items()))
    if arguments.out:
        content = {"data": arguments.data.name, "split": arguments.split, "clips": len(clips), "frames": results}
        write_atomically(arguments.out, json.dumps({**content, "gates": gates}, indent=2) + "\n")
    return cli.DONE


if __name__ == "__main__":
    sys.exit(cli.run(main))
