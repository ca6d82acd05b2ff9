"""Put measured scores into the model card: tables between markers, from the JSON files of two benchmarks.

Run from the repository root:

    python -m benchmarks.model_card --detector benchmarks/detector.json --heads benchmarks/heads_cv.json

The rest of the card is written by people.
"""

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tabulate import tabulate

from a2d.errors import UserError
from a2d.files import write_atomically
from a2d.labels import load_taxonomy
from a2d.places import PROJECT
from action_heads.checkpoint import head_path, read_manifest
from pipeline import cli
from pipeline.config import EMBEDDED_HEADS

CARD = PROJECT / "models" / "MODEL_CARD.md"


def shipped_variant() -> str:
    """Name the variant of the heads that the project ships, as `benchmarks.heads_cv` does."""
    manifest = read_manifest(head_path(EMBEDDED_HEADS, load_taxonomy().actors[0].name))
    return f"{manifest.backbone}, {manifest.input}, {manifest.tuned}"


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
    """Show every variant of the heads and the trivial answers, cross-validated and on the test clips."""
    rows, shipped = [], shipped_variant()
    for name, parts in measured["scores"].items():
        shown = f"**{name}**" if name == shipped else name
        row = [shown]
        for part in ("cv", "test"):
            found = parts[part]
            row += [*(percent(found[key]) for key in ("precision", "recall", "f1")), interval(found["f1_interval"])]
        rows.append(row)
    columns = [f"{part} {key}" for part in ("CV", "test") for key in ("P", "R", "F1", "95 %")]
    return _table(rows, ["labels", *columns])


def labels_table(measured: Mapping[str, Any]) -> str:
    """Show the shipped heads label by label, on the clips of the cross-validation and of the test."""
    own = measured["scores"][shipped_variant()]
    names = [name for name in load_taxonomy().label_names if any(name in own[part]["labels"] for part in own)]
    rows = [[name, *_cells(own["cv"]["labels"].get(name)), *_cells(own["test"]["labels"].get(name))] for name in names]
    columns = [f"{part} {key}" for part in ("CV", "test") for key in ("true", "said", "F1", "95 %")]
    return _table(rows, ["label", *columns])


def never_seen(measured: Mapping[str, Any]) -> str:
    """List the labels that no train clip shows."""
    seen = {name for name, row in measured["scores"][shipped_variant()]["cv"]["labels"].items() if row["true"]}
    return ", ".join(name for name in load_taxonomy().label_names if name not in seen) + "."


def fill(card: str, tables: Mapping[str, str]) -> str:
    """Replace what stands between `<!-- begin NAME -->` and `<!-- end NAME -->`.

    Raises:
        UserError: If the card lacks a marker.

    >>> fill("a <!-- begin x -->old<!-- end x --> b", {"x": "new"}).splitlines()
    ['a <!-- begin x -->', 'new', '<!-- end x --> b']
    """
    for name, table in tables.items():
        begin, end = f"<!-- begin {name} -->", f"<!-- end {name} -->"
        before, found, rest = card.partition(begin)
        _, closed, after = rest.partition(end)
        if not found or not closed:
            raise UserError(f"the model card has no place '{begin} … {end}'")
        card = f"{before}{begin}\n{table}\n{end}{after}"
    return card


def all_tables(detector: Mapping[str, Any], heads: Mapping[str, Any]) -> dict[str, str]:
    """Make every table of the card, by marker."""
    return {
        "detector": detector_tables(detector),
        "gates": gates_table(detector),
        "heads": heads_table(heads),
        "labels": labels_table(heads),
        "never-seen": never_seen(heads),
    }


def main(argv: Sequence[str] | None = None) -> int:
    """Rewrite the card's tables."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--detector", type=Path, required=True, help="JSON of benchmarks.bench_detector")
    parser.add_argument("--heads", type=Path, required=True, help="JSON of benchmarks.heads_cv")
    parser.add_argument("--card", type=Path, default=CARD, help="default: %(default)s")
    arguments = parser.parse_args(argv)
    detector, heads = (json.loads(path.read_text(encoding="utf-8")) for path in (arguments.detector, arguments.heads))
    write_atomically(arguments.card, fill(arguments.card.read_text(encoding="utf-8"), all_tables(detector, heads)))
    cli.show(f"wrote {arguments.card}")
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
