"""Tuning of the gates on a labelled data set: presence ratios from the cache, gates from the swarm."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tabulate import tabulate

from a2d.dataset import clip_labels, find_held_out_split, read_samples
from a2d.formats.base import Sample
from a2d.metrics import Scores
from a2d.taxonomy import Taxonomy, load_taxonomy
from common.errors import DatasetError, UserError
from pipeline.cached_detector import CachedDetector, UnreadableClip
from pipeline.config import TaggerConfig
from thresholds.exact import UNIFORM_GATE
from thresholds.fitness import OBJECTIVES, PresenceTable, score_gates
from thresholds.gates import Gates, save_gates
from thresholds.tuning import PUBLISHED_BOUNDS, TunedGates, gates_on_bound, tune

Progress = Callable[[Sequence[Path]], Iterable[Path]]

OBJECTIVE_NAMES = {"precision": "−P", "prf": "−P·R·F1", "f1": "−F1"}


@dataclass(frozen=True)
class SearchSettings:
    """How to search; the defaults are the published ones.

    Attributes:
        optimizer: `spso2011` or `gbest`.
        particles: In the swarm.
        iterations: Of each run.
        runs: Of which the best counts.
        bounds: Lowest and highest gate allowed.
        seed: Of the search.
    """

    optimizer: str = "spso2011"
    particles: int = 40
    iterations: int = 10
    runs: int = 4
    bounds: tuple[float, float] = PUBLISHED_BOUNDS
    seed: int = 0

    def __post_init__(self) -> None:
        """Check the bounds before any clip is looked at.

        Raises:
            UserError: If they do not rise within [0, 1].
        """
        if not 0 <= self.bounds[0] < self.bounds[1] <= 1:
            raise UserError(f"bounds {self.bounds[0]:g} {self.bounds[1]:g} were given, 0 <= LOW < HIGH <= 1 is allowed")


@dataclass(frozen=True)
class TuningRow:
    """One choice of gates and what it reaches.

    Attributes:
        name: How the gates were found.
        gates: Shape (actors,), in [0, 1].
        tuned: Scores on the split that the gates were tuned on.
        held_out: Scores on the other split, or None.
    """

    name: str
    gates: NDArray[np.float64]
    tuned: Scores
    held_out: Scores | None

    def percentages(self) -> list[str]:
        """Give precision, recall and F1 of each split, in percent."""
        scores = [self.tuned] + ([self.held_out] if self.held_out else [])
        return [f"{100 * value:.1f}" for s in scores for value in (s.precision, s.recall, s.f1)]


@dataclass(frozen=True)
class TuningReport:
    """What tuning found.

    Attributes:
        rows: The uniform gate, each objective's swarm and the exact search.
        gates: The gates asked for, with where they come from.
        held_out: Name of the split that was reported on beside, or None.
    """

    rows: Sequence[TuningRow]
    gates: Gates
    held_out: str | None

    def save(self, path: Path) -> Gates:
        """Write the gates asked for, and give them with the file's sha256."""
        return save_gates(self.gates, path)

    def table(self) -> str:
        """Lay the rows out as text, scores in percent."""
        splits = [self.gates.split] + ([self.held_out] if self.held_out else [])
        scores = [f"{letter}\n{split}" for split in splits for letter in ("P", "R", "F1")]
        columns = ["gates from", *scores, *self.gates.actors]
        body = [[row.name, *row.percentages(), *(f"{gate:.3f}" for gate in row.gates)] for row in self.rows]
        return tabulate(body, columns, disable_numparse=True, colalign=("left", *["right"] * (len(columns) - 1)))

    def warnings(self) -> list[str]:
        """Say which gates sit on a bound, where a wider search might do better."""
        mask = gates_on_bound(self.gates.values, self.gates.bounds)
        low, high = self.gates.bounds
        return [
            f"the gate of {actor} sits on its bound ({value:g} of {low:g} to {high:g}); try wider --bounds"
            for actor, value, hit in zip(self.gates.actors, self.gates.values, mask, strict=True)
            if hit
        ]


def tune_on_data(
    config: TaggerConfig,
    data: Path,
    split: str,
    held_out: str | None,
    objective: str,
    settings: SearchSettings,
    progress: Progress = lambda clips: clips,
) -> TuningReport:
    """Tune gates on one split of a labelled data set.

    Args:
        config: Which detector, how it is set, and where its detections are kept.
        data: The data set.
        split: What to tune on.
        held_out: What to report on beside; None takes `val` or `test`. It chooses nothing.
        objective: A name from `thresholds.fitness.OBJECTIVES`.
        settings: How to search.
        progress: Wraps the clips, for a progress bar.

    Returns:
        The report.

    Raises:
        UserError: If the data set, the detector or a setting is wrong.
    """
    taxonomy = load_taxonomy(config.taxonomy)
    detector = CachedDetector.from_config(config, taxonomy)
    tables = {}
    held_out = find_held_out_split(data, split, held_out)
    for name in [split] + ([held_out] if held_out else []):
        samples = read_samples(data, name, taxonomy)
        tables[name] = presence_table(detector, samples, taxonomy, progress)
    other = tables[held_out] if held_out else None
    rows, chosen = compare_gates(tables[split], other, objective, settings)
    gates = Gates(
        actors=taxonomy.actor_names,
        values=chosen.values,
        objective=objective,
        optimizer=settings.optimizer,
        reached=chosen.reached,
        seed=settings.seed,
        bounds=settings.bounds,
        data=data.name,
        split=split,
        clips=tables[split].videos,
        detector=detector.identity,
    )
    return TuningReport(rows, gates, held_out)


def presence_table(
    detector: CachedDetector,
    samples: Sequence[Sample],
    taxonomy: Taxonomy,
    progress: Progress = lambda clips: clips,
) -> PresenceTable:
    """Gather each clip's presence ratios and the actors that its labels name.

    Args:
        detector: Stage 1; clips in its cache are not detected again.
        samples: Frames' labels are pooled over their clip, as published (A2D challenge report, section 3.1).
        taxonomy: The run's.
        progress: Wraps the clips, for a progress bar.

    Returns:
        Ratios and truth, each (clips, actors).

    Raises:
        DatasetError: If a clip cannot be read to its end: gates are not tuned on half a data set unawares.
    """
    truth_by_clip = clip_labels(samples)
    ratios, truth = [], []
    for clip, detected in zip(progress(list(truth_by_clip)), detector.detect_all(truth_by_clip), strict=True):
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
    """Tune gates for every objective and set them beside the uniform gate and an exact search.

    Args:
        tuning: What to tune on.
        held_out: What to report on beside; it chooses nothing.
        objective: Whose gates are asked for.
        settings: How to search.

    Returns:
        One row for each choice of gates, and the gates asked for.
    """
    found = {name: _search(tuning, name, settings) for name in OBJECTIVES}
    exact = _search(tuning, objective, replace(settings, optimizer="exact", bounds=(0.0, 1.0)))
    candidates = {f"uniform {UNIFORM_GATE}": np.full(tuning.actors, UNIFORM_GATE)}
    candidates |= {f"{settings.optimizer} {OBJECTIVE_NAMES[name]}": found[name].values for name in found}
    candidates[f"exact {OBJECTIVE_NAMES[objective]}, no bounds"] = exact.values
    rows = [
        TuningRow(name, gates, _score(tuning, gates), _score(held_out, gates) if held_out else None)
        for name, gates in candidates.items()
    ]
    return rows, found[objective]


def _search(table: PresenceTable, objective: str, settings: SearchSettings) -> TunedGates:
    return tune(
        table,
        objective,
        optimizer=settings.optimizer,
        particles=settings.particles,
        iterations=settings.iterations,
        runs=settings.runs,
        bounds=settings.bounds,
        seed=settings.seed,
    )


def _score(table: PresenceTable, gates: NDArray[np.float64]) -> Scores:
    return score_gates(table.ratios, table.truth, gates[None]).of_particle(0)
