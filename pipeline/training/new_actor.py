"""Adding an actor: its gate beside those of the others, which do not change; `retrain_head` trains its head."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from a2d.dataset import read_samples
from a2d.taxonomy import Actor
from common.errors import GatesError
from common.progress import Progress, no_progress
from pipeline.cached_detector import CachedDetector
from pipeline.training.gate_tuning import presence_table
from thresholds.exact import best_gate
from thresholds.fitness import OBJECTIVES, score_gates
from thresholds.gates import Gates

OPTIMIZER, BOUNDS = "exact", (0.0, 1.0)


def add_gate(
    gates: Gates,
    actor: Actor,
    data: Path,
    split: str,
    detector: CachedDetector,
    progress: Progress = no_progress,
) -> Gates:
    """Find one actor's gate, with those of the others fixed.

    Args:
        gates: Gates of the other actors at least, tuned for the detector.
        actor: Whose gate to find; one of the detector's taxonomy.
        data: A labelled data set with clips that show the actor and clips that do not.
        split: What to tune on.
        detector: Stage 1.
        progress: Shows the progress of the detections.

    Returns:
        Gates of all actors of the taxonomy.

    Raises:
        GatesError: If another actor has no gate.
        DatasetError: If the data set is wrong, or a clip cannot be read to its end.
    """
    taxonomy = detector.taxonomy
    known = dict(zip(gates.actors, gates.values, strict=True))
    missing = [name for name in taxonomy.actor_names if name not in known and name != actor.name]
    if missing:
        raise GatesError(f"there is no gate for {', '.join(missing)}: add these actors first, or tune all gates again")
    table = presence_table(detector, read_samples(data, split, taxonomy), taxonomy, progress)
    values = np.array([known.get(name, 0.0) for name in taxonomy.actor_names])
    values[actor.index] = best_gate(table, OBJECTIVES[gates.objective], values, actor.index, BOUNDS)
    return replace(
        gates,
        actors=taxonomy.actor_names,
        values=values,
        optimizer=OPTIMIZER,
        bounds=BOUNDS,
        seed=0,
        reached=score_gates(table.ratios, table.truth, values[None]).of_particle(0),
        data=data.name,
        split=split,
        clips=table.videos,
        sha256=None,
    )
