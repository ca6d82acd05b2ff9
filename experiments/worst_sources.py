"""Where the F1 is lost: the sources whose clips the shipped heads label worst, in cross-validation.

Run from the repository root, without computing anything again:

    python -m experiments.worst_sources --data clips.csv --heads experiments/ablation.json

With true actions behind the gates, the same clips lose what belongs to actors that no gate lets through; the rest is
lost to wrong labels: of the actions, and of actors that are not there.
"""

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tabulate import tabulate

from a2d.dataset import read_samples
from a2d.taxonomy import load_taxonomy
from common.errors import DatasetError
from experiments.ablation_report import read_report
from experiments.ablation_rows import ONLY_ACTORS_MISSED, SHIPPED
from pipeline.commands import console
from pipeline.commands.argument_types import positive

COLUMNS = ("source", "clips", "F1 (%)", "F1 lost", "share of all", "missed actors", "wrong labels", "labels")


def rank_sources(
    f1: NDArray[np.float64], f1_with_true_actions: NDArray[np.float64], sources: Sequence[str]
) -> list[tuple[str, NDArray[np.int64], float, float]]:
    """Rank the sources by how much F1 their clips lose together.

    Args:
        f1: Of each clip, shape (N,), in [0, 1].
        f1_with_true_actions: Of the same clips, if the heads made no mistake, shape (N,).
        sources: Of each clip.

    Returns:
        For each source its name, the indices of its clips, the F1 that they lose, and what of it is lost because actors
        are missed, both summed over the clips; the worst source first.
    """
    names, index = np.unique(np.array(sources), return_inverse=True)
    lost = np.bincount(index, 1 - f1)
    missed = np.bincount(index, np.minimum(1 - f1_with_true_actions, 1 - f1))
    return [
        (str(names[source]), np.flatnonzero(index == source), float(lost[source]), float(missed[source]))
        for source in np.argsort(-lost, kind="stable")
    ]


def f1_by_clip(report: Mapping[str, Any], row: str, clips: int) -> NDArray[np.float64]:
    """Return each training clip's F1 in a row of the ablation, shape (clips,).

    Raises:
        DatasetError: If the report lacks the row, or was made from other clips.
    """
    found = [scores["scores"]["cv"]["f1_by_sample"] for scores in report.get("rows", []) if scores.get("name") == row]
    if not found:
        raise DatasetError(f"the report has no row {row!r}")
    if len(found[0]) != clips:
        raise DatasetError(f"the report is of {len(found[0])} training clips, the data set has {clips}")
    return np.array(found[0], np.float64)


def main(argv: Sequence[str] | None = None) -> int:
    """Print the worst sources."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data", type=Path, required=True, help="the data set of the ablation")
    parser.add_argument("--heads", type=Path, required=True, help="JSON of experiments.ablation")
    parser.add_argument("--count", type=positive, default=12, help="of sources to show (default: %(default)s)")
    arguments = parser.parse_args(argv)
    samples = read_samples(arguments.data, "train", load_taxonomy())
    report = read_report(arguments.heads)
    f1 = f1_by_clip(report, SHIPPED, len(samples))
    ranked = rank_sources(
        f1, f1_by_clip(report, ONLY_ACTORS_MISSED, len(samples)), [sample.group for sample in samples]
    )
    total = (1 - f1).sum()
    rows = [
        [
            name,
            len(clips),
            f"{100 * f1[clips].mean():.1f}",
            f"{lost:.1f}",
            f"{lost / total:.1%}",
            f"{missed:.1f}",
            f"{lost - missed:.1f}",
            " ".join(sorted({label for clip in clips for label in samples[clip].labels})),
        ]
        for name, clips, lost, missed in ranked[: arguments.count]
    ]
    missed = sum(row[3] for row in ranked)
    title = (
        f"{len(samples)} clips of {len(ranked)} sources lose {total:.1f} F1: {missed / total:.0%} because actors are "
        f"missed, {1 - missed / total:.0%} by wrong labels"
    )
    console.print_result(f"{title}\n\n{tabulate(rows, COLUMNS, disable_numparse=True)}")
    return console.DONE


if __name__ == "__main__":
    sys.exit(console.run_guarded(main))
