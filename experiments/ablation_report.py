"""Report of the ablation: scores of each row, differences between rows, and the table.

The scores of a row include each sample's F1, so that any two rows can be compared sample by sample.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from tabulate import tabulate

from a2d.confidence_intervals import bootstrap_mean, f1_by_sample
from a2d.metrics import count
from common.errors import UserError
from common.files import write_atomically
from common.markdown import github_table
from experiments.column_scores import bootstrap_columns
from experiments.experiment_setup import BoolArray, ExperimentSetup
from experiments.formatting import interval, percent, signed_interval

COLUMNS = ["heads", "CV F1", "95 %", "repeats", "against shipped", "TEST F1", "95 %"]


def summarize(predicted: BoolArray, setup: ExperimentSetup) -> dict[str, Any]:
    """Score the predictions for both splits.

    Args:
        predicted: Predicted labels in each repeat of the cross-validation, shape (repeats, samples, labels).
        setup: Provides the true labels.

    Returns:
        By split, `cv` and `test`: scores averaged over the repeats, each sample's F1 and the interval of its mean.
        Test samples are in no fold, so only the first repeat is used for them.
    """
    taxonomy = setup.taxonomy
    scores: dict[str, Any] = {}
    for split, rows in _splits(setup).items():
        repeats = predicted[:, rows] if split == "cv" else predicted[:1, rows]
        actual, groups = setup.actual[rows], setup.groups[rows].tolist()
        counts = [count(repeat, actual) for repeat in repeats]
        averages = np.mean([list(c.sample_averaged.to_dict().values()) for c in counts], axis=0)
        f1 = np.mean([f1_by_sample(repeat, actual) for repeat in repeats], axis=0)
        scores[split] = {
            **dict(zip(("precision", "recall", "f1"), averages.tolist(), strict=True)),
            "f1_interval": bootstrap_mean(f1, groups, setup.seed),
            "f1_by_repeat": [c.sample_averaged.f1 for c in counts],
            "f1_by_sample": np.round(f1, 4).tolist(),
            "micro_f1": float(np.mean([c.micro.f1 for c in counts])),
            "macro_f1": float(np.mean([c.macro.f1 for c in counts])),
            "actors": bootstrap_columns(
                taxonomy.actors_of(repeats[0]), taxonomy.actors_of(actual), taxonomy.actor_names, groups, setup.seed
            ),
            "labels": bootstrap_columns(repeats[0], actual, taxonomy.label_names, groups, setup.seed),
        }
    return scores


def compare(scores: Mapping[str, Any], reference: Mapping[str, Any], setup: ExperimentSetup) -> dict[str, Any]:
    """Compute how much higher a row's F1 is than a reference row's on the same samples, with 95 % intervals, by split.

    Args:
        scores: See `summarize`.
        reference: See `summarize`.
        setup: Provides the samples' sources.
    """
    differences = {}
    for split, rows in _splits(setup).items():
        by_sample = np.array(scores[split]["f1_by_sample"]) - np.array(reference[split]["f1_by_sample"])
        bounds = bootstrap_mean(by_sample, setup.groups[rows].tolist(), setup.seed)
        differences[split] = {"f1": float(by_sample.mean()), "f1_interval": bounds}
    return differences


def format_text(rows: Sequence[Mapping[str, Any]]) -> str:
    """Format rows of a report as a plain text table, in percent."""
    align = ("left", *["right"] * (len(COLUMNS) - 1))
    return tabulate(_format_rows(rows), COLUMNS, disable_numparse=True, colalign=align)


def format_markdown(rows: Sequence[Mapping[str, Any]]) -> str:
    """Format rows of a report as a Markdown table, in percent."""
    return github_table(_format_rows(rows), COLUMNS)


def write_report(path: Path, report: Mapping[str, Any]) -> None:
    """Write a report as JSON, with one line per row."""
    head = json.dumps({name: value for name, value in report.items() if name != "rows"})
    rows = ",\n".join(json.dumps(row) for row in report["rows"])
    write_atomically(path, f'{head[:-1]}, "rows": [\n{rows}\n]}}\n')


def read_report(path: Path) -> dict[str, Any]:
    """Read the JSON of an experiment.

    Raises:
        UserError: If it is not JSON of that kind.
        OSError: If it cannot be read.
    """
    try:
        report = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as reason:
        raise UserError(f"{path}: not the JSON of an experiment ({reason})") from None
    if not isinstance(report, dict):
        raise UserError(f"{path}: not the JSON of an experiment: it has no rows")
    return report


def read_rows(path: Path, report: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Read the rows of an earlier report that was measured under the same conditions.

    Args:
        path: The earlier report.
        report: The new report, whose rows are ignored.

    Returns:
        The rows by name; none if the file does not exist.

    Raises:
        UserError: If the conditions differ.
    """
    if not path.is_file():
        return {}
    earlier = read_report(path)
    for name, value in report.items():
        if name != "rows" and earlier.get(name) != value:
            raise UserError(f"{path}: measured with {name} = {earlier.get(name)}, now it is {value}: measure it again")
    return {row["name"]: row for row in earlier["rows"]}


def _splits(setup: ExperimentSetup) -> dict[str, slice]:
    splits = {"cv": slice(0, setup.train_size), "test": slice(setup.train_size, None)}
    return {name: rows for name, rows in splits.items() if len(setup.samples[rows])}


def _format_rows(rows: Sequence[Mapping[str, Any]]) -> list[list[str]]:
    lines = []
    for row in rows:
        cv, test = row["scores"]["cv"], row["scores"].get("test")
        difference = row["difference_to_shipped"].get("cv")
        lines.append([
            row["name"],
            percent(cv["f1"]),
            interval(cv["f1_interval"]),
            " ".join(percent(f1) for f1 in cv["f1_by_repeat"]),
            f"{100 * difference['f1']:+.1f} ({signed_interval(difference['f1_interval'])})" if difference else "",
            percent(test["f1"]) if test else "",
            interval(test["f1_interval"]) if test else "",
        ])  # fmt: skip
    return lines
