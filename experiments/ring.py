"""The ring: every system of the challenge, trained from the same trunk on the same clips, as long, and scored.

Run from the repository root:

    python -m experiments.ring --data clips.csv --work out/ring --out experiments/ring.json

Each row is written when it is measured. A ring that was stopped continues when the same command is given again: rows
that --out has are kept, and a training goes on from its last epoch. At the end, docs/ring.md and its plot are written.
"""

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from a2d.taxonomy import load_taxonomy
from common.paths import A2D_TAXONOMY_FILE, PROJECT
from experiments.ablation_report import read_rows, write_report
from experiments.ring_page import PAGE, write_page
from experiments.ring_rows import Ring, Row, ensemble_row, system_row
from experiments.ring_two_stage import PUBLISHED, SAME_CLIPS, published_row, same_clips_row, shipped_row
from inference.devices import find_device
from pipeline.commands import console
from pipeline.commands.argument_types import positive
from pipeline.commands.arguments import add_run_arguments
from pipeline.system_scorers import TWO_STAGE
from rivals.ensemble import PUBLISHED_MEMBERS
from rivals.registry import ENSEMBLE, SYSTEMS, find_system
from rivals.system import SMALL

REPORT = PROJECT / "experiments" / "ring.json"


def build_parser() -> argparse.ArgumentParser:
    """Build the parser of the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--data", type=Path, required=True, help="labelled clips with the splits train and test")
    parser.add_argument("--work", type=Path, required=True, help="folder of trained systems and checkpoints")
    parser.add_argument("--out", type=Path, default=REPORT, help="JSON file of the rows (default: %(default)s)")
    parser.add_argument(
        "--epochs", type=positive, help="how often each clip is shown (default: as each system's small recipe says)"
    )
    parser.add_argument(
        "--yolo", metavar="NAME|FILE", help="a detector of Ultralytics, for the two stages as they were published"
    )
    parser.add_argument("--only", nargs="+", metavar="NAME", help="measure these rows, and keep the others")
    parser.add_argument("--no-page", action="store_true", help="leave docs/ring.md as it is")
    add_run_arguments(parser)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Measure what is missing, and write the page; return the exit code."""
    arguments = build_parser().parse_args(argv)
    taxonomy = load_taxonomy(A2D_TAXONOMY_FILE)
    device = find_device(arguments.device)
    console.make_folder(arguments.work)
    ring = Ring(
        arguments.data, taxonomy, arguments.work, arguments.epochs, arguments.seed, device, console.progress_bar
    )
    report: dict[str, Any] = {
        "data": arguments.data.name,
        "train": len(ring.train.examples),
        "test": len(ring.test),
        "test_frames": ring.test_frames,
        "epochs": arguments.epochs,
        "seed": arguments.seed,
    }
    known = {name: Row(**row) for name, row in read_rows(arguments.out, report).items()}
    for name, measure in rows_to_measure(ring, arguments.yolo, known).items():
        if name in known or (arguments.only and name not in arguments.only):
            continue
        known[name] = measure()
        print(json.dumps(known[name].to_dict()), file=sys.stderr)
        write_report(arguments.out, report | {"rows": [row.to_dict() for row in known.values()]})
    if not arguments.no_page:
        write_page(report, list(known.values()))
        print(f"wrote {PAGE}")
    return console.DONE


def rows_to_measure(ring: Ring, yolo: str | None, known: dict[str, Row]) -> dict[str, Callable[[], Row]]:
    """Return what measures each row, by its name: trainings that are shown the same pictures one after another.

    Args:
        ring: What they have in common.
        yolo: See `published_row`; None leaves that row out.
        known: The rows so far; the ensemble's looks up its members in it, when it is measured.
    """

    def shown(name: str) -> tuple[bool, int, int]:
        system = find_system(name)
        inputs = system.recipe(SMALL).settings.inputs
        return system.draw is not None, inputs.frames, inputs.size

    rows: dict[str, Callable[[], Row]] = {TWO_STAGE: partial(shipped_row, ring)}
    rows |= {name: partial(system_row, name, ring) for name in sorted(SYSTEMS, key=shown)}
    rows[ENSEMBLE] = lambda: ensemble_row([known[name] for name in PUBLISHED_MEMBERS], ring)
    rows[SAME_CLIPS] = partial(same_clips_row, ring)
    if yolo is not None:
        rows[PUBLISHED] = partial(published_row, ring, yolo)
    return rows


if __name__ == "__main__":
    sys.exit(console.run_guarded(main))
