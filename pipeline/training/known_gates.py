"""Gates that are kept where the labelled clips determine none: an actor that no clip shows, or that every clip does."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from a2d.taxonomy import Taxonomy
from pipeline.known_detectors import detector_defaults
from thresholds.exact import UNIFORM_GATE
from thresholds.fitness import PresenceTable
from thresholds.gates import PAPER_GATES_FILE, DetectorIdentity, Gates, KeptGates, load_gates
from thresholds.tuning import is_determined

FEW_CLIPS = 2  # with so few clips of an actor, or without it, its gate is tuned, but with a warning


@dataclass(frozen=True)
class KnownGates:
    """Gates that were found elsewhere.

    Attributes:
        gates: As read from a file.
        name: The file's name.
    """

    gates: Gates
    name: str

    def keep(self, table: PresenceTable, taxonomy: Taxonomy) -> tuple[NDArray[np.float64], KeptGates | None]:
        """Select the gates to keep.

        An actor without a known gate is given that with which the challenge report starts, `UNIFORM_GATE`.

        Args:
            table: Whose ground truth shows which gates it determines.
            taxonomy: The actors, in the order of the table's columns.

        Returns:
            The kept gates, NaN for those that should be tuned, shape (actors,), and their record; None if all should.
        """
        known = dict(zip(self.gates.actors, self.gates.values, strict=True))
        fixed, reasons = np.full(table.actors, np.nan), {}
        for index in np.flatnonzero(~is_determined(table.truth)).tolist():
            actor = taxonomy.actor_names[index]
            fixed[index] = known.get(actor, UNIFORM_GATE)
            reason = "every clip shows it" if table.truth[:, index].any() else "no clip shows it"
            reasons[actor] = reason if actor in known else f"{reason}, and no gate of it is known: {UNIFORM_GATE:g}"
        return fixed, KeptGates(self.name, self.gates.sha256, reasons) if reasons else None

    def warnings(self, kept: KeptGates | None, detector: DetectorIdentity) -> list[str]:
        """Warn if gates were kept that belong to another detector or other settings."""
        if not kept or self.gates.detector.matches(detector):
            return []
        tuned_for = f"the gates kept from {self.name} were tuned for {self.gates.detector}"
        return [f"{tuned_for}; this run uses {detector}: check them"]


def find_known_gates(start: Path | None, detector: str) -> KnownGates:
    """Find gates to keep.

    Args:
        start: A gate file; None selects the one that was tuned for the detector, or, if there is none, the published.
        detector: A name from `pipeline.known_detectors.KNOWN_DETECTORS`, or a file.

    Raises:
        GatesError: If the file is invalid.
    """
    path = start or detector_defaults(detector).thresholds or PAPER_GATES_FILE
    return KnownGates(load_gates(path), path.name)


def count_clips_showing(table: PresenceTable, taxonomy: Taxonomy) -> dict[str, int]:
    """Count the clips that show each actor, by actor."""
    return dict(zip(taxonomy.actor_names, table.truth.sum(axis=0).tolist(), strict=True))


def describe_evidence(gates: Gates, actors: Collection[str] = ()) -> list[str]:
    """Name the actors whose gates were kept or rest on few clips, with the number of clips that show them.

    Args:
        gates: Tuned gates, with `clips_showing`.
        actors: Only these; empty for all.
    """
    lines = []
    reasons: Mapping[str, str] = gates.kept.reasons if gates.kept else {}
    for actor, value in zip(gates.actors, gates.values, strict=True):
        if actors and actor not in actors:
            continue
        showing = gates.clips_showing[actor]
        counts = f"{showing} of {gates.clips} clips of split {gates.split!r} show it"
        if actor in reasons:
            assert gates.kept
            lines.append(f"{actor}: {counts}; its gate is kept, not tuned: {value:g}, from {gates.kept.source}")
        elif min(showing, gates.clips - showing) <= FEW_CLIPS:
            lines.append(f"{actor}: {counts}; its gate of {value:.3f} rests on {_few(showing, gates.clips)}")
    return lines


def _few(showing: int, clips: int) -> str:
    absent = clips - showing
    if showing <= absent:
        return f"{showing} {'clip' if showing == 1 else 'clips'} with it"
    return f"{absent} {'clip' if absent == 1 else 'clips'} without it"
