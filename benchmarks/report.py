"""What every benchmark of speed says: on which machine, and one row a way, as a table and as JSON."""

import argparse
import json
import os
import platform
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tabulate import tabulate

from common.files import write_atomically
from common.system import available_cores

VECTOR_UNITS = ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "amx_bf16")


def make_parser(description: str | None, repeats: int = 5) -> argparse.ArgumentParser:
    """Make a parser of what every benchmark takes, described by the first line of a module's docstring."""
    parser = argparse.ArgumentParser(description=(description or "").splitlines()[0])
    parser.add_argument("--repeats", type=int, default=repeats, help="rounds that count (default: %(default)s)")
    parser.add_argument("--out", type=Path, help="write the numbers here, as JSON")
    return parser


def publish(facts: Mapping[str, Any], rows: Mapping[str, Mapping[str, Any]], out: Path | None) -> None:
    """Print what was measured and, if asked, write it.

    Args:
        facts: What was measured on, by name.
        rows: Numbers by column, by what they speak of.
        out: The JSON file.
    """
    print(", ".join(f"{name.replace('_', ' ')}: {fact}" for name, fact in facts.items()))
    print(table_of(rows))
    if out:
        write_atomically(out, json.dumps({"machine": describe_machine(), **facts, "rows": rows}, indent=1) + "\n")


def table_of(rows: Mapping[str, Mapping[str, Any]]) -> str:
    """Lay rows out as a table in Markdown; a row may lack columns."""
    columns = list(dict.fromkeys(column for row in rows.values() for column in row))
    lines = [[name, *(_format(row.get(column)) for column in columns)] for name, row in rows.items()]
    headers = ["", *(column.replace("_", " ") for column in columns)]
    align = ("left", *["right"] * len(columns))
    return tabulate(lines, headers, tablefmt="github", disable_numparse=True, colalign=align)


def _format(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.4g}"


def describe_machine() -> dict[str, Any]:
    """Say on what a benchmark ran."""
    flags = _cpu_info("flags").split()
    return {
        "cpu": _cpu_info("model name") or platform.machine(),
        "cores": available_cores(),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30),
        "vector_units": [unit for unit in VECTOR_UNITS if unit in flags],
        "python": platform.python_version(),
    }


def _cpu_info(name: str) -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return ""
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith(name)), "")
