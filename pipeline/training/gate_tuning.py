"""Tuning the gates on a labelled data set: presence ratios from the cached detections, gates from the swarm."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tabulate import tabulate

from a2d.dataset import clip_labels, find_held_out_split, read_samples
from a2d.formats.base import Sample
from a2d.metrics import Scores
from a2d.taxonomy import Taxonomy, load_taxonomy
from common.errors import DatasetError
from common.progress import Progress, no_progress
from pipeline.cached_detector import CachedDetector, UnreadableClip
from pipeline.config import TaggerConfig
from thresholds.exact import UNIFORM_GATE
from thresholds.fitness import OBJECTIVES, PresenceTable, score_gates
from thresholds.gates import Gates, save_gates
from thresholds.tuning import SearchSettings, TunedGates, gates_on_bound, tune

OBJECTIVE_NAMES = {"precision": "−P", "prf": "−P·R·F1", "f1": "−F1"}


@dataclass(frozen=True)
class TuningSplits:
    """The splits of a data set that tuning uses.

    Attributes:
        tuning: What to tune on.
        held_out: What to report on; None selects `val` or `test`. Nothing is chosen by it.
    """

    tuning: str = "train"
    held_out: str | None = None


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
    """

    rows: Sequence[TuningRow]
    gates: Gates
    held_out: str | None

    def save(self, path: Path) -> Gates:
        """Write the requested gates, and return them with the file's sha256."""
        return save_gates(self.gates, path)

    def table(self) -> str:
        """Format the rows as text, scores in percent."""
        splits = [self.gates.split] + ([self.held_out] if self.held_out else [])
        scores = [f"{letter}\n{split}" for split in splits for letter in ("P", "R", "F1")]
        columns = ["gates from", *scores, *self.gates.actors]
        body = [[row.name, *row.percentages(), *(f"{gate:.3f}" for gate in row.gates)] for row in self.rows]
        return tabulate(body, columns, disable_numparse=True, colalign=("left", *["right"] * (len(columns) - 1)))

    def warnings(self) -> list[str]:
        """Name the gates that lie on a bound, where a wider search might do better."""
        mask = gates_on_bound(self.gates.values, self.gates.bounds)
        low, high = self.gates.bounds
        return [
            f"the gate of {actor} lies on its bound ({value:g} of {low:g} to {high:g}); try wider --bounds"
            for actor, value, hit in zip(self.gates.actors, self.gates.values, mask, strict=True)
            if hit
        ]


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
    held_out = find_held_out_split(data, splits.tuning, splits.held_out)
    tables = {
        name: presence_table(detector, read_samples(data, name, taxonomy), taxonomy, progress)
        for name in filter(None, (splits.tuning, held_out))
    }
    table = tables[splits.tuning]
    rows, chosen = compare_gates(table, tables[held_out] if held_out else None, objective, settings)
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
    )
    return TuningReport(rows, gates, held_out)


def presence_table(
    detector: CachedDetector,
    samples: Sequence[Sample],
    taxonomy: Taxonomy,
    progress: Progress = no_progress,
) -> PresenceTable:
    """Collect each clip's presence ratios and the actors that its labels imply.

    Args:
        detector: Stage 1, with its cache.
        samples: Frames' labels are pooled over their clip, as published (A2D challenge report, section 3.1).
        taxonomy: The run's.
        progress: Shows the progress of the detections.

    Returns:
        Ratios and truth, each (clips, actors).

    Raises:
        DatasetError: If a clip cannot be read to its end, so that gates are never tuned on half a data set.
    """
    truth_by_clip = clip_labels(samples)
    ratios, truth = [], []
    clips = progress(list(truth_by_clip), "detecting", "clip")
    for clip, detected in zip(clips, detector.detect_all(truth_by_clip), strict=True):
        if isinstance(detected, UnreadableClip):
            raise DatasetError(str(detected.error))
        detections = detected.detections
        if detections.truncated:
            raise DatasetError(f"{clip}: {detections.truncated}")
        ratios.append(detections.presence_ratios(len(taxonomy.actors)))
        truth.append(taxonomy.actors_of(taxonomy.encode(truth_by_clip[clip])))
    return PresenceTable(np.stack(ratios), np.stack(truth))


def compare_gates(
    tuning: PresenceTable, held_out: PresenceTable | None, objective: str, settings: SearchSettings
) -> tuple[list[TuningRow], TunedGates]:
    """Tune gates for every objective, and compare them with the uniform gate and an exact search.

    Args:
        tuning: What to tune on.
        held_out: What to report on; nothing is chosen by it.
        objective: Whose gates are requested.
        settings: How to search.

    Returns:
        One row per set of gates, and the requested gates.
    """
    found = {name: tune(tuning, name, settings) for name in OBJECTIVES}
    exact = tune(tuning, objective, replace(settings, optimizer="exact", bounds=(0.0, 1.0)))
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
