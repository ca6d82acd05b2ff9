"""Compare a detector with its teacher on every frame of a data set's clips: who is in which frame, and in which clip.

Run from the repository root:

    python -m experiments.detector_comparison --data clips.csv --split test --out result.json

Detections come from the cache where they are kept. Gates are each detector's own, and are scored on the clips' labels.
"""

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
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
from pipeline.cached_detector import CachedDetector
from pipeline.commands import console as cli
from pipeline.config import TaggerConfig
from thresholds.gates import load_gates


@dataclass(frozen=True)
class Presence:
    """What one detector says of some clips.

    Attributes:
        detector: Which one, with its sha256 and settings.
        frames: One array a clip, shape (F, actors): True where the actor is in the frame.
        ratios: Shape (clips, actors), in [0, 1].
    """

    detector: str
    frames: list[NDArray[np.bool_]]
    ratios: NDArray[np.float64]


@dataclass(frozen=True)
class Clips:
    """What is looked at.

    Attributes:
        samples: One a clip.
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
        """The actors that the labels name, shape (clips, actors)."""
        return self.taxonomy.actors_of(np.stack([self.taxonomy.encode(sample.labels) for sample in self.samples]))


def look(config: TaggerConfig, clips: Clips) -> Presence:
    """Run a detector, or its cache, over clips."""
    actors = len(clips.taxonomy.actors)
    detector = CachedDetector.from_config(config, clips.taxonomy)
    frames, ratios = [], []
    for sample in cli.progress_bar(clips.samples, config.detector, "clip"):
        detections = detector.detect(sample.clip).detections
        shown = np.zeros((detections.frames, actors), bool)
        shown[detections.frame_row, detections.actor_index] = True
        frames.append(shown)
        ratios.append(detections.presence_ratios(actors))
    return Presence(str(detector.identity), frames, np.stack(ratios))


def compare_frames(student: Presence, teacher: Presence, clips: Clips) -> dict[str, Any]:
    """Score "actor in this frame" against the teacher.

    Returns:
        `student`, `teacher`: who was compared; `actors`: by actor precision, recall, F1 with its 95 % interval (sources
        drawn with replacement), and the number of frames in which the teacher sees it; `macro_f1`: the mean.
    """
    said, truth = np.concatenate(student.frames), np.concatenate(teacher.frames)
    sources = np.repeat(clips.sources, [len(frames) for frames in student.frames])
    scores = bootstrap_columns(said, truth, clips.taxonomy.actor_names, sources.tolist(), seed=0)
    table = {}
    for actor in clips.taxonomy.actors:
        one, other = said[:, actor.index], truth[:, actor.index]
        hits = int((one & other).sum())
        found = scores.get(actor.name, {"f1": 0.0, "f1_interval": [0.0, 0.0]})
        table[actor.name] = {
            "precision": hits / max(int(one.sum()), 1),
            "recall": hits / max(int(other.sum()), 1),
            "f1": found["f1"],
            "f1_interval": found["f1_interval"],
            "frames": int(other.sum()),
        }
    macro_f1 = float(np.mean([row["f1"] for row in table.values()]))
    return {"student": student.detector, "teacher": teacher.detector, "actors": table, "macro_f1": macro_f1}


def score_gates(config: TaggerConfig, presence: Presence, clips: Clips) -> dict[str, Any]:
    """Score a detector's own gates on the clips' labels, sample-averaged, and by actor."""
    said = presence.ratios >= load_gates(config.gates_file).values
    scores = count(said, clips.actual).sample_averaged.to_dict()
    interval = bootstrap_f1(said, clips.actual, clips.sources, seed=0)
    actors = bootstrap_columns(said, clips.actual, clips.taxonomy.actor_names, clips.sources, seed=0)
    return {**scores, "f1_interval": list(interval), "actors": actors}


def frames_table(scores: Mapping[str, Any]) -> str:
    """Lay out what `compare_frames` gives, in percent."""
    rows = [
        [name, str(row["frames"]), *(f"{100 * row[key]:.1f}" for key in ("precision", "recall", "f1")),
         "–".join(f"{100 * bound:.1f}" for bound in row["f1_interval"])]
        for name, row in scores["actors"].items()
    ]  # fmt: skip
    rows.append(["mean", "", "", "", f"{100 * scores['macro_f1']:.1f}", ""])
    headers = ["actor", "teacher's frames", "P", "R", "F1", "95 %"]
    return tabulate(rows, headers, disable_numparse=True, colalign=("left", *["right"] * 5))


def build_parser() -> argparse.ArgumentParser:
    """Describe the command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data", type=Path, required=True, help="a labelled data set")
    parser.add_argument("--split", default="test")
    parser.add_argument("--detector", default=TaggerConfig().detector)
    parser.add_argument("--teacher", default="yolo26n")
    parser.add_argument("--conf", type=cli.fraction, nargs="+", help="try these confidences of the detector")
    parser.add_argument(
        "--teacher-at",
        nargs="+",
        type=_parse_settings,
        default=[(None, None)],
        metavar="PIXELS:C",
        help="image sizes and confidences of the teacher, for example 224:0.5 (default: its own)",
    )
    parser.add_argument("--cache", type=Path, default=cache_folder())
    parser.add_argument("--out", type=Path, help="JSON file for the measurements")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Measure and print; the JSON is written last, whole or not at all."""
    arguments = build_parser().parse_args(argv)
    taxonomy = load_taxonomy()
    clips = Clips(read_samples(arguments.data, arguments.split, taxonomy), taxonomy)
    results = []
    for (teacher_size, teacher_confidence), confidence in product(arguments.teacher_at, arguments.conf or [None]):
        teacher = TaggerConfig(
            detector=arguments.teacher,
            image_size=teacher_size,
            confidence=teacher_confidence,
            cache=arguments.cache,
        )
        student = TaggerConfig(detector=arguments.detector, confidence=confidence, cache=arguments.cache)
        scores = compare_frames(look(student, clips), look(teacher, clips), clips)
        cli.show(f"{scores['student']}, against {scores['teacher']}, {arguments.split}:\n{frames_table(scores)}\n")
        results.append(scores)
    gates = {}
    for name in (arguments.detector, arguments.teacher):
        config = TaggerConfig(detector=name, cache=arguments.cache)
        gates[name] = score_gates(config, look(config, clips), clips)
        shown = ", ".join(f"{key} {100 * gates[name][key]:.1f}" for key in ("precision", "recall", "f1"))
        cli.show(f"gates of {name}: {shown}")
    if arguments.out:
        content = {"data": arguments.data.name, "split": arguments.split, "clips": len(clips.samples)}
        write_atomically(arguments.out, json.dumps({**content, "frames": results, "gates": gates}, indent=1) + "\n")
    return cli.DONE


def _parse_settings(text: str) -> tuple[int, float]:
    """Parse `PIXELS:C`."""
    size, _, confidence = text.partition(":")
    return cli.positive(size), cli.fraction(confidence)


if __name__ == "__main__":
    sys.exit(cli.run(main))
