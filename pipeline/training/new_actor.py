"""Adding an actor: its gate beside those of the others, which do not change; `retrain_head` trains its head."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from a2d.dataset import read_samples
from a2d.skipped_samples import SkippedSamples
from a2d.taxonomy import Actor
from common.errors import GatesError
from common.progress import Progress, no_progress
from pipeline.cached_detector import CachedDetector
from pipeline.training.gate_tuning import presence_table
from pipeline.training.known_gates import KnownGates, count_clips_showing
from thresholds.exact import best_gate
from thresholds.fitness import OBJECTIVES, score_gates
from thresholds.gates import Gates, KeptGates

OPTIMIZER, BOUNDS = "exact", (0.0, 1.0)


@dataclass(frozen=True)
class LabelledSplit:
    """A split of a labelled data set.

    Attributes:
        data: The data set, see `a2d.dataset`.
        split: Its name.
        skipped: Collects the clips that cannot be read to their end.
    """

    data: Path
    split: str
    skipped: SkippedSamples


def add_gate(
    known: KnownGates,
    actor: Actor,
    labelled: LabelledSplit,
    detector: CachedDetector,
    progress: Progress = no_progress,
) -> Gates:
    """Find one actor's gate, with those of the others fixed.

    If no clip shows the actor, or every clip does, its gate cannot be found: a known one is kept, or a default is used.

    Args:
        known: Gates of the other actors at least, tuned for the detector.
        actor: Whose gate to find; one of the detector's taxonomy.
        labelled: What to tune on, with clips that show the actor and clips that do not.
        detector: Stage 1.
        progress: Shows the progress of the detections.

    Returns:
        Gates of all actors of the taxonomy.

    Raises:
        GatesError: If another actor has no gate.
        DatasetError: If the data set is wrong, or no clip can be read to its end.
    """
    taxonomy, gates = detector.taxonomy, known.gates
    value_of = dict(zip(gates.actors, gates.values, strict=True))
    missing = [name for name in taxonomy.actor_names if name not in value_of and name != actor.name]
    if missing:
        raise GatesError(f"there is no gate for {', '.join(missing)}: add these actors first, or tune all gates again")
    samples = read_samples(labelled.data, labelled.split, taxonomy, labelled.skipped)
    table = presence_table(detector, samples, taxonomy, progress, labelled.skipped)
    values = np.array([value_of.get(name, 0.0) for name in taxonomy.actor_names])
    fixed, kept = known.keep(table, taxonomy)
    reasons = {name: "it is not the added actor" for name in taxonomy.actor_names if name != actor.name}
    if kept and actor.name in kept.reasons:
        values[actor.index] = fixed[actor.index]
        reasons[actor.name] = kept.reasons[actor.name]
    else:
        values[actor.index] = best_gate(table, OBJECTIVES[gates.objective], values, actor.index, BOUNDS)
    return replace(
        gates,
        actors=taxonomy.actor_names,
        values=values,
        optimizer=OPTIMIZER,
        bounds=BOUNDS,
        seed=0,
        reached=score_gates(table.ratios, table.truth, values[None]).of_particle(0),
        data=labelled.data.name,
        split=labelled.split,
        clips=table.videos,
        sha256=None,
        skipped=len(labelled.skipped),
        clips_showing=count_clips_showing(table, taxonomy),
        kept=KeptGates(known.name, gates.sha256, reasons),
    )
