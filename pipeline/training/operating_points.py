"""Operating points: a detector with an image size, a confidence threshold, and gates for them."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from a2d.metrics import Scores
from a2d.skipped_samples import SkippedSamples
from pipeline.cached_detector import CachedDetector
from pipeline.config import TaggerConfig
from thresholds.fitness import PresenceTable, score_gates
from thresholds.stable import AUTO, TOLERANCE, StableGates, negative_objective
from thresholds.tuning import SearchSettings


@dataclass(frozen=True)
class GateSearch:
    """What is searched for, and how.

    Attributes:
        objective: A name from `thresholds.fitness.OBJECTIVES`.
        settings: How the swarm searches.
        method: How much the clips are believed: a name from `thresholds.stable.METHODS`, or `auto`.
        image_sizes: Sizes of the detector's input to choose from, pixels; empty for that of the configuration.
        confidences: Confidence thresholds to choose from, in [0, 1]; empty for that of the configuration.
    """

    objective: str = "prf"
    settings: SearchSettings = field(default_factory=SearchSettings)
    method: str = AUTO
    image_sizes: Sequence[int] = ()
    confidences: Sequence[float] = ()

    def configurations(self, config: TaggerConfig) -> list[TaggerConfig]:
        """Return the configuration with each image size and confidence."""
        default = config.detector_settings
        return [
            replace(config, image_size=size, confidence=confidence)
            for size in self.image_sizes or [default.image_size]
            for confidence in self.confidences or [default.confidence]
        ]


@dataclass(frozen=True)
class OperatingPoint:
    """A detector with an image size and a confidence threshold, and its gates.

    Attributes:
        detector: With its cache.
        table: Presence ratios of the clips to tune on.
        stable: The gates.
        skipped: The clips that could not be used.
        fixed: Gates that were kept as they are, NaN for those that were tuned, shape (actors,).
    """

    detector: CachedDetector
    table: PresenceTable
    stable: StableGates
    skipped: SkippedSamples
    fixed: NDArray[np.float64]

    @property
    def out_of_fold(self) -> Scores | None:
        """Scores of the chosen gates out of fold."""
        return self.stable.out_of_fold.get(self.stable.method)

    def fitness(self, objective: str) -> float:
        """Compute the objective out of fold, or, if all clips are of one source, on the clips."""
        return negative_objective(self.out_of_fold or score(self.table, self.stable.values), objective)


def order_points(points: Sequence[OperatingPoint], objective: str) -> list[OperatingPoint]:
    """Put the point to choose first.

    Of those that are about as good as the best, it is the one with the smallest images, which takes least time, and of
    these the one with the highest confidence, at which most of the boxes are right.

    Args:
        points: At least one.
        objective: A name from `thresholds.fitness.OBJECTIVES`.
    """
    limit = min(point.fitness(objective) for point in points) * (1 - TOLERANCE)  # of negative numbers

    def preference(point: OperatingPoint) -> tuple[bool, int, float]:
        settings = point.detector.settings
        return point.fitness(objective) > limit, settings.image_size, -settings.confidence

    return sorted(points, key=preference)


def score(table: PresenceTable, gates: NDArray[np.float64]) -> Scores:
    """Score gates, shape (actors,), on a table, averaged over its videos."""
    return score_gates(table.ratios, table.truth, gates[None]).of_particle(0)
