"""Copy the scores of the experiments into the generated tables of models/MODEL_CARD.md and docs/accuracy.md.

Run from the repository root:

    python -m experiments.model_card --detector experiments/detector.json --heads experiments/ablation.json

Text outside the markers is not changed.
"""

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from a2d.taxonomy import load_taxonomy
from common.files import write_atomically
from common.markdown import fill_markers, github_table
from common.paths import MODELS, PROJECT
from experiments.ablation_report import format_markdown, read_report
from experiments.ablation_rows import ALTERNATIVES, BASELINES, LIMITS, PUBLISHED, SHIPPED, STEPS
from experiments.formatting import interval, percent
from pipeline.commands import console

MODEL_CARD = MODELS / "MODEL_CARD.md"
ACCURACY_PAGE = PROJECT / "docs" / "accuracy.md"

Report = Mapping[str, Any]
"""The JSON of an experiment."""


def model_card_tables(detector: Report, heads: Report) -> dict[str, str]:
    """Format all tables of the model card, by marker."""
    tables = {
        "detector": format_detector_tables(detector),
        "gates": format_gates_table(detector),
        "heads": format_heads_table(heads),
        "labels": format_labels_table(heads),
    }
    return {name: f"\n{table}\n" for name, table in tables.items()} | {"never-seen": format_unseen_labels(heads)}


def accuracy_tables(heads: Report) -> dict[str, str]:
    """Format all tables of docs/accuracy.md, by marker."""
    parts = {"steps": STEPS, "alternatives": ALTERNATIVES, "limits": LIMITS, "baselines": BASELINES}
    tables = {
        marker: format_markdown([row for row in heads["rows"] if row["part"] == part]) for marker, part in parts.items()
    }
    tables["calibration"] = format_calibration_table(heads)
    return {name: f"\n{table}\n" for name, table in tables.items()}


def format_detector_tables(detector: Report) -> str:
    """Format the detector's agreement with its teacher frame by frame, one table per comparison."""
    parts = []
    for scores in detector["frames"]:
        rows = [
            [name, f"{row['frames']:,}", percent(row["precision"]), percent(row["recall"]), percent(row["f1"]),
             interval(row["f1_interval"])]
            for name, row in scores["actors"].items()
        ]  # fmt: skip
        rows.append(["mean", "", "", "", percent(scores["macro_f1"]), ""])
        title = f"{scores['student']}, against {scores['teacher']}; {detector['split']} clips ({detector['clips']}):"
        parts += [title, github_table(rows, ["actor", "teacher's frames", "P", "R", "F1", "95 %"])]
    return "\n\n".join(parts)


def format_gates_table(detector: Report) -> str:
    """Format the scores of the gates on the clips' labels."""
    rows = [
        [name, *(percent(gates[key]) for key in ("precision", "recall", "f1")), interval(gates["f1_interval"]),
         *(percent(row["f1"]) for row in gates["actors"].values())]
        for name, gates in detector["gates"].items()
    ]  # fmt: skip
    actors = next(iter(detector["gates"].values()))["actors"]
    return github_table(rows, ["detector", "P", "R", "F1", "95 %", *actors])


def format_heads_table(heads: Report) -> str:
    """Format the scores of the heads step by step and of the trivial baselines, by split."""
    rows = []
    for name, splits in _scores_by_row(heads, STEPS, BASELINES).items():
        row = [f"**{name}**" if name == SHIPPED else name]
        for split in ("cv", "test"):
            scores = splits[split]
            row += [*(percent(scores[key]) for key in ("precision", "recall", "f1")), interval(scores["f1_interval"])]
        rows.append(row)
    columns = [f"{split} {key}" for split in ("CV", "test") for key in ("P", "R", "F1", "95 %")]
    return github_table(rows, ["labels", *columns])


def format_labels_table(heads: Report) -> str:
    """Format the scores of the shipped heads by label and split, without labels that are never true or predicted."""
    cv, test = (_scores_by_row(heads, STEPS)[SHIPPED][split]["labels"] for split in ("cv", "test"))
    names = [name for name in load_taxonomy().label_names if name in cv or name in test]
    rows = [[name, *_format_label(cv.get(name)), *_format_label(test.get(name))] for name in names]
    columns = [f"{split} {key}" for split in ("CV", "test") for key in ("true", "predicted", "F1", "95 %")]
    return github_table(rows, ["label", *columns])


def format_unseen_labels(heads: Report) -> str:
    """List the labels that no train clip has."""
    labels = _scores_by_row(heads, STEPS)[SHIPPED]["cv"]["labels"]
    seen = {name for name, row in labels.items() if row["true"]}
    return ", ".join(name for name in load_taxonomy().label_names if name not in seen) + "."


def format_calibration_table(heads: Report) -> str:
    """Format the expected calibration error of each step, without rows that only decide the labels differently."""
    rows = [
        [row["name"], *(percent(row["calibration_error"][split]) for split in ("cv", "test"))]
        for row in heads["rows"]
        if row["part"] == STEPS and not row["name"].startswith(f"{PUBLISHED}, ")
    ]
    return github_table(rows, ["heads", "CV", "test"])


def main(argv: Sequence[str] | None = None) -> int:
    """Update the tables of both pages."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--detector", type=Path, required=True, help="JSON of experiments.detector_comparison")
    parser.add_argument("--heads", type=Path, required=True, help="JSON of experiments.ablation")
    arguments = parser.parse_args(argv)
    detector, heads = read_report(arguments.detector), read_report(arguments.heads)
    pages = {MODEL_CARD: model_card_tables(detector, heads), ACCURACY_PAGE: accuracy_tables(heads)}
    for path, tables in pages.items():
        write_atomically(path, fill_markers(path.read_text(encoding="utf-8"), tables))
        console.print_result(f"wrote {path}")
    return console.DONE


def _scores_by_row(heads: Report, *parts: str) -> dict[str, Mapping[str, Any]]:
    return {row["name"]: row["scores"] for row in heads["rows"] if row["part"] in parts}


def _format_label(row: Mapping[str, Any] | None) -> list[str]:
    if row is None:
        return ["0", "0", "", ""]
    return [str(row["true"]), str(row["predicted"]), percent(row["f1"]), interval(row["f1_interval"])]


if __name__ == "__main__":
    sys.exit(console.run_guarded(main))
