"""Comparison of a detector with its teacher on every frame of a data set's clips, and of both with the clips' labels.

Run from the repository root:

    python -m experiments.detector_comparison --data clips.csv --split test --out result.json

Detections are cached. Frame by frame, all boxes count. The gates are each detector's own, and are scored on the clips'
labels; what they are applied to are confirmed boxes, if they were tuned that way.
"""

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tabulate import tabulate

from a2d.confidence_intervals import bootstrap_f1
from a2d.dataset import read_samples
from a2d.formats.base import Sample
from a2d.metrics import count
from a2d.taxonomy import Taxonomy, load_taxonomy
from common.files import write_atomically
from common.paths import cache_folder
from experiments.column_scores import bootstrap_columns
from experiments.formatting import interval, percent
from pipeline.cached_detector import CachedDetector
from pipeline.commands import console
from pipeline.commands.argument_types import fraction, positive
from pipeline.config import NO_CONFIRMATION, TaggerConfig
from thresholds.gates import load_gates


@dataclass(frozen=True)
class DetectorPresence:
    """Where one detector finds the actors.

    Attributes:
        detector: Its name, SHA-256 and settings.
        frames: One array per clip, shape (F, actors): True where the actor is in the frame.
        ratios: Presence ratios in [0, 1], shape (clips, actors).
    """

    detector: str
    frames: list[NDArray[np.bool_]]
    ratios: NDArray[np.float64]


@dataclass(frozen=True)
class LabelledClips:
    """The clips on which detectors are compared.

    Attributes:
        samples: One per clip.
        taxonomy: Actors and labels.
    """

    samples: Sequence[Sample]
    taxonomy: Taxonomy

    @property
    def sources(self) -> list[str]:
        """Source of each clip."""
        return [sample.group for sample in self.samples]

    @property
    def actual(self) -> NDArray[np.bool_]:
        """True where a label of the clip names the actor, shape (clips, actors)."""
        return self.taxonomy.actors_of(np.stack([self.taxonomy.encode(sample.labels) for sample in self.samples]))


def detect_presence(config: TaggerConfig, clips: LabelledClips) -> DetectorPresence:
    """Detect the actors in every frame of the clips, or load the detections from the cache.

    Raises:
        ClipError: If a clip cannot be read.
    """
    actors = len(clips.taxonomy.actors)
    detector = CachedDetector.from_config(config, clips.taxonomy)
    frames, ratios = [], []
    for sample in console.progress_bar(clips.samples, config.detector, "clip"):
        detections = detector.detect(sample.clip).detections
        is_present = np.zeros((detections.frames, actors), bool)
        is_present[detections.frame_row, detections.actor_index] = True
        frames.append(is_present)
        ratios.append(detections.presence_ratios(actors))
    return DetectorPresence(str(detector.identity), frames, np.stack(ratios))


def compare_frames(student: DetectorPresence, teacher: DetectorPresence, clips: LabelledClips) -> dict[str, Any]:
    """Score a detector's decisions "this actor is in this frame" with the teacher's as ground truth.

    Returns:
        `student` and `teacher`: the detectors; `actors`: by actor, precision, recall, F1 with its 95 % interval
        (sources resampled), and the number of frames in which the teacher detects it; `macro_f1`: the mean F1.
    """
    predicted, actual = np.concatenate(student.frames), np.concatenate(teacher.frames)
    sources = np.repeat(clips.sources, [len(frames) for frames in student.frames])
    scores = bootstrap_columns(predicted, actual, clips.taxonomy.actor_names, sources.tolist(), seed=0)
    actors = {}
    for actor in clips.taxonomy.actors:
        by_student, by_teacher = predicted[:, actor.index], actual[:, actor.index]
        hits = int((by_student & by_teacher).sum())
        f1 = scores.get(actor.name, {"f1": 0.0, "f1_interval": [0.0, 0.0]})
        actors[actor.name] = {
            "precision": hits / max(int(by_student.sum()), 1),
            "recall": hits / max(int(by_teacher.sum()), 1),
            "f1": f1["f1"],
            "f1_interval": f1["f1_interval"],
            "frames": int(by_teacher.sum()),
        }
    macro_f1 = float(np.mean([row["f1"] for row in actors.values()]))
    return {"student": student.detector, "teacher": teacher.detector, "actors": actors, "macro_f1": macro_f1}


def score_gates(config: TaggerConfig, presence: DetectorPresence, clips: LabelledClips) -> dict[str, Any]:
    """Score a detector's gates on the clips' labels, sample-averaged and by actor."""
    predicted = presence.ratios >= load_gates(config.gates_file).values
    scores = count(predicted, clips.actual).sample_averaged.to_dict()
    bounds = bootstrap_f1(predicted, clips.actual, clips.sources, seed=0)
    actors = bootstrap_columns(predicted, clips.actual, clips.taxonomy.actor_names, clips.sources, seed=0)
    return {**scores, "f1_interval": list(bounds), "actors": actors}


def format_frames_table(scores: Mapping[str, Any]) -> str:
    """Format the result of `compare_frames` as text, in percent."""
    rows = [
        [name, str(row["frames"]), *(percent(row[key]) for key in ("precision", "recall", "f1")),
         interval(row["f1_interval"])]
        for name, row in scores["actors"].items()
    ]  # fmt: skip
    rows.append(["mean", "", "", "", percent(scores["macro_f1"]), ""])
    headers = ["actor", "teacher's frames", "P", "R", "F1", "95 %"]
    return tabulate(rows, headers, disable_numparse=True, colalign=("left", *["right"] * 5))


def build_parser() -> argparse.ArgumentParser:
    """Build the parser of the command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data", type=Path, required=True, help="a labelled data set")
    parser.add_argument("--split", default="test")
    parser.add_argument("--detector", default=TaggerConfig().detector)
    parser.add_argument("--teacher", default="yolo26n")
    parser.add_argument("--conf", type=fraction, nargs="+", help="confidences of the detector (default: its own)")
    parser.add_argument(
        "--teacher-at",
        nargs="+",
        type=_parse_settings,
        default=[(None, None)],
        metavar="PIXELS:C",
        help="image sizes and confidences of the teacher, for example 224:0.5 (default: its own)",
    )
    parser.add_argument("--cache", type=Path, default=cache_folder())
    parser.add_argument("--out", type=Path, help="JSON file for the scores")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Compare the detectors, print the scores and write the JSON."""
    arguments = build_parser().parse_args(argv)
    taxonomy = load_taxonomy()
    clips = LabelledClips(read_samples(arguments.data, arguments.split, taxonomy), taxonomy)
    results = []
    for (image_size, teacher_confidence), confidence in product(arguments.teacher_at, arguments.conf or [None]):
        every_box = TaggerConfig(cache=arguments.cache, confirmation=NO_CONFIRMATION)
        teacher = replace(every_box, detector=arguments.teacher, image_size=image_size, confidence=teacher_confidence)
        student = replace(every_box, detector=arguments.detector, confidence=confidence)
        scores = compare_frames(detect_presence(student, clips), detect_presence(teacher, clips), clips)
        title = f"{scores['student']}, against {scores['teacher']}, {arguments.split}"
        console.print_result(f"{title}:\n{format_frames_table(scores)}\n")
        results.append(scores)
    gates = {}
    for name in (arguments.detector, arguments.teacher):
        config = TaggerConfig(detector=name, cache=arguments.cache)
        gates[name] = score_gates(config, detect_presence(config, clips), clips)
        text = ", ".join(f"{key} {percent(gates[name][key])}" for key in ("precision", "recall", "f1"))
        console.print_result(f"gates of {name}: {text}")
    if arguments.out:
        content = {"data": arguments.data.name, "split": arguments.split, "clips": len(clips.samples)}
        write_atomically(arguments.out, json.dumps({**content, "frames": results, "gates": gates}, indent=1) + "\n")
    return console.DONE


def _parse_settings(text: str) -> tuple[int, float]:
    """Parse `PIXELS:C`."""
    image_size, _, confidence = text.partition(":")
    return positive(image_size), fraction(confidence)


if __name__ == "__main__":
    sys.exit(console.run_guarded(main))
