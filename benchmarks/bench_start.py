"""Start-up time: how long `--help` takes, and the first result of a short clip, in a new process.

Run from the repository root: `python -m benchmarks.bench_start --clip some.mp4`.
"""

import statistics
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from benchmarks.commands import lengthen, run_command
from benchmarks.report import make_parser, publish

CLIP_SECONDS = 5.0
NOTHING_CACHED, DETECTIONS_CACHED = "first result, nothing cached", "first result, detections cached"


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, print the table, write the JSON."""
    parser = make_parser(__doc__)
    parser.add_argument("--clip", type=Path, required=True, help=f"repeated or cut to {CLIP_SECONDS:g} seconds")
    arguments = parser.parse_args(argv)
    seconds: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        clip = lengthen(arguments.clip, CLIP_SECONDS, Path(folder))
        environment = {"ACTOR_ACTION_CACHE": str(Path(folder) / "cache")}
        cached = ["run_pipeline.py", "--device", "cpu", "--video", str(clip)]
        tag = [*cached, "--no-cache"]
        commands = {
            "--help": ["run_pipeline.py", "--help"],
            NOTHING_CACHED: tag,
            "first result": tag,
            "first result, --until-sure 0.01": [*tag, "--until-sure", "0.01"],
            DETECTIONS_CACHED: cached,
            "first result, --backend torch": [*tag, "--backend", "torch"],
        }
        for repeat in range(arguments.repeats):
            for name, command in commands.items():
                if not repeat and name == DETECTIONS_CACHED:
                    run_command(command, environment)  # which caches them
                if repeat and name == NOTHING_CACHED:
                    continue
                seconds.setdefault(name, []).append(run_command(command, environment).seconds)
    rows = {name: {"median_seconds": round(statistics.median(times), 2)} for name, times in seconds.items()}
    publish({"clip_seconds": CLIP_SECONDS}, rows, arguments.out)
    return 0


if __name__ == "__main__":
    sys.exit(main())
