"""A folder of clips: the whole pipeline beside stage 1 alone, and the command as a user runs it.

Nothing is kept from run to run but converted networks. Run from the repository root:

    python -m benchmarks.bench_folder --clips $KIT/clips/*.mp4 --every 25
"""

import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from a2d.taxonomy import load_taxonomy
from benchmarks.interleaved import Candidate, time_interleaved
from benchmarks.report import make_parser, publish
from common.paths import PROJECT
from pipeline.cached_detector import CachedDetector
from pipeline.config import TaggerConfig
from pipeline.tagger import ActorActionTagger
from video.clips import decode_frames

STAGE1, WHOLE, COMMAND = "stage 1 alone", "whole pipeline", "run_pipeline.py, from its start"


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, print the table, write the JSON."""
    parser = make_parser(__doc__)
    parser.add_argument("--clips", type=Path, nargs="+", required=True)
    parser.add_argument("--every", type=int, default=1, help="take every Nth of them only (default: %(default)s)")
    parser.add_argument("--detector", nargs="+", default=[TaggerConfig.detector])
    arguments = parser.parse_args(argv)
    clips = arguments.clips[:: arguments.every]
    frames = sum(1 for clip in clips for _ in decode_frames(clip))
    rows: dict[str, dict[str, float]] = {}
    for detector in arguments.detector:
        given = {"clips": clips, "config": TaggerConfig(detector=detector, device="cpu")}
        ways = {STAGE1: Candidate(_stage1, given), WHOLE: Candidate(_whole, given), COMMAND: Candidate(_command, given)}
        timings = time_interleaved(ways, arguments.repeats)
        for name, timing in timings.items():
            rows[f"{detector}, {name}"] = {
                "frames_per_second": round(frames / timing.median, 1),
                "seconds": round(timing.median, 2),
                "times_stage1": round(timing.median / timings[STAGE1].median, 3),
            }
    publish({"clips": len(clips), "frames": frames}, rows, arguments.out)
    return 0


def _stage1(clips: list[Path], config: TaggerConfig) -> Callable[[], Any]:
    detector = CachedDetector.from_config(config, load_taxonomy())
    return lambda: list(detector.detect_all(clips))


def _whole(clips: list[Path], config: TaggerConfig) -> Callable[[], Any]:
    tagger = ActorActionTagger.from_config(config)
    return lambda: list(tagger.tag_all(clips))


def _command(clips: list[Path], config: TaggerConfig) -> Callable[[], Any]:
    command = [sys.executable, "run_pipeline.py", "--no-cache", "--json", "--detector", config.detector]
    command += ["--device", config.device, "--video", *(str(clip.resolve()) for clip in clips)]
    return lambda: subprocess.run(command, cwd=PROJECT, check=True, capture_output=True)


if __name__ == "__main__":
    sys.exit(main())
