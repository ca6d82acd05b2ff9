"""An actor more: its own gate beside those of the others, which stay as they are; its head is `retrain_head`'s work."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from a2d.dataset import read_samples
from a2d.taxonomy import Actor, Taxonomy
from common.errors import GatesError
from pipeline.cached_detector import CachedDetector
from pipeline.training.gate_tuning import Progress, presence_table
from thresholds.exact import best_gate
from thresholds.fitness import OBJECTIVES, score_gates
from thresholds.gates import Gates

OPTIMIZER, BOUNDS = "exact", (0.0, 1.0)


def add_gate(
    gates: Gates,
    actor: Actor,
    data: Path,
    split: str,
    taxonomy: Taxonomy,
    detector: CachedDetector,
    progress: Progress = lambda clips: clips,
) -> Gates:
    """Find one actor's gate, those of the others held.

    Args:
        gates: Those of the other actors at least, made for the detector.
        actor: Whose gate is found.
        data: A labelled data set, some of whose clips show the actor and some do not.
        split: What to tune on.
        taxonomy: Actors and labels, the actor among them.
        detector: Stage 1.
        progress: Wraps the clips, for a progress bar.

    Returns:
        Gates of all actors of the taxonomy.

    Raises:
        GatesError: If an actor but this one has no gate.
        DatasetError: If the data set is wrong, or a clip cannot be read to its end.
    """
    known = dict(zip(gates.actors, gates.values, strict=True))
    missing = [name for name in taxonomy.actor_names if name not in known and name != actor.name]
    if missing:
        raise GatesError(f"no gate is known of {', '.join(missing)}: add these actors first, or tune all gates anew")
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
