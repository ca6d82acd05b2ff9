"""Speed on a folder of clips: stage 1 alone, the whole pipeline, and the command as a user runs it.

Only converted networks are cached between runs. Run from the repository root:

    python -m benchmarks.bench_folder --clips $KIT/clips/*.mp4 --every 25
"""

import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from a2d.taxonomy import load_taxonomy
from benchmarks.interleaved import Candidate, time_interleaved
from benchmarks.report import add_clip_arguments, make_parser, publish
from common.paths import PROJECT
from pipeline.cached_detector import CachedDetector
from pipeline.config import TaggerConfig
from pipeline.tagger import ActorActionTagger
from video.clips import decode_frames

STAGE1, PIPELINE, COMMAND = "stage 1 alone", "whole pipeline", "run_pipeline.py, including its start"


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, print the table, write the JSON."""
    parser = make_parser(__doc__)
    add_clip_arguments(parser)
    parser.add_argument("--detector", nargs="+", default=[TaggerConfig.detector])
    arguments = parser.parse_args(argv)
    clips = arguments.clips[:: arguments.every]
    frames = sum(1 for clip in clips for _ in decode_frames(clip))
    rows: dict[str, dict[str, float]] = {}
    for detector in arguments.detector:
        inputs = {"clips": clips, "config": TaggerConfig(detector=detector, device="cpu")}
        candidates = {
            STAGE1: Candidate(_prepare_stage1, inputs),
            PIPELINE: Candidate(_prepare_pipeline, inputs),
            COMMAND: Candidate(_prepare_command, inputs),
        }
        timings = time_interleaved(candidates, arguments.repeats)
        for name, timing in timings.items():
            rows[f"{detector}, {name}"] = {
                "frames_per_second": round(frames / timing.median, 1),
                "seconds": round(timing.median, 2),
                "relative_to_stage1": round(timing.median / timings[STAGE1].median, 3),
            }
    publish({"clips": len(clips), "frames": frames}, rows, arguments.out)
    return 0


def _prepare_stage1(clips: list[Path], config: TaggerConfig) -> Callable[[], Any]:
    detector = CachedDetector.from_config(config, load_taxonomy())
    return lambda: list(detector.detect_all(clips))


def _prepare_pipeline(clips: list[Path], config: TaggerConfig) -> Callable[[], Any]:
    tagger = ActorActionTagger.from_config(config)
    return lambda: list(tagger.tag_all(clips))


def _prepare_command(clips: list[Path], config: TaggerConfig) -> Callable[[], Any]:
    command = [sys.executable, "run_pipeline.py", "--no-cache", "--json", "--detector", config.detector]
    command += ["--device", config.device, "--video", *(str(clip.resolve()) for clip in clips)]
    return lambda: subprocess.run(command, cwd=PROJECT, check=True, capture_output=True)


if __name__ == "__main__":
    sys.exit(main())
