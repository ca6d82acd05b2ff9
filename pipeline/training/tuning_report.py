"""What a tuning of the gates reports: tables of sets of gates and of operating points, and warnings."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tabulate import tabulate

from a2d.metrics import Scores
from pipeline.training.known_gates import describe_evidence
from pipeline.training.operating_points import OperatingPoint
from thresholds.fitness import PresenceTable
from thresholds.gates import Gates, save_gates
from thresholds.tuning import gates_on_bound


@dataclass(frozen=True)
class TuningRow:
    """One set of gates and its scores.

    Attributes:
        name: How they were found.
        gates: Shape (actors,), in [0, 1].
        tuned: Scores on the split that the gates were tuned on.
        out_of_fold: Scores on clips of that split from sources that the gates were not tuned on, or None.
        held_out: Scores on the held-out split, or None.
    """

    name: str
    gates: NDArray[np.float64]
    tuned: Scores
    out_of_fold: Scores | None
    held_out: Scores | None

    def percentages(self) -> list[str]:
        """Return precision, recall and F1 on the split, F1 out of fold, and all three held out, in percent."""
        held_out = _percentages(self.held_out) if self.held_out else []
        return [*_percentages(self.tuned), _percentages(self.out_of_fold)[2], *held_out]


@dataclass(frozen=True)
class TuningReport:
    """The result of a tuning.

    Attributes:
        rows: The uniform gate, the methods that are to hold on new sources, the swarm with each objective, and the
            exact search.
        points: The image sizes and confidences that were tried; the first is the chosen one.
        gates: The requested gates, with their provenance.
        held_out: Name of the held-out split, or None.
        skipped: One line for each clip of either split that could not be used.
        notes: What else should be known about the gates.
        held_out_table: Presence ratios of the clips of the held-out split, or None.
    """

    rows: Sequence[TuningRow]
    points: Sequence[OperatingPoint]
    gates: Gates
    held_out: str | None
    skipped: Sequence[str] = ()
    notes: Sequence[str] = ()
    held_out_table: PresenceTable | None = None

    def save(self, path: Path) -> Gates:
        """Write the requested gates, and return them with the file's sha256."""
        return save_gates(self.gates, path)

    def table(self) -> str:
        """Format the rows as text, scores in percent."""
        splits = [self.gates.split] + ([self.held_out] if self.held_out else [])
        scores = [f"{letter}\n{split}" for split in splits for letter in ("P", "R", "F1")]
        scores.insert(3, "F1 out\nof fold")
        columns = ["gates from", *scores, *self.gates.actors]
        body = [[row.name, *row.percentages(), *(f"{gate:.3f}" for gate in row.gates)] for row in self.rows]
        showing = [str(self.gates.clips_showing.get(actor, "")) for actor in self.gates.actors]
        body.append([f"clips that show it, of {self.gates.clips}", *[""] * len(scores), *showing])
        return tabulate(body, columns, disable_numparse=True, colalign=("left", *["right"] * (len(columns) - 1)))

    def operating_points(self) -> str:
        """Format the image sizes and confidences that were tried as text, scores in percent."""
        columns = ["image size", "confidence", "method", *(f"{letter}\nout of fold" for letter in ("P", "R", "F1"))]
        order = sorted(
            self.points, key=lambda point: (point.detector.identity.image_size, point.detector.identity.confidence)
        )
        body = [
            [
                str(point.detector.identity.image_size),
                f"{point.detector.identity.confidence:g}",
                point.stable.method,
                *_percentages(point.out_of_fold),
                "(chosen)" if point is self.points[0] else "",
            ]
            for point in order
        ]
        return tabulate(
            body, [*columns, ""], disable_numparse=True, colalign=("right", "right", "left", *["right"] * 3, "left")
        )

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


def _percentages(scores: Scores | None) -> list[str]:
    if scores is None:
        return ["", "", ""]
    return [f"{100 * value:.1f}" for value in (scores.precision, scores.recall, scores.f1)]
