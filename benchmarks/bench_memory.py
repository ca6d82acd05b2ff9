"""Peak memory of `run_pipeline.py` by length of the clip: 10 seconds, 2 minutes and 10 minutes.

Run from the repository root: `python -m benchmarks.bench_memory --clip some.mp4`.
"""

import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from statistics import median

from benchmarks.commands import lengthen, run_command
from benchmarks.report import make_parser, publish

LENGTHS_SECONDS = {"10 s": 10.0, "2 min": 120.0, "10 min": 600.0}


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, print the table, write the JSON."""
    parser = make_parser(__doc__, repeats=1)
    parser.add_argument("--clip", type=Path, required=True, help="repeated until it is long enough")
    parser.add_argument("--lengths", nargs="+", choices=LENGTHS_SECONDS, default=list(LENGTHS_SECONDS))
    arguments = parser.parse_args(argv)
    rows: dict[str, dict[str, float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        command = ["run_pipeline.py", "--no-cache", "--device", "cpu", "--video"]
        for length in arguments.lengths:
            clip = lengthen(arguments.clip, LENGTHS_SECONDS[length], Path(folder))
            if not rows:
                run_command([*command, str(clip)])  # converts the networks
            runs = [run_command([*command, str(clip)]) for _ in range(arguments.repeats)]
            rows[length] = {"peak_mb": round(median(run.peak_bytes for run in runs) / 1e6)}
            clip.unlink()
    publish({"repeats": arguments.repeats}, rows, arguments.out)
    return 0


if __name__ == "__main__":
    sys.exit(main())
