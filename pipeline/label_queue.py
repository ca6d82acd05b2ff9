"""A queue of clips to label: those first of which a label would teach most.

It is a list of labelled clips as `a2d.formats.csv_clips` reads it, with what was predicted as suggestions, in a split
of its own, so that nothing is trained on a clip before somebody has looked at it and named another split.
"""

import csv
import io
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from a2d.formats.whole_clips import TODO_SPLIT
from a2d.taxonomy import Taxonomy
from common.files import write_atomically
from pipeline.label_choice import clip_threshold
from pipeline.results import ClipResult
from pipeline.results_csv import harmless_path

SPLIT = TODO_SPLIT
COLUMNS = ("file", "labels", "split", "teaches", "why")
NEAR_GATE = 0.1  # share of the frames; nearer to its gate, an actor's presence is doubtful
NEAR_THRESHOLD = 0.25  # probability; likewise for an action


@dataclass(frozen=True)
class Doubt:
    """A reason to label a clip.

    Attributes:
        weight: In [0, 1].
        reason: In words; empty if the weight is 0.
    """

    weight: float = 0.0
    reason: str = ""


@dataclass(frozen=True)
class QueueEntry:
    """A clip in the queue.

    Attributes:
        result: Of the clip.
        doubts: About its actors' presence, their actions, the agreement of the looks at it, and its rarest label.
    """

    result: ClipResult
    doubts: tuple[Doubt, ...]

    @property
    def teaches(self) -> float:
        """How much a label would teach, in [0, 1]: the mean of the doubts."""
        return sum(doubt.weight for doubt in self.doubts) / len(self.doubts)

    @property
    def why(self) -> str:
        """The reasons, the strongest first."""
        doubts = sorted(self.doubts, key=lambda doubt: -doubt.weight)
        return "; ".join(doubt.reason for doubt in doubts if doubt.reason)


def rank_clips(
    results: Sequence[ClipResult], taxonomy: Taxonomy, label_threshold: float | None = None
) -> list[QueueEntry]:
    """Rank clips by how much a label would teach.

    Args:
        results: Those that could not be read to their end are left out: nothing can be trained on them.
        taxonomy: The run's.
        label_threshold: Probability from which an action was said, in [0, 1]; None if each clip has its own.

    Returns:
        The clips, the most instructive first; equal ones in their order.
    """
    usable = [result for result in results if result.status == "ok"]
    counts = Counter(label.label for result in usable for label in result.labels)
    entries = [
        QueueEntry(
            result,
            (
                doubt_presence(result),
                doubt_actions(result, clip_threshold(result.scores, taxonomy, label_threshold)),
                doubt_looks(result),
                value_rarity(result, counts),
            ),
        )
        for result in usable
    ]
    return sorted(entries, key=lambda entry: -entry.teaches)


def write_queue(path: Path, entries: Sequence[QueueEntry]) -> None:
    """Write a queue as CSV.

    Args:
        path: The file; clips are named relative to its folder.
        entries: In order.

    Raises:
        OSError: If it cannot be written.
    """
    folder, text = path.resolve().parent, io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for entry in entries:
        clip = Path(os.path.relpath(entry.result.path, folder)).as_posix()
        labels = " ".join(label.label for label in entry.result.labels)
        writer.writerow([harmless_path(clip), labels, SPLIT, f"{entry.teaches:.3f}", entry.why])
    write_atomically(path, text.getvalue())


def doubt_presence(result: ClipResult) -> Doubt:
    """Return how near the nearest actor is to its gate, among those detected at all."""
    distances = {name: abs(actor.margin) for name, actor in result.actors.items() if actor.presence or actor.detected}
    if not distances:
        return Doubt()
    name = min(distances, key=lambda name: distances[name])
    words = f"{name} is {100 * distances[name]:.1f} points from its gate"
    return _doubt(1 - distances[name] / NEAR_GATE, words)


def doubt_actions(result: ClipResult, label_threshold: float) -> Doubt:
    """Return how near the most doubtful action is to the threshold."""
    distances = {name: abs(score - label_threshold) for name, score in result.scores.items()}
    if not distances:
        return Doubt()
    name = min(distances, key=lambda name: distances[name])
    words = f"{name} has {result.scores[name]:.2f}, said from {label_threshold:.2f}"
    return _doubt(1 - distances[name] / NEAR_THRESHOLD, words)


def doubt_looks(result: ClipResult) -> Doubt:
    """Return how much the looks at the clip disagree about an action: twice the standard deviation of its scores."""
    spreads = {
        label: float(np.std(scores))
        for timeline in result.timeline.values()
        for label, scores in timeline.scores.items()
        if len(scores) > 1
    }
    if not spreads:
        return Doubt()
    name = max(spreads, key=lambda name: spreads[name])
    return _doubt(2 * spreads[name], f"the looks disagree about {name}")


def value_rarity(result: ClipResult, counts: Mapping[str, int]) -> Doubt:
    """Return how rare the rarest of its labels is: one over the square root of the number of clips with it."""
    names = [label.label for label in result.labels]
    if not names:
        return Doubt()
    name = min(names, key=lambda name: counts[name])
    clips = "one clip" if counts[name] == 1 else f"{counts[name]} clips"
    return _doubt(counts[name] ** -0.5, f"{name} was said of {clips}")


def _doubt(weight: float, reason: str) -> Doubt:
    weight = min(max(weight, 0.0), 1.0)
    return Doubt(weight, reason if weight else "")
