"""Copy the measurements of speed and memory into benchmarks/README.md, and plot them: `python -m benchmarks.page`."""

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.plot import plot_frontier, plot_reports, plot_scaling
from benchmarks.report import format_rows
from common.files import write_atomically
from common.markdown import fill_markers

FOLDER = Path(__file__).parent
PAGE, PLOT, FRONTIER = FOLDER / "README.md", FOLDER / "speed.png", FOLDER / "frontier.png"
SCALING = FOLDER / "scaling.png"
REPORTS = (
    *("stage1", "speed_options", "frontier", "frontier_yolo26n", "folder"),
    *("heads", "start", "memory", "scaling", "scale"),
)


def main(argv: Sequence[str] | None = None) -> int:
    """Update the page's tables and the plot."""
    argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0]).parse_args(argv)
    reports = read_reports()
    write_atomically(PAGE, fill_markers(PAGE.read_text(encoding="utf-8"), format_tables(reports)))
    plot_reports(reports, PLOT)
    plot_frontier({"the embedded detector": reports["frontier"], "YOLO26n": reports["frontier_yolo26n"]}, FRONTIER)
    plot_scaling(reports["scaling"], SCALING)
    print(f"wrote {PAGE}, {PLOT}, {FRONTIER} and {SCALING}")
    return 0


def read_reports() -> dict[str, dict[str, Any]]:
    """Read the benchmarks' reports, by name."""
    return {name: json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8")) for name in REPORTS}


def format_tables(reports: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    """Format all tables of the page, by marker."""
    return {
        name: f"\n{format_rows(report['rows'])}\n\nOn {format_machine(report['machine'])}.\n"
        for name, report in reports.items()
    }


def format_machine(machine: Mapping[str, Any]) -> str:
    """Format the description of a machine as text."""
    units = ", ".join(unit.replace("_", "-").upper() for unit in machine["vector_units"])
    parts = [f"{machine['cores']} cores of an {machine['cpu']} ({units})", f"{machine['memory_gib']} GiB"]
    return ", ".join([*parts, f"Python {machine['python']}"])


if __name__ == "__main__":
    sys.exit(main())
