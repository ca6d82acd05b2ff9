"""Report of a benchmark: the machine, and one row per candidate, as a table and as JSON."""

import argparse
import json
import os
import platform
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from common.files import write_atomically
from common.markdown import github_table
from common.system import available_cores

VECTOR_UNITS = ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "amx_bf16")


def make_parser(description: str | None, repeats: int = 5) -> argparse.ArgumentParser:
    """Create a parser with the arguments of every benchmark.

    Args:
        description: Docstring of the benchmark's module, of which the first line is used.
        repeats: Default of `--repeats`.
    """
    parser = argparse.ArgumentParser(description=(description or "").splitlines()[0])
    parser.add_argument("--repeats", type=int, default=repeats, help="timed rounds (default: %(default)s)")
    parser.add_argument("--out", type=Path, help="JSON file for the measurements")
    return parser


def add_clip_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments that name the clips to process."""
    parser.add_argument("--clips", type=Path, nargs="+", required=True)
    parser.add_argument("--every", type=int, default=1, help="use every Nth clip only (default: %(default)s)")


def publish(conditions: Mapping[str, Any], rows: Mapping[str, Mapping[str, Any]], out: Path | None) -> None:
    """Print the measurements and, if a file is given, write them.

    Args:
        conditions: What they were measured on, by name.
        rows: Measurements by row and column.
        out: JSON file.
    """
    print(", ".join(f"{name.replace('_', ' ')}: {value}" for name, value in conditions.items()))
    print(format_rows(rows))
    if out:
        write_atomically(out, json.dumps({"machine": describe_machine(), **conditions, "rows": rows}, indent=1) + "\n")


def format_rows(rows: Mapping[str, Mapping[str, Any]]) -> str:
    """Format measurements as a Markdown table; a row may lack columns."""
    columns = list(dict.fromkeys(column for row in rows.values() for column in row))
    lines = [[name, *(_format(row.get(column)) for column in columns)] for name, row in rows.items()]
    return github_table(lines, ["", *(column.replace("_", " ") for column in columns)])


def describe_machine() -> dict[str, Any]:
    """Return the properties of this machine that affect speed."""
    flags = _cpu_info("flags").split()
    return {
        "cpu": _cpu_info("model name") or platform.machine(),
        "cores": available_cores(),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30),
        "vector_units": [unit for unit in VECTOR_UNITS if unit in flags],
        "python": platform.python_version(),
    }


def _format(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.4g}"


def _cpu_info(name: str) -> str:
    """Return a field of the first processor in `/proc/cpuinfo`; empty if it is not available."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return ""
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith(name)), "")
