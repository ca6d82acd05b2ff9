"""Tagging of mutated videos, with the real detector, gates and heads. Run by hand for many inputs.

    python tests/fuzz_tag.py --inputs 5000 --out /tmp/fuzz

The inputs are those of `tests/video/fuzz_reader.py`, written into a folder, which the command tags as users do. Every
input must have one row, no row may blame a lost worker, and the command must end with exit code 1, since some cannot
be read.
"""

import argparse
import json
import re
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

if __name__ == "__main__":
    sys.path[:0] = [str(Path(__file__).resolve().parents[1] / name) for name in ("", "tests", "tests/video")]

from fuzz_reader import make_input, write_originals

PROJECT = Path(__file__).resolve().parent.parent
STATUSES = {"ok", "truncated", "error"}
LOST_WORKER = re.compile(", (once|twice|three times)$")  # as the supervisor ends the reason


def write_inputs(folder: Path, inputs: int, seed: int) -> None:
    """Write mutated videos into a folder."""
    with tempfile.TemporaryDirectory() as work:
        originals = write_originals(Path(work))
    folder.mkdir(parents=True)
    for number in range(inputs):
        (folder / f"{number:06}.mp4").write_bytes(make_input(number, seed, originals))


def tag_inputs(folder: Path, inputs: int, seed: int) -> tuple[Counter[str], list[str]]:
    """Tag mutated videos.

    Args:
        folder: Where they and the results are written; does not exist yet.
        inputs: How many.
        seed: Determines them.

    Returns:
        How many have each status, and what is wrong.
    """
    write_inputs(folder / "clips", inputs, seed)
    command = [sys.executable, str(PROJECT / "run_pipeline.py"), "--device", "cpu", "--no-cache"]
    command += ["--video", str(folder / "clips"), "--out", str(folder / "out")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    faults = [] if done.returncode == 1 else [f"exit code {done.returncode}: {done.stderr[-2000:]}"]
    if "Traceback" in done.stderr:
        faults.append(done.stderr[-2000:])
    lines = (folder / "out/results.jsonl").read_text().splitlines()
    rows = {Path(row["video"]).stem: row for row in map(json.loads, lines)}
    if len(lines) != inputs or len(rows) != inputs:
        faults.append(f"{len(lines)} rows of {len(rows)} clips, {inputs} were given")
    for name, row in rows.items():
        reason = row["error"] or ""
        if row["status"] not in STATUSES or LOST_WORKER.search(reason):
            faults.append(f"{name}: {row['status']}, {reason}")
    return Counter(row["status"] for row in rows.values()), faults


def main() -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description="Tag mutated videos.")
    parser.add_argument("--inputs", type=int, default=1000, help="how many (default: 1000)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, required=True, help="folder for inputs and results, which must not exist")
    options = parser.parse_args()
    begin = time.monotonic()
    statuses, faults = tag_inputs(options.out, options.inputs, options.seed)
    print(f"{options.inputs} inputs in {time.monotonic() - begin:.0f} s: {dict(statuses)}, {len(faults)} faults")
    print(*faults, sep="\n")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
