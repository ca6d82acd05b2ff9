"""Tuning the gates on a labelled data set: presence ratios from the cached detections, gates from the swarm."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tabulate import tabulate

from a2d.dataset import clip_labels, find_held_out_split, none_usable, read_samples
from a2d.formats.base import Sample
from a2d.metrics import Scores
from a2d.skipped_samples import SkippedSamples
from a2d.taxonomy import Taxonomy, load_taxonomy
from common.errors import DatasetError
from common.progress import Progress, no_progress
from pipeline.cached_detector import CachedDetector, UnreadableClip
from pipeline.clip_windows import clip_presence_ratios
from pipeline.config import TaggerConfig
from pipeline.training.known_gates import count_clips_showing, describe_evidence, find_known_gates
from thresholds.exact import UNIFORM_GATE
from thresholds.fitness import OBJECTIVES, PresenceTable, score_gates
from thresholds.gates import Gates, save_gates
from thresholds.tuning import SearchSettings, TunedGates, gates_on_bound, is_determined, is_indifferent, tune

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


@dataclass(frozen=True)
class TuningRow:
    """One set of gates and its scores.

    Attributes:
        name: How they were found.
        gates: Shape (actors,), in [0, 1].
        tuned: Scores on the split that the gates were tuned on.
        held_out: Scores on the held-out split, or None.
    """

    name: str
    gates: NDArray[np.float64]
    tuned: Scores
    held_out: Scores | None

    def percentages(self) -> list[str]:
        """Return precision, recall and F1 of each split, in percent."""
        scores = [self.tuned] + ([self.held_out] if self.held_out else [])
        return [f"{100 * value:.1f}" for s in scores for value in (s.precision, s.recall, s.f1)]


@dataclass(frozen=True)
class TuningReport:
    """The result of a tuning.

    Attributes:
        rows: The uniform gate, the swarm with each objective, and the exact search.
        gates: The requested gates, with their provenance.
        held_out: Name of the held-out split, or None.
        skipped: One line for each clip of either split that could not be used.
        notes: What else should be known about the gates.
    """

    rows: Sequence[TuningRow]
    gates: Gates
    held_out: str | None
    skipped: Sequence[str] = ()
    notes: Sequence[str] = ()

    def save(self, path: Path) -> Gates:
        """Write the requested gates, and return them with the file's sha256."""
        return save_gates(self.gates, path)

    def table(self) -> str:
        """Format the rows as text, scores in percent."""
        splits = [self.gates.split] + ([self.held_out] if self.held_out else [])
        scores = [f"{letter}\n{split}" for split in splits for letter in ("P", "R", "F1")]
        columns = ["gates from", *scores, *self.gates.actors]
        body = [[row.name, *row.percentages(), *(f"{gate:.3f}" for gate in row.gates)] for row in self.rows]
        showing = [str(self.gates.clips_showing.get(actor, "")) for actor in self.gates.actors]
        body.append([f"clips that show it, of {self.gates.clips}", *[""] * len(scores), *showing])
        return tabulate(body, columns, disable_numparse=True, colalign=("left", *["right"] * (len(columns) - 1)))

    def warnings(self) -> list[str]:
        """Name the gates that were kept, rest on few clips, or lie on a bound, where a wider search might do better."""
        mask = gates_on_bound(self.gates.values, self.gates.bounds)
        low, high = self.gates.bounds
        kept = self.gates.kept.reasons if self.gates.kept else ()
        on_bound = [
            f"the gate of {actor} lies on its bound ({value:g} of {low:g} to {high:g}); try wider --bounds"
            for actor, value, hit in zip(self.gates.actors, self.gates.values, mask, strict=True)
            if hit and actor not in kept
        ]
        return [*describe_evidence(self.gates), *self.notes, *on_bound]


def tune_on_data(
    config: TaggerConfig,
    data: Path,
    splits: TuningSplits,
    objective: str,
    settings: SearchSettings,
    progress: Progress = no_progress,
) -> TuningReport:
    """Tune gates on one split of a labelled data set.

    Args:
        config: Which detector, its settings, and where its detections are cached.
        data: The data set.
        splits: What to tune on, and what to report on.
        objective: A name from `thresholds.fitness.OBJECTIVES`.
        settings: How to search.
        progress: Shows the progress of the detections.

    Returns:
        The report.

    Raises:
        UserError: If the data set, the detector or a setting is wrong.
    """
    taxonomy = load_taxonomy(config.taxonomy)
    detector = CachedDetector.from_config(config, taxonomy)
    known = find_known_gates(splits.start, config.detector)
    held_out = find_held_out_split(data, splits.tuning, splits.held_out)
    skipped = {name: SkippedSamples(splits.strict) for name in filter(None, (splits.tuning, held_out))}
    samples = {name: read_samples(data, name, taxonomy, skipped[name]) for name in skipped}
    table = presence_table(detector, samples[splits.tuning], taxonomy, progress, skipped[splits.tuning])
    held_out_table = None
    if held_out:
        try:
            held_out_table = presence_table(detector, samples[held_out], taxonomy, progress, skipped[held_out])
        except DatasetError:
            if splits.strict:
                raise
            held_out = None  # what was measured on the other split need not be lost
    fixed, kept = known.keep(table, taxonomy)
    rows, chosen = compare_gates(table, held_out_table, objective, settings, fixed)
    gates = Gates(
        actors=taxonomy.actor_names,
        values=chosen.values,
        objective=objective,
        optimizer=settings.optimizer,
        reached=chosen.reached,
        seed=settings.seed,
        bounds=settings.bounds,
        data=data.name,
        split=splits.tuning,
        clips=table.videos,
        detector=detector.identity,
        skipped=len(skipped[splits.tuning]),
        clips_showing=count_clips_showing(table, taxonomy),
        kept=kept,
    )
    notes = [
        *known.warnings(kept, detector.identity),
        *_note_indifferent_gates(table, taxonomy, settings.bounds),
        *_note_empty_clips(table),
    ]
    reasons = [reason for samples_skipped in skipped.values() for reason in samples_skipped.reasons]
    return TuningReport(rows, gates, held_out, reasons, notes)


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
        Ratios and truth, each (clips, actors).

    Raises:
        DatasetError: If no clip can be read to its end, or one cannot and `skipped` is None or strict.
    """
    skipped = SkippedSamples(strict=True) if skipped is None else skipped
    truth_by_clip = clip_labels(samples)
    where = {sample.clip: sample.where for sample in reversed(samples)}
    ratios, truth = [], []
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
    if not ratios:
        raise DatasetError(none_usable(skipped.reasons, samples[0].split))
    return PresenceTable(np.stack(ratios), np.stack(truth))


def compare_gates(
    tuning: PresenceTable,
    held_out: PresenceTable | None,
    objective: str,
    settings: SearchSettings,
    fixed: NDArray[np.float64] | None = None,
) -> tuple[list[TuningRow], TunedGates]:
    """Tune gates for every objective, and compare them with the uniform gate and an exact search.

    Args:
        tuning: What to tune on.
        held_out: What to report on; nothing is chosen by it.
        objective: Whose gates are requested.
        settings: How to search.
        fixed: Gates that are kept as they are, NaN for those to tune, shape (actors,); None tunes all.

    Returns:
        One row per set of gates, and the requested gates.
    """
    found = {name: tune(tuning, name, settings, fixed) for name in OBJECTIVES}
    exact = tune(tuning, objective, replace(settings, optimizer="exact", bounds=(0.0, 1.0)), fixed)
    candidates = {f"uniform {UNIFORM_GATE}": np.full(tuning.actors, UNIFORM_GATE)}
    candidates |= {f"{settings.optimizer} {OBJECTIVE_NAMES[name]}": found[name].values for name in found}
    candidates[f"exact {OBJECTIVE_NAMES[objective]}, no bounds"] = exact.values
    rows = [
        TuningRow(name, gates, _score(tuning, gates), _score(held_out, gates) if held_out else None)
        for name, gates in candidates.items()
    ]
    return rows, found[objective]


def _score(table: PresenceTable, gates: NDArray[np.float64]) -> Scores:
    return score_gates(table.ratios, table.truth, gates[None]).of_particle(0)
