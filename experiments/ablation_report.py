"""What the ablation writes down: scores of each row, how they compare, and the table.

A report is a mapping: what was measured on what, and `rows`. A row holds each clip's F1, so any two can be compared.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tabulate import tabulate

from a2d.confidence_intervals import bootstrap_mean, f1_by_sample
from a2d.metrics import count
from common.errors import UserError
from common.files import write_atomically
from experiments.column_scores import bootstrap_columns
from experiments.cross_validation import Setting

BoolArray = NDArray[np.bool_]


def summarise(said: BoolArray, setting: Setting) -> dict[str, Any]:
    """Score what was said of both splits.

    Args:
        said: Labels said, once for each time that folds were drawn, shape (times, samples, labels).
        setting: What is true.

    Returns:
        By split, `cv` and `test`: averages over the times (test samples are in no fold, so the first time does), each
        sample's F1 and the interval of its mean.
    """
    taxonomy, labels = setting.taxonomy, [label.name for label in setting.taxonomy.labels]
    scores: dict[str, Any] = {}
    for part, place in _parts(setting).items():
        times = said[:, place] if part == "cv" else said[:1, place]
        actual, groups = setting.actual[place], setting.groups[place].tolist()
        counts = [count(one, actual) for one in times]
        averages = np.mean([list(c.sample_averaged.to_dict().values()) for c in counts], axis=0)
        f1 = np.mean([f1_by_sample(one, actual) for one in times], axis=0)
        scores[part] = {
            **dict(zip(("precision", "recall", "f1"), averages.tolist(), strict=True)),
            "f1_interval": bootstrap_mean(f1, groups, setting.seed),
            "f1_by_draw": [c.sample_averaged.f1 for c in counts],
            "f1_by_sample": np.round(f1, 4).tolist(),
            "micro_f1": float(np.mean([c.micro.f1 for c in counts])),
            "macro_f1": float(np.mean([c.macro.f1 for c in counts])),
            "actors": bootstrap_columns(
                taxonomy.actors_of(times[0]), taxonomy.actors_of(actual), taxonomy.actor_names, groups, setting.seed
            ),
            "labels": bootstrap_columns(times[0], actual, labels, groups, setting.seed),
        }
    return scores


def compare(scores: Mapping[str, Any], other: Mapping[str, Any], setting: Setting) -> dict[str, Any]:
    """Say by how much F1 is higher than another row's on the same samples, with 95 % intervals, by split."""
    differences = {}
    for part, place in _parts(setting).items():
        more = np.array(scores[part]["f1_by_sample"]) - np.array(other[part]["f1_by_sample"])
        interval = bootstrap_mean(more, setting.groups[place].tolist(), setting.seed)
        differences[part] = {"f1": float(more.mean()), "f1_interval": interval}
    return differences


def _parts(setting: Setting) -> dict[str, slice]:
    parts = {"cv": slice(0, setting.train), "test": slice(setting.train, None)}
    return {name: place for name, place in parts.items() if len(setting.samples[place])}


def table(rows: Sequence[Mapping[str, Any]], tablefmt: str = "simple") -> str:
    """Lay the rows of a report out as text, in percent."""
    columns = ["heads", "CV F1", "95 %", "draws", "against shipped", "TEST F1", "95 %"]
    lines = []
    for row in rows:
        cv, test = row["scores"]["cv"], row["scores"].get("test")
        against = row["against_shipped"].get("cv")
        lines.append([
            row["name"],
            _percent(cv["f1"]),
            _interval(cv["f1_interval"]),
            " ".join(_percent(f1) for f1 in cv["f1_by_draw"]),
            f"{100 * against['f1']:+.1f} ({_interval(against['f1_interval'], '+.1f')})" if against else "",
            _percent(test["f1"]) if test else "",
            _interval(test["f1_interval"]) if test else "",
        ])  # fmt: skip
    return tabulate(lines, columns, tablefmt=tablefmt, disable_numparse=True, colalign=("left", *["right"] * 6))


def write_report(path: Path, report: Mapping[str, Any]) -> None:
    """Write a report as JSON, a line a row."""
    head = json.dumps({name: value for name, value in report.items() if name != "rows"})
    rows = ",\n".join(json.dumps(row) for row in report["rows"])
    write_atomically(path, f'{head[:-1]}, "rows": [\n{rows}\n]}}\n')


def read_rows(path: Path, report: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Read the rows that an earlier report of the same kind holds, by name; none where there is no such file.

    Args:
        path: Of the earlier report.
        report: The one that goes on with it; its rows do not matter.

    Raises:
        UserError: If the earlier one was measured on something else.
    """
    if not path.is_file():
        return {}
    before = json.loads(path.read_text(encoding="utf-8"))
    for name, value in report.items():
        if name != "rows" and before.get(name) != value:
            raise UserError(f"{path}: measured with {name} = {before.get(name)}, now it is {value}: measure it anew")
    return {row["name"]: row for row in before["rows"]}


def _percent(value: float) -> str:
    return f"{100 * value:.1f}"


def _interval(bounds: Sequence[float], form: str = ".1f") -> str:
    return " to ".join(f"{100 * bound:{form}}" for bound in bounds) if "+" in form else "–".join(map(_percent, bounds))
