"""Batch scoring of a labelled split: the predictions of the whole pipeline against the ground truth."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from a2d.dataset import read_samples, split_names
from a2d.formats.base import Sample
from a2d.skipped_samples import SkippedSamples
from common.errors import ClipError, DatasetError
from common.progress import Progress, no_progress
from pipeline.cached_detector import DetectedClip, UnreadableClip
from pipeline.detection_ahead import DetectionAhead
from pipeline.evaluation.split_report import BoolArray, Origin, SplitPredictions, SplitReport, report_split
from pipeline.rival_tagger import RivalTagger
from pipeline.streaming_heads import StreamingHeads
from pipeline.tagger import ActorActionTagger
from rivals.evaluation import predict_samples


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
        strict: Whether a clip that is missing or cannot be read to its end is an error.
    """

    data: Path
    split: str = "test"
    baseline_split: str | None = None
    near_seconds: float | None = None
    strict: bool = False


def score_split(
    tagger: ActorActionTagger | RivalTagger,
    splits: ScoredSplits,
    progress: Progress = no_progress,
    ahead: DetectionAhead | None = None,
) -> SplitReport:
    """Score the pipeline, or another system, on one split of a labelled data set.

    Samples whose clip or annotation is missing are left out. A clip that cannot be read counts as one for which nothing
    is predicted, because that is what the pipeline makes of it; a truncated one is scored as far as it goes.

    Args:
        tagger: The pipeline, or the other system.
        splits: What to score, and how.
        progress: Shows the progress over the clips.
        ahead: Has workers run stage 1; None if this process does.

    Returns:
        The report.

    Raises:
        DatasetError: If the data set is wrong, or `splits.strict` is set and a clip cannot be read to its end.
    """
    data, split = splits.data, splits.split
    skipped = SkippedSamples(splits.strict)
    samples = read_samples(data, split, tagger.taxonomy, skipped)
    baseline_split = splits.baseline_split
    if baseline_split is None:
        baseline_split = "train" if "train" in split_names(data) else split
    baseline = read_samples(data, baseline_split, tagger.taxonomy, skipped)
    training_labels = np.stack([tagger.taxonomy.encode(sample.labels) for sample in baseline])
    system = "pipeline"
    if isinstance(tagger, RivalTagger):
        system = tagger.scorer.name
        predictions = predict_with_rival(tagger, samples, progress, strict=splits.strict)
    else:
        if ahead:
            clips = (sample.clip for sample in samples)
            tagger = replace(tagger, detector=ahead.prepare(tagger.config, tagger.detector, clips))
        predictions = predict_split(tagger, samples, splits.near_seconds, progress, strict=splits.strict)
    predictions = replace(predictions, skipped=(*skipped.reasons, *predictions.skipped))
    settings = {**tagger.settings, "near_seconds": splits.near_seconds}
    origin = Origin(data.name, split, baseline_split, _level(samples), tagger.weights, settings, system)
    return report_split(origin, predictions, training_labels, tagger.taxonomy)


def predict_split(
    tagger: ActorActionTagger,
    samples: Sequence[Sample],
    near_seconds: float | None = None,
    progress: Progress = no_progress,
    *,
    strict: bool = False,
) -> SplitPredictions:
    """Run the pipeline on every sample.

    A sample that refers to a frame is gated by its whole clip, and its heads are given that frame, as published; one
    that refers to a clip is tagged as the `tag` command does.

    Args:
        tagger: The pipeline.
        samples: What to predict.
        near_seconds: As in `ScoredSplits`.
        progress: Shows the progress over the clips.
        strict: Whether a clip that cannot be read to its end is an error.

    Returns:
        Predictions and ground truth, in the order of the samples, without unreadable ones that have no labels.

    Raises:
        DatasetError: If `strict` is set and a clip cannot be read to its end, or there is nothing to score.
    """
    taxonomy = tagger.taxonomy
    predicted = np.zeros((len(samples), len(taxonomy.labels)), dtype=bool)
    gated = np.zeros((len(samples), len(taxonomy.actors)), dtype=bool)
    scores = np.full(predicted.shape, np.nan)
    failures = SkippedSamples(strict)
    unreadable = np.zeros(len(samples), dtype=bool)
    rows: dict[Path, list[int]] = defaultdict(list)
    for row, sample in enumerate(samples):
        rows[sample.clip].append(row)
    clips = progress(list(rows), "scoring", "clip")
    for clip, (detected, streamed) in zip(clips, tagger.detect(rows), strict=True):
        for row in rows[clip]:
            try:
                if isinstance(detected, UnreadableClip):
                    raise detected.error
                gated[row], scores[row], predicted[row] = _predict(
                    tagger, samples[row], detected, streamed, near_seconds
                )
            except ClipError as reason:
                unreadable[row] = True
                failures.add(samples[row].where, f"{reason}; nothing is predicted for it")
                continue
            if detected.detections.truncated:
                reason_text = f"{clip}: {detected.detections.truncated}; scored as far as it goes"
                failures.add(samples[row].where, reason_text)
    actual = np.stack([taxonomy.encode(sample.labels) for sample in samples])
    groups = tuple(sample.group for sample in samples)
    predictions = SplitPredictions(predicted, gated, actual, groups, tuple(failures.reasons), scores=scores)
    return _leave_out(unreadable & ~actual.any(axis=1), samples, predictions)


def predict_with_rival(
    tagger: RivalTagger, samples: Sequence[Sample], progress: Progress = no_progress, *, strict: bool = False
) -> SplitPredictions:
    """Predict every sample with another system; the actors of the labels that it says count as those that it found.

    Args:
        tagger: The system.
        samples: What to predict.
        progress: Shows the progress over the clips.
        strict: Whether a clip that cannot be read to its end is an error.

    Returns:
        As `predict_split`.

    Raises:
        DatasetError: As `predict_split`.
    """
    taxonomy, failures = tagger.taxonomy, SkippedSamples(strict)
    every_seconds = tagger.config.sample_every_seconds
    found = predict_samples(tagger.scorer, samples, taxonomy, failures, progress, every_seconds)
    gated = taxonomy.actors_of(found.predicted)
    predictions = SplitPredictions(
        found.predicted, gated, found.actual, found.groups, tuple(failures.reasons), scores=found.scores
    )
    return _leave_out(found.unreadable & ~found.actual.any(axis=1), samples, predictions)


def _leave_out(left_out: BoolArray, samples: Sequence[Sample], predictions: SplitPredictions) -> SplitPredictions:
    """Leave out unreadable samples without labels: predicting nothing, which is right for them, is no merit there."""
    if not left_out.any():
        return predictions
    kept = np.flatnonzero(~left_out)
    if not len(kept):
        raise DatasetError(predictions.failures[0])
    lines = [f"{samples[row].where}: {samples[row].clip}: unreadable" for row in np.flatnonzero(left_out).tolist()]
    return replace(
        predictions,
        predicted=predictions.predicted[kept],
        gated=predictions.gated[kept],
        actual=predictions.actual[kept],
        groups=tuple(predictions.groups[row] for row in kept.tolist()),
        scores=None if predictions.scores is None else predictions.scores[kept],
        skipped=tuple(f"{line}, and it has no labels: left out of the scores" for line in lines),
    )


def _predict(
    tagger: ActorActionTagger,
    sample: Sample,
    detected: DetectedClip,
    streamed: StreamingHeads,
    near_seconds: float | None,
) -> tuple[BoolArray, NDArray[np.float64], BoolArray]:
    """Return the actors that pass their gate, shape (actors,), and all labels' probabilities and predictions.

    Both have the shape (labels,); the probability is NaN for the labels of actors whose head was not asked.
    """
    detections = detected.detections
    if near_seconds is not None and sample.frame_index is not None:
        detections = detections.near(sample.frame_index, near_seconds)
    decision = tagger.decide_presence(detections)
    frames = tagger.sample_frames(detections, decision)
    if sample.frame_index is not None:
        frames = dict.fromkeys(frames, (sample.frame_index,))
    predictions = tagger.predict_actions(detected, frames, streamed, near_seconds or 0.0)
    scores = tagger.score_labels(predictions)
    row = np.array([scores.get(label.name, np.nan) for label in tagger.taxonomy.labels])
    return decision.present, row, tagger.predict_labels(scores)


def _level(samples: Sequence[Sample]) -> str:
    levels = {"clip" if sample.frame_index is None else "frame" for sample in samples}
    return levels.pop() if len(levels) == 1 else "mixed"
