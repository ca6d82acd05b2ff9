"""Examine the installation: versions, devices, weights, folders and a short benchmark, as a bug report needs them."""

import argparse
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from common.styles import Paint, no_paint
from pipeline.commands import console
from pipeline.commands.arguments import add_run_arguments, add_tagger_arguments, config_from

EPILOG = "exit code: 0 everything is as it should be, 1 something is wrong (one line for each problem), 2 wrong usage"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("--out", type=Path, default=Path("out"), metavar="DIR", help="the folder for results")
    parser.add_argument("--json", action="store_true", help="print JSON instead of text")
    add_tagger_arguments(parser)
    add_run_arguments(parser)


def run(arguments: argparse.Namespace) -> int:
    """Examine everything, and print the facts, then the problems."""
    from pipeline.diagnosis import diagnose

    found = diagnose(config_from(arguments), arguments.out).to_dict()
    as_json, paint = arguments.json, console.result_paint()
    text = json.dumps(found, indent=2, ensure_ascii=False) if as_json else format_diagnosis(found, paint)
    console.print_result(text)
    return console.SOME_FAILED if found["problems"] else console.DONE


def format_diagnosis(found: Mapping[str, Any], paint: Paint = no_paint) -> str:
    """Format a diagnosis as text, one fact per line.

    Args:
        found: The diagnosis.
        paint: How its parts look.

    >>> print(format_diagnosis({"schema": 1, "versions": {"numpy": "2.0"}, "problems": []}))
    versions
      numpy: 2.0
    <BLANKLINE>
    no problem was found
    """
    lines = []
    for part, facts in found.items():
        if isinstance(facts, Mapping):
            lines.append(paint(part, "heading"))
            lines += [paint(f"  {name}: {_format(value)}") for name, value in facts.items()]
    problems = [paint(f"problem: {problem['problem']} – {problem['remedy']}", "bad") for problem in found["problems"]]
    return "\n".join([*lines, "", *(problems or [paint("no problem was found", "good")])])


def _format(value: object) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {_format(item)}" for name, item in value.items())
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "none"
    return str(value)
