"""Batch scoring of a labelled split: the predictions of the whole pipeline against the ground truth."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from a2d.dataset import read_samples, split_names
from a2d.formats.base import Sample
from common.errors import ClipError
from common.progress import Progress, no_progress
from pipeline.cached_detector import DetectedClip, UnreadableClip
from pipeline.evaluation.split_report import BoolArray, Origin, SplitPredictions, SplitReport, report_split
from pipeline.streaming_heads import StreamingHeads
from pipeline.tagger import ActorActionTagger


@dataclass(frozen=True)
class ScoredSplits:
    """Which split to score, and how.

    Attributes:
        data: The data set.
        split: What to score.
        baseline_split: Where the most common labels are counted for the trivial baselines; None selects `train`, or
            `split` itself if there is no such split.
        near_seconds: A sample that refers to a frame is gated by the frames at most so far away, and heads that are
            given crops may take the actor's box from them, as the challenge report proposes (section 6); None selects
            the whole clip.
    """

    data: Path
    split: str = "test"
    baseline_split: str | None = None
    near_seconds: float | None = None


def score_split(tagger: ActorActionTagger, splits: ScoredSplits, progress: Progress = no_progress) -> SplitReport:
    """Score the pipeline on one split of a labelled data set.

    Args:
        tagger: The pipeline.
        splits: What to score, and how.
        progress: Shows the progress over the clips.

    Returns:
        The report.

    Raises:
        DatasetError: If the data set is wrong.
    """
    data, split = splits.data, splits.split
    samples = read_samples(data, split, tagger.taxonomy)
    baseline_split = splits.baseline_split
    if baseline_split is None:
        baseline_split = "train" if "train" in split_names(data) else split
    baseline = read_samples(data, baseline_split, tagger.taxonomy)
    training_labels = np.stack([tagger.taxonomy.encode(sample.labels) for sample in baseline])
    predictions = predict_split(tagger, samples, splits.near_seconds, progress)
    settings = {**tagger.settings, "near_seconds": splits.near_seconds}
    origin = Origin(data.name, split, baseline_split, _level(samples), tagger.weights, settings)
    return report_split(origin, predictions, training_labels, tagger.taxonomy)


def predict_split(
    tagger: ActorActionTagger,
    samples: Sequence[Sample],
    near_seconds: float | None = None,
    progress: Progress = no_progress,
) -> SplitPredictions:
    """Run the pipeline on every sample.

    A sample that refers to a frame is gated by its whole clip, and its heads are given that frame, as published; one
    that refers to a clip is tagged as the `tag` command does.

    Args:
        tagger: The pipeline.
        samples: What to predict.
        near_seconds: As in `ScoredSplits`.
        progress: Shows the progress over the clips.

    Returns:
        Predictions and ground truth, in the order of the samples.
    """
    taxonomy = tagger.taxonomy
    predicted = np.zeros((len(samples), len(taxonomy.labels)), dtype=bool)
    gated = np.zeros((len(samples), len(taxonomy.actors)), dtype=bool)
    failures = []
    rows: dict[Path, list[int]] = defaultdict(list)
    for row, sample in enumerate(samples):
        rows[sample.clip].append(row)
    clips = progress(list(rows), "scoring", "clip")
    for clip, (detected, streamed) in zip(clips, tagger.detect(rows), strict=True):
        if isinstance(detected, UnreadableClip):
            failures += [f"{detected.error}; nothing is predicted for it"] * len(rows[clip])
            continue
        try:
            for row in rows[clip]:
                gated[row], predicted[row] = _predict(tagger, samples[row], detected, streamed, near_seconds)
        except ClipError as reason:
            failures += [f"{reason}; nothing is predicted for it"] * len(rows[clip])
            continue
        if detected.detections.truncated:
            failures += [f"{clip}: {detected.detections.truncated}; scored as far as it goes"] * len(rows[clip])
    actual = np.stack([taxonomy.encode(sample.labels) for sample in samples])
    return SplitPredictions(predicted, gated, actual, tuple(sample.group for sample in samples), tuple(failures))


def _predict(
    tagger: ActorActionTagger,
    sample: Sample,
    detected: DetectedClip,
    streamed: StreamingHeads,
    near_seconds: float | None,
) -> tuple[BoolArray, BoolArray]:
    """Return the actors that pass their gate, shape (actors,), and the predicted labels, shape (labels,)."""
    detections = detected.detections
    if near_seconds is not None and sample.frame_index is not None:
        detections = detections.near(sample.frame_index, near_seconds)
    decision = tagger.decide_presence(detections)
    frames = tagger.sample_frames(detections, decision)
    if sample.frame_index is not None:
        frames = dict.fromkeys(frames, (sample.frame_index,))
    predictions = tagger.predict_actions(detected, frames, streamed, near_seconds or 0.0)
    return decision.present, tagger.predict_labels(tagger.score_labels(predictions))


def _level(samples: Sequence[Sample]) -> str:
    levels = {"clip" if sample.frame_index is None else "frame" for sample in samples}
    return levels.pop() if len(levels) == 1 else "mixed"
