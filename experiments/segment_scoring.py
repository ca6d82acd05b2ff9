"""When things happen: clips joined into longer ones, whose true seconds are known, and the segments predicted for them.

Run from the repository root:

    python -m experiments.segment_scoring --data clips.csv --split test --out out/joined

Each joined video shows two to four clips of different sources, scaled to one size. The true segment of a label is the
time of the clip that has it, although the action may fill only a part of it. A predicted segment is right if it
overlaps a true one of its label, which no other took, by a temporal intersection over union (tIoU) of at least a half.
"""

import argparse
import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tabulate import tabulate

from a2d.dataset import read_samples
from a2d.formats.base import Sample
from a2d.metrics import Scores
from a2d.taxonomy import load_taxonomy
from actor_detector.letterbox import Letterbox
from pipeline.commands import console
from pipeline.commands.argument_types import positive
from pipeline.commands.arguments import add_detector_arguments, add_run_arguments, config_from
from pipeline.tagger import ActorActionTagger
from video.clips import decode_frames
from video.writer import video_writer

SIZE = (568, 320)  # width and height of a joined video in pixels
PARTS = (2, 3, 4)
FPS = 25.0  # nominal
MIN_TIOU = (0.3, 0.5, 0.7)

Segment = tuple[float, float]
Segments = Mapping[str, Sequence[Segment]]
"""By label: start and end in seconds."""


def temporal_iou(one: Segment, other: Segment) -> float:
    """Compute the intersection over union of two segments.

    >>> temporal_iou((0, 4), (2, 6))
    0.3333333333333333
    """
    intersection = max(0.0, min(one[1], other[1]) - max(one[0], other[0]))
    union = (one[1] - one[0]) + (other[1] - other[0]) - intersection
    return intersection / union if union > 0 else 0.0


def count_matches(predicted: Segments, actual: Segments, min_tiou: float) -> int:
    """Count the predicted segments that overlap a true one of their label; each is matched at most once, best first."""
    matches = 0
    for label, segments in predicted.items():
        pairs = [
            (temporal_iou(found, true), row, column)
            for row, found in enumerate(segments)
            for column, true in enumerate(actual.get(label, ()))
        ]
        rows, columns = set[int](), set[int]()
        for overlap, row, column in sorted(pairs, reverse=True):
            if overlap >= min_tiou and row not in rows and column not in columns:
                rows.add(row)
                columns.add(column)
        matches += len(rows)
    return matches


def score_segments(pairs: Iterable[tuple[Segments, Segments]], min_tiou: float) -> Scores:
    """Score predicted segments over all videos together (micro-averaged).

    Args:
        pairs: The predicted and the true segments of each video.
        min_tiou: From which overlap a segment is right.
    """
    counts = np.zeros(3)
    for predicted, actual in pairs:
        sizes = [sum(map(len, segments.values())) for segments in (predicted, actual)]
        counts += [count_matches(predicted, actual, min_tiou), *sizes]
    matches, found, true = counts.tolist()
    precision, recall = (matches / total if total else 0.0 for total in (found, true))
    return Scores(precision, recall, 2 * matches / (found + true) if found + true else 0.0)


def true_segments(parts: Iterable[tuple[Sample, Segment]]) -> dict[str, list[Segment]]:
    """Return when each label is true, given when each clip is shown; neighbours that share a label are one segment."""
    segments: dict[str, list[Segment]] = {}
    for sample, (start, end) in parts:
        for label in sample.labels:
            before = segments.setdefault(label, [])
            if before and before[-1][1] == start:
                before[-1] = (before[-1][0], end)
            else:
                before.append((start, end))
    return segments


def draw_parts(samples: Sequence[Sample], count: int, seed: int) -> list[list[Sample]]:
    """Draw clips to join: of different sources, and neighbours with different labels."""
    rng = np.random.default_rng(seed)
    drawn: list[list[Sample]] = []
    while len(drawn) < count:
        parts: list[Sample] = []
        for index in rng.permutation(len(samples)).tolist():
            sample = samples[index]
            is_other_source = all(part.group != sample.group for part in parts)
            before = set(parts[-1].labels) if parts else set()
            if sample.labels and is_other_source and not before & set(sample.labels):
                parts.append(sample)
            if len(parts) == PARTS[len(drawn) % len(PARTS)]:
                break
        drawn.append(parts)
    return drawn


def join_clips(samples: Sequence[Sample], path: Path) -> list[tuple[Sample, Segment]]:
    """Write clips one after the other into a video, and return when each is shown."""
    shown, begin = [], 0.0
    with video_writer(path, *SIZE, FPS) as writer:
        for sample in samples:
            end = begin
            for frame in decode_frames(sample.clip):
                duration = frame.duration_seconds or 1 / FPS
                writer.add(_fit(frame.image()), begin + frame.time_seconds, duration)
                end = begin + frame.time_seconds + duration
            shown.append((sample, (begin, end)))
            begin = end
    return shown


def _fit(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    letterbox = Letterbox.fit_into((image.shape[1], image.shape[0]), SIZE)
    (canvas,) = letterbox.canvas(1)
    letterbox.paste(image, canvas)
    return canvas


def main(arguments: Sequence[str] | None = None) -> int:
    """Join clips, tag the joined videos, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="a labelled data set")
    parser.add_argument("--split", default="test")
    parser.add_argument("--videos", type=positive, default=60, help="number of joined videos (default: %(default)s)")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="the videos, and segments.json")
    add_detector_arguments(parser)
    add_run_arguments(parser)
    return console.run_guarded(lambda: _run(parser.parse_args(arguments)))


def _run(arguments: argparse.Namespace) -> int:
    config = config_from(arguments)
    samples = read_samples(arguments.data, arguments.split, load_taxonomy(config.taxonomy))
    joined = {}
    drawn = draw_parts(samples, arguments.videos, arguments.seed)
    for number, parts in enumerate(console.progress_bar(drawn, "joining", "video")):
        path = arguments.out / f"{number:03d}.mp4"
        joined[path] = join_clips(parts, path)
    tagger = ActorActionTagger.from_config(config)
    pairs, whole, record = [], [], {}
    for path, shown in console.progress_bar(list(joined.items()), "tagging", "video"):
        predicted = {label.label: label.segments for label in tagger.tag(path).labels}
        actual, end = true_segments(shown), shown[-1][1][1]
        pairs.append((predicted, actual))
        whole.append(({label: [(0.0, end)] for label in predicted}, actual))
        record[path.name] = {"predicted": predicted, "true": actual}
    (arguments.out / "segments.json").write_text(json.dumps(record, indent=1), encoding="utf-8")
    rows = []
    for name, of_name in (("predicted segments", pairs), ("the same labels, all the time", whole)):
        for tiou in MIN_TIOU:
            scores = score_segments(of_name, tiou)
            percentages = [f"{100 * value:.1f}" for value in (scores.precision, scores.recall, scores.f1)]
            rows.append([name, f"{tiou:g}", *percentages])
    console.print_result(tabulate(rows, ["segments", "tIoU", "P", "R", "F1"], disable_numparse=True))
    return console.DONE


if __name__ == "__main__":
    sys.exit(main())
