"""Tuning the gates on a labelled data set: presence ratios from the cached detections, gates from the swarm."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from a2d.dataset import clip_labels, find_held_out_split, none_usable, read_samples
from a2d.formats.base import Sample
from a2d.skipped_samples import SkippedSamples
from a2d.taxonomy import Taxonomy, load_taxonomy
from common.errors import DatasetError
from common.progress import Progress, no_progress
from pipeline.cached_detector import CachedDetector, UnreadableClip
from pipeline.clip_windows import clip_presence_ratios
from pipeline.config import TaggerConfig
from pipeline.detection_ahead import DetectionAhead
from pipeline.training.known_gates import count_clips_showing, find_known_gates
from pipeline.training.operating_points import GateSearch, OperatingPoint, order_points, score
from pipeline.training.tuning_report import TuningReport, TuningRow
from thresholds.exact import UNIFORM_GATE
from thresholds.fitness import OBJECTIVES, PresenceTable
from thresholds.gates import Gates
from thresholds.stable import StableGates, tune_stable
from thresholds.tuning import is_determined, is_indifferent, tune

OBJECTIVE_NAMES = {"precision": "−P", "prf": "−P·R·F1", "f1": "−F1"}


@dataclass(frozen=True)
class TuningSplits:
    """The splits of a data set that tuning uses, and what to do where they are not enough.

    Attributes:
        tuning: What to tune on.
        held_out: What to report on; None selects `val` or `test`. Nothing is chosen by it.
        start: A gate file, whose gates are kept for actors whose gates the clips do not determine; None selects the
            detector's own gates, or the published ones.
        strict: Whether a clip that cannot be read to its end is an error; otherwise, it is skipped.
    """

    tuning: str = "train"
    held_out: str | None = None
    start: Path | None = None
    strict: bool = False


def tune_on_data(
    config: TaggerConfig,
    data: Path,
    splits: TuningSplits,
    search: GateSearch,
    progress: Progress = no_progress,
    ahead: DetectionAhead | None = None,
) -> TuningReport:
    """Tune gates on one split of a labelled data set.

    Args:
        config: Which detector, its settings, and where its detections are cached.
        data: The data set.
        splits: What to tune on, and what to report on.
        search: What to search for, and how.
        progress: Shows the progress of the detections.
        ahead: Has workers run stage 1; None if this process does.

    Returns:
        The report.

    Raises:
        UserError: If the data set, the detector or a setting is wrong.
    """
    taxonomy = load_taxonomy(config.taxonomy)
    known = find_known_gates(splits.start, config.detector)
    held_out = find_held_out_split(data, splits.tuning, splits.held_out)
    points: list[OperatingPoint] = []
    ahead = ahead or DetectionAhead()
    config_of, configurations = {}, search.configurations(config)
    early: list[Sample] = []  # with one configuration, workers need not be started twice
    if held_out and ahead.start and len(configurations) == 1:
        early = read_samples(data, held_out, taxonomy, SkippedSamples())
    for point_config in configurations:
        detector, skipped = CachedDetector.from_config(point_config, taxonomy), SkippedSamples(splits.strict)
        samples = read_samples(data, splits.tuning, taxonomy, skipped)
        detector = ahead.prepare(point_config, detector, (sample.clip for sample in [*samples, *early]))
        config_of[detector.settings] = point_config
        table = presence_table(detector, samples, taxonomy, progress, skipped)
        fixed, kept = known.keep(table, taxonomy)
        stable = tune_stable(table, search.objective, search.settings, search.method, fixed)
        points.append(OperatingPoint(detector, table, stable, skipped, fixed))
    points = order_points(points, search.objective)
    detector, table, stable = points[0].detector, points[0].table, points[0].stable
    held_out_table, held_out_skipped = None, SkippedSamples(splits.strict)
    if held_out:
        samples = read_samples(data, held_out, taxonomy, held_out_skipped)
        detector = ahead.prepare(config_of[detector.settings], detector, (sample.clip for sample in samples))
        try:
            held_out_table = presence_table(detector, samples, taxonomy, progress, held_out_skipped)
        except DatasetError:
            if splits.strict:
                raise
            held_out = None  # what was measured on the other split need not be lost
    rows = compare_gates(table, held_out_table, search, stable, fixed)
    gates = Gates(
        actors=taxonomy.actor_names,
        values=stable.values,
        objective=search.objective,
        optimizer=search.settings.optimizer,
        reached=score(table, stable.values),
        seed=search.settings.seed,
        bounds=search.settings.bounds,
        data=data.name,
        split=splits.tuning,
        clips=table.videos,
        detector=detector.identity,
        skipped=len(points[0].skipped),
        clips_showing=count_clips_showing(table, taxonomy),
        kept=kept,
        method=stable.method,
        out_of_fold=points[0].out_of_fold,
        sources=stable.sources,
    )
    notes = [
        *known.warnings(kept, detector.identity),
        *_note_indifferent_gates(table, taxonomy, search.settings.bounds),
        *_note_empty_clips(table),
    ]
    reasons = [*points[0].skipped.reasons, *held_out_skipped.reasons]
    return TuningReport(rows, points, gates, held_out, reasons, notes, held_out_table)


def _note_indifferent_gates(table: PresenceTable, taxonomy: Taxonomy, bounds: tuple[float, float]) -> list[str]:
    mask = is_determined(table.truth) & is_indifferent(table.ratios, bounds)
    low, high = bounds
    return [
        f"{taxonomy.actor_names[index]}: every gate from {low:g} to {high:g} decides the {table.videos} clips alike"
        for index in np.flatnonzero(mask).tolist()
    ]


def _note_empty_clips(table: PresenceTable) -> list[str]:
    empty = int((~table.truth.any(axis=1)).sum())
    return (
        [f"{empty} of {table.videos} clips have no labels: they count as clips in which no actor is"] if empty else []
    )


def presence_table(
    detector: CachedDetector,
    samples: Sequence[Sample],
    taxonomy: Taxonomy,
    progress: Progress = no_progress,
    skipped: SkippedSamples | None = None,
) -> PresenceTable:
    """Collect each clip's presence ratios and the actors that its labels imply.

    Args:
        detector: Stage 1, with its cache.
        samples: Frames' labels are pooled over their clip, as published (A2D challenge report, section 3.1).
        taxonomy: The run's.
        progress: Shows the progress of the detections.
        skipped: Collects the clips that cannot be read to their end: the labels describe the whole clip, and the ratios
            would be those of a part of it. None raises an error for the first.

    Returns:
        Ratios and truth, each (clips, actors), and the clips' sources.

    Raises:
        DatasetError: If no clip can be read to its end, or one cannot and `skipped` is None or strict.
    """
    skipped = SkippedSamples(strict=True) if skipped is None else skipped
    truth_by_clip = clip_labels(samples)
    where = {sample.clip: sample.where for sample in reversed(samples)}
    source = {sample.clip: sample.group for sample in reversed(samples)}
    ratios, truth, sources, names = [], [], [], []
    clips = progress(list(truth_by_clip), "detecting", "clip")
    for clip, detected in zip(clips, detector.detect_all(truth_by_clip), strict=True):
        if isinstance(detected, UnreadableClip):
            skipped.add(where[clip], detected.error)
            continue
        detections = detected.detections
        if detections.truncated:
            skipped.add(where[clip], f"{clip}: {detections.truncated}")
            continue
        ratios.append(clip_presence_ratios(detections, len(taxonomy.actors)))
        truth.append(taxonomy.actors_of(taxonomy.encode(truth_by_clip[clip])))
        sources.append(source[clip])
        names.append(str(clip))
    if not ratios:
        raise DatasetError(none_usable(skipped.reasons, samples[0].split))
    return PresenceTable(np.stack(ratios), np.stack(truth), np.array(sources), np.array(names))


def compare_gates(
    tuning: PresenceTable,
    held_out: PresenceTable | None,
    search: GateSearch,
    stable: StableGates,
    fixed: NDArray[np.float64] | None = None,
) -> list[TuningRow]:
    """Compare tuned gates with the uniform gate, the published search for every objective, and an exact search.

    Args:
        tuning: What was tuned on.
        held_out: What to report on; nothing is chosen by it.
        search: What was searched for, and how.
        stable: The result.
        fixed: Gates that are kept as they are, NaN for those to tune, shape (actors,); None tunes all.

    Returns:
        One row per set of gates.
    """
    settings, objective = search.settings, OBJECTIVE_NAMES[search.objective]
    exact = tune(tuning, search.objective, replace(settings, optimizer="exact", bounds=(0.0, 1.0)), fixed)
    candidates = {f"uniform {UNIFORM_GATE}": np.full(tuning.actors, UNIFORM_GATE)}
    names = {name: name for name in stable.candidates} | {"tuned": f"{settings.optimizer} {objective}"}
    names[stable.method] += " (chosen)"
    candidates |= {names[name]: gates for name, gates in stable.candidates.items()}
    for name in OBJECTIVES:
        if name != search.objective or "tuned" not in stable.candidates:
            candidates[f"{settings.optimizer} {OBJECTIVE_NAMES[name]}"] = tune(tuning, name, settings, fixed).values
    candidates[f"exact {objective}, no bounds"] = exact.values
    out_of_fold = {names[name]: scores for name, scores in stable.out_of_fold.items()}
    return [
        TuningRow(
            name,
            gates,
            score(tuning, gates),
            out_of_fold.get(name),
            score(held_out, gates) if held_out else None,
        )
        for name, gates in candidates.items()
    ]
