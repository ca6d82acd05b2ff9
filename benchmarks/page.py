"""Copy what the benchmarks of speed measured into benchmarks/README.md, and draw it: `python -m benchmarks.page`."""

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from common.markdown import fill_markers

from benchmarks.plot import draw
from benchmarks.report import table_of
from common.files import write_atomically

FOLDER = Path(__file__).parent
PAGE, PICTURE = FOLDER / "README.md", FOLDER / "speed.png"
REPORTS = ("stage1", "shortcuts", "folder", "heads", "start", "memory")


def main(argv: Sequence[str] | None = None) -> int:
    """Rewrite the page's tables and the picture."""
    argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0]).parse_args(argv)
    reports = read_reports()
    write_atomically(PAGE, fill_markers(PAGE.read_text(encoding="utf-8"), tables_of(reports)))
    draw(reports, PICTURE)
    print(f"wrote {PAGE} and {PICTURE}")
    return 0


def read_reports() -> dict[str, dict[str, Any]]:
    """Read what the benchmarks wrote, by name."""
    return {name: json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8")) for name in REPORTS}


def tables_of(reports: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    """Make every table of the page, by marker."""
    return {
        name: f"\n{table_of(report['rows'])}\n\nOn {describe(report['machine'])}.\n" for name, report in reports.items()
    }


def describe(machine: Mapping[str, Any]) -> str:
    """Say in a few words what a machine is."""
    units = ", ".join(unit.replace("_", "-").upper() for unit in machine["vector_units"])
    parts = [f"{machine['cores']} cores of an {machine['cpu']} ({units})", f"{machine['memory_gib']} GiB"]
    return ", ".join([*parts, f"Python {machine['python']}"])


if __name__ == "__main__":
    sys.exit(main())
