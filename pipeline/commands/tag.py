"""Tag videos: who does what in each, and why."""

import argparse
import json
import sys
from collections import Counter
from pathlib import Path

from pipeline.commands import console
from pipeline.commands.arguments import add_run_arguments, add_tagger_arguments, config_from

DEMO_FOLDER = Path("out") / "demo"
EPILOG = "exit code: 0 all clips tagged, 1 some clip failed or is truncated (the others are done), 2 wrong usage"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    inputs = parser.add_mutually_exclusive_group(required=True)
    inputs.add_argument(
        "--video",
        nargs="+",
        metavar="PATH",
        help="video files, folders of them, globs, or @list.txt with one path per line",
    )
    inputs.add_argument(
        "--demo",
        action="store_true",
        help="make a short clip from photographs that installed packages ship, tag and annotate it, in --out "
        f"(default: {DEMO_FOLDER})",
    )
    parser.add_argument("--out", type=Path, metavar="DIR", help="also write results.jsonl and results.csv there")
    parser.add_argument("--annotate", type=Path, metavar="DIR", help="write annotated copies of the clips there")
    parser.add_argument("--json", action="store_true", help="print JSON lines instead of tables")
    add_tagger_arguments(parser)
    add_run_arguments(parser)


def run(arguments: argparse.Namespace) -> int:
    """Tag the clips, and print the results one by one."""
    from pipeline.batch import tag_clips
    from pipeline.tagger import ActorActionTagger
    from pipeline.visualization.annotation import annotated_names
    from pipeline.visualization.demo_clip import write_demo
    from pipeline.visualization.text_report import format_result
    from video.find_clips import find_clips

    out, annotate = arguments.out, arguments.annotate
    if arguments.demo:
        folder = out or DEMO_FOLDER
        clips, annotate, out = [folder / "demo.mp4"], annotate or folder, None
    else:
        clips = find_clips(arguments.video)
    if annotate:
        console.make_folder(annotate)
    config = config_from(arguments)
    tagger = ActorActionTagger.from_config(config)
    print(tagger.describe_weights(), file=sys.stderr)
    if arguments.demo:
        write_demo(clips[0])
    statuses = Counter[str]()
    for result in console.progress_bar(tag_clips(tagger, clips, out, annotate), "tagging", "clip", len(clips)):
        statuses[result.status] += 1
        if arguments.json:
            console.print_result(json.dumps(result.to_dict()))
        else:
            console.print_result(format_result(result, tagger.taxonomy, config.label_threshold) + "\n")
    if arguments.demo:
        print(f"wrote {clips[0]} and {annotate / annotated_names(clips)[clips[0]]}", file=sys.stderr)
    if statuses["ok"] == len(clips):
        return console.DONE
    failed, truncated = statuses["error"], statuses["truncated"]
    print(f"of {len(clips)} clips, {failed} could not be read and {truncated} are truncated", file=sys.stderr)
    return console.SOME_FAILED
