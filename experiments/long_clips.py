"""Gates on long clips: clips of a labelled split are joined at random, and must show the actors of all their parts.

Run from the repository root:

    python -m experiments.long_clips --data clips.csv --split test

Detections come from the cache, so nothing is decoded twice. One row per number of parts and length of the windows; an
infinite length is the published method, one presence ratio for the whole clip.
"""

import argparse
import math
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from tabulate import tabulate

from a2d.dataset import clip_labels, read_samples
from a2d.metrics import count
from a2d.taxonomy import load_taxonomy
from actor_detector.detections import ClipDetections
from pipeline.cached_detector import CachedDetector
from pipeline.clip_windows import MAX_WINDOW_SECONDS, ClipWindows
from pipeline.commands import console
from pipeline.commands.arguments import add_detector_arguments, add_run_arguments, config_from
from thresholds.gates import load_gates

PARTS = (1, 3, 6, 12)
WINDOW_SECONDS = (math.inf, MAX_WINDOW_SECONDS, 20.0, 10.0)
JOINED_CLIPS = 300


def join(parts: Sequence[ClipDetections]) -> ClipDetections:
    """Return the detections in clips that are shown one after the other."""
    first_rows = np.cumsum([0, *(len(part.frame_index) for part in parts)])
    begins = np.cumsum([0.0, *(part.duration_seconds for part in parts)])
    rows = [part.frame_row + first for part, first in zip(parts, first_rows[:-1], strict=True)]
    times = [part.time_seconds + begin for part, begin in zip(parts, begins[:-1], strict=True)]
    return ClipDetections(
        frame_index=np.arange(first_rows[-1]),
        time_seconds=np.concatenate(times),
        frame_row=np.concatenate(rows),
        boxes=np.concatenate([part.boxes for part in parts]),
        confidence=np.concatenate([part.confidence for part in parts]),
        actor_index=np.concatenate([part.actor_index for part in parts]),
        duration_seconds=float(begins[-1]),
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Score the gates on joined clips, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="a labelled data set")
    parser.add_argument("--split", default="test")
    add_detector_arguments(parser)
    add_run_arguments(parser)
    return console.run_guarded(lambda: _run(parser.parse_args(arguments)))


def _run(arguments: argparse.Namespace) -> int:
    config = config_from(arguments)
    taxonomy = load_taxonomy(config.taxonomy)
    detector = CachedDetector.from_config(replace(config, stride=1), taxonomy)
    gates = load_gates(config.gates_file)
    labels = clip_labels(read_samples(arguments.data, arguments.split, taxonomy))
    clips = [detector.detect(clip).detections for clip in console.progress_bar(labels, "detecting", "clip")]
    truth = np.stack([taxonomy.actors_of(taxonomy.encode(names)) for names in labels.values()])
    rows = []
    for parts in PARTS:
        rng = np.random.default_rng(arguments.seed)
        chosen = [rng.choice(len(clips), parts, replace=False) for _ in range(JOINED_CLIPS)]
        joined = [join([clips[index] for index in some]) for some in chosen]
        actual = np.stack([truth[some].any(axis=0) for some in chosen])
        for seconds in WINDOW_SECONDS:
            ratios = [ClipWindows.of_clip(clip, seconds).presence_ratios(len(taxonomy.actors)) for clip in joined]
            scores = count(np.stack([gates.decide(found.max(axis=0)).present for found in ratios]), actual)
            found = scores.sample_averaged
            percentages = [f"{100 * value:.1f}" for value in (found.precision, found.recall, found.f1)]
            length = np.mean([clip.duration_seconds for clip in joined])
            rows.append([parts, f"{length:.0f}", f"{seconds:g}", *percentages])
    columns = ["parts", "mean seconds", "window, seconds", "P", "R", "F1"]
    console.print_result(tabulate(rows, columns, disable_numparse=True, colalign=("right",) * 6))
    return console.DONE


if __name__ == "__main__":
    sys.exit(main())
