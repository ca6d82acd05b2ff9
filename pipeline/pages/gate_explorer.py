"""The gate explorer: a page to turn the gates by hand over the presence ratios of labelled clips.

The method was made for it: "the thresholds can be tuned by a human for their application" (A2D actor-action challenge
report, section 3.1.1). Scores are computed in the page, in the same way as by `thresholds.fitness`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from a2d.metrics import EPSILON
from pipeline.pages.clip_cards import link_to
from pipeline.pages.page import write_page
from thresholds.fitness import PresenceTable
from thresholds.gate_content import HEADER, file_content, format_section
from thresholds.gates import Gates


@dataclass(frozen=True)
class ExplorerPoint:
    """The clips as one detector with one image size and confidence sees them.

    Attributes:
        table: Presence ratios and truth of the clips, whose `names` are their paths.
        gates: The gates that were tuned for it.
    """

    table: PresenceTable
    gates: Gates


def write_explorer(path: Path, points: Sequence[ExplorerPoint], marks: Mapping[str, NDArray[np.float64]]) -> int:
    """Write the page.

    Args:
        path: The HTML file.
        points: At least one; the first is shown at first.
        marks: Other sets of gates to compare with, by name, each of shape (actors,).

    Returns:
        The file's size in bytes.

    Raises:
        OSError: If the file cannot be written.
    """
    folder = path.resolve().parent
    data = {
        "actors": points[0].gates.actors,
        "epsilon": EPSILON,
        "header": HEADER,
        "marks": [{"name": name, "gates": gates.tolist()} for name, gates in marks.items()],
        "points": [_point(point, folder) for point in points],
    }
    values = {"data": data, "actors": points[0].gates.actors, "points": [_describe(point) for point in points]}
    return write_page(path, "explorer", values)


def _point(point: ExplorerPoint, folder: Path) -> dict[str, object]:
    """Return what the page needs to know of a point; arrays are by actor, then by clip."""
    names = [str(name) for name in point.table.names]
    by_hand = replace(point.gates, optimizer="by hand", seed=None, method="", out_of_fold=None, kept=None)
    content = file_content(by_hand)
    del content["gates"], content["reached"]  # which the page writes
    content["bounds"] = [0.0, 1.0]
    return {
        "gates": point.gates.values.tolist(),
        "ratios": point.table.ratios.T.tolist(),
        "truth": point.table.truth.T.astype(int).tolist(),
        "names": names,
        "links": [link_to(str(Path(name).absolute()), folder) for name in names],
        "rest": format_section(content),
    }


def _describe(point: ExplorerPoint) -> str:
    detector = point.gates.detector
    return f"{detector.name}, image size {detector.image_size}, confidence {detector.confidence:g}"
