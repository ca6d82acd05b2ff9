"""Put measured scores into the model card and docs/accuracy.md: tables between markers, from two JSON files.

Run from the repository root:

    python -m experiments.model_card --detector experiments/detector.json --heads experiments/ablation.json

The rest of both is written by people.
"""

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tabulate import tabulate

from a2d.taxonomy import load_taxonomy
from common.errors import UserError
from common.files import write_atomically
from common.paths import PROJECT
from experiments.ablation import FREE, INSTEAD, LADDER, LIMITS, SHIPPED
from experiments.ablation_report import table as ablation_table
from pipeline.commands import console as cli

CARD = PROJECT / "models" / "MODEL_CARD.md"
ACCURACY = PROJECT / "docs" / "accuracy.md"


def rows_of(measured: Mapping[str, Any], *parts: str) -> dict[str, Mapping[str, Any]]:
    """Give the scores of some parts of the ablation's table, by row."""
    return {row["name"]: row["scores"] for row in measured["rows"] if row["part"] in parts}


def percent(value: float) -> str:
    """Show a fraction as a percentage."""
    return f"{100 * value:.1f}"


def interval(bounds: Sequence[float]) -> str:
    """Show an interval of fractions as percentages."""
    return "–".join(percent(bound) for bound in bounds)


def detector_tables(measured: Mapping[str, Any]) -> str:
    """Show how far the detector agrees with its teacher frame by frame, one table a comparison."""
    parts = []
    for scores in measured["frames"]:
        rows = [
            [name, f"{row['frames']:,}", percent(row["precision"]), percent(row["recall"]), percent(row["f1"]),
             interval(row["f1_interval"])]
            for name, row in scores["actors"].items()
        ]  # fmt: skip
        rows.append(["mean", "", "", "", percent(scores["macro_f1"]), ""])
        title = f"{scores['student']}, against {scores['teacher']}; {measured['split']} clips ({measured['clips']})"
        parts.append(f"{title}:\n\n" + _table(rows, ["actor", "teacher's frames", "P", "R", "F1", "95 %"]))
    return "\n\n".join(parts)


def gates_table(measured: Mapping[str, Any]) -> str:
    """Show which actors the gates let in, against the clips' labels."""
    rows = [
        [name, *(percent(gates[key]) for key in ("precision", "recall", "f1")), interval(gates["f1_interval"]),
         *(percent(row["f1"]) for row in gates["actors"].values())]
        for name, gates in measured["gates"].items()
    ]  # fmt: skip
    actors = next(iter(measured["gates"].values()))["actors"]
    return _table(rows, ["detector", "P", "R", "F1", "95 %", *actors])


def heads_table(measured: Mapping[str, Any]) -> str:
    """Show the heads step by step and the trivial answers, cross-validated and on the test clips."""
    rows = []
    for name, parts in rows_of(measured, LADDER, FREE).items():
        row = [f"**{name}**" if name == SHIPPED else name]
        for part in ("cv", "test"):
            found = parts[part]
            row += [*(percent(found[key]) for key in ("precision", "recall", "f1")), interval(found["f1_interval"])]
        rows.append(row)
    columns = [f"{part} {key}" for part in ("CV", "test") for key in ("P", "R", "F1", "95 %")]
    return _table(rows, ["labels", *columns])


def labels_table(measured: Mapping[str, Any]) -> str:
    """Show the shipped heads label by label, on the clips of the cross-validation and of the test."""
    own = rows_of(measured, LADDER)[SHIPPED]
    names = [name for name in load_taxonomy().label_names if any(name in own[part]["labels"] for part in own)]
    rows = [[name, *_cells(own["cv"]["labels"].get(name)), *_cells(own["test"]["labels"].get(name))] for name in names]
    columns = [f"{part} {key}" for part in ("CV", "test") for key in ("true", "said", "F1", "95 %")]
    return _table(rows, ["label", *columns])


def never_seen(measured: Mapping[str, Any]) -> str:
    """List the labels that no train clip shows."""
    seen = {name for name, row in rows_of(measured, LADDER)[SHIPPED]["cv"]["labels"].items() if row["true"]}
    return ", ".join(name for name in load_taxonomy().label_names if name not in seen) + "."


def fill_markers(card: str, tables: Mapping[str, str]) -> str:
    """Replace what stands between `<!-- begin NAME -->` and `<!-- end NAME -->`.

    Raises:
        UserError: If the page lacks a marker.

    >>> fill_markers("a <!-- begin x -->old<!-- end x --> b", {"x": "new"}).splitlines()
    ['a <!-- begin x -->', 'new', '<!-- end x --> b']
    """
    for name, table in tables.items():
        begin, end = f"<!-- begin {name} -->", f"<!-- end {name} -->"
        before, found, rest = card.partition(begin)
        _, closed, after = rest.partition(end)
        if not found or not closed:
            raise UserError(f"the page has no place '{begin} … {end}'")
        card = f"{before}{begin}\n{table}\n{end}{after}"
    return card


def all_tables(detector: Mapping[str, Any], heads: Mapping[str, Any]) -> dict[str, str]:
    """Make every table of the model card, by marker."""
    return {
        "detector": detector_tables(detector),
        "gates": gates_table(detector),
        "heads": heads_table(heads),
        "labels": labels_table(heads),
        "never-seen": never_seen(heads),
    }


def ablation_tables(heads: Mapping[str, Any]) -> dict[str, str]:
    """Make every table of docs/accuracy.md, by marker."""
    parts = {"ladder": LADDER, "instead": INSTEAD, "limits": LIMITS, "free": FREE}
    tables = {name: [row for row in heads["rows"] if row["part"] == part] for name, part in parts.items()}
    return {name: f"\n{ablation_table(rows, 'github')}\n" for name, rows in tables.items()} | {
        "reliability": reliability_table(heads)
    }


def reliability_table(heads: Mapping[str, Any]) -> str:
    """Show the reliability error of each step."""
    rows = [
        [row["name"], *(percent(row["reliability_error"][part]) for part in ("cv", "test"))]
        for row in heads["rows"]
        if row["part"] == LADDER
        and not row["name"].startswith("its ")  # heads that stand there already, read otherwise
    ]
    return _table(rows, ["heads", "CV", "test"])


def main(argv: Sequence[str] | None = None) -> int:
    """Rewrite the tables of both."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--detector", type=Path, required=True, help="JSON of experiments.detector_comparison")
    parser.add_argument("--heads", type=Path, required=True, help="JSON of experiments.ablation")
    arguments = parser.parse_args(argv)
    detector, heads = (json.loads(path.read_text(encoding="utf-8")) for path in (arguments.detector, arguments.heads))
    for path, tables in ((CARD, all_tables(detector, heads)), (ACCURACY, ablation_tables(heads))):
        write_atomically(path, fill_markers(path.read_text(encoding="utf-8"), tables))
        cli.show(f"wrote {path}")
    return cli.DONE


def _cells(row: Mapping[str, Any] | None) -> list[str]:
    if row is None:
        return ["0", "0", "", ""]
    return [str(row["true"]), str(row["said"]), percent(row["f1"]), interval(row["f1_interval"])]


def _table(rows: Sequence[Sequence[str]], headers: Sequence[str]) -> str:
    align = ("left", *["right"] * (len(headers) - 1))
    return "\n" + tabulate(rows, headers, tablefmt="github", disable_numparse=True, colalign=align) + "\n"


if __name__ == "__main__":
    sys.exit(cli.run(main))
