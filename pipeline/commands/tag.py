"""Tag videos: who does what in each, and why we say so."""

import argparse
import json
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from pipeline.commands import console as cli

DEMO_FOLDER = Path("out") / "demo"


def build_parser() -> argparse.ArgumentParser:
    """Describe the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        epilog="exit code: 0 all clips tagged, 1 some clip failed or breaks off (the others are done), 2 wrong usage",
    )
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument(
        "--video",
        nargs="+",
        metavar="PATH",
        help="video files, folders of them, globs, or @list.txt with a path on each line",
    )
    what.add_argument(
        "--demo",
        action="store_true",
        help=f"make a short clip from photographs that installed packages ship, tag and annotate it, in --out "
        f"(default there: {DEMO_FOLDER})",
    )
    parser.add_argument("--out", type=Path, metavar="DIR", help="also write results.jsonl and results.csv there")
    parser.add_argument(
        "--annotate", type=Path, metavar="DIR", help="write copies of the clips there, with what was found drawn in"
    )
    parser.add_argument("--json", action="store_true", help="print JSON lines instead of tables")
    cli.add_tagger_arguments(parser)
    cli.add_run_arguments(parser)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Tag what the command line names and print it clip by clip."""
    arguments = build_parser().parse_args(argv)
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
        cli.make_folder(annotate)
    config = cli.config_from(arguments)
    tagger = ActorActionTagger.from_config(config)
    print(tagger.describe_weights(), file=sys.stderr)
    if arguments.demo:
        write_demo(clips[0])
    statuses = Counter[str]()
    for result in cli.progress_bar(tag_clips(tagger, clips, out, annotate), "tagging", "clip", len(clips)):
        statuses[result.status] += 1
        if arguments.json:
            cli.show(json.dumps(result.to_dict()))
        else:
            cli.show(format_result(result, tagger.taxonomy, config.label_threshold) + "\n")
    if arguments.demo:
        print(f"wrote {clips[0]} and {annotate / annotated_names(clips)[clips[0]]}", file=sys.stderr)
    if statuses["ok"] == len(clips):
        return cli.DONE
    failed, cut = statuses["error"], statuses["truncated"]
    print(f"of {len(clips)} clips, {failed} could not be read and {cut} break off", file=sys.stderr)
    return cli.SOME_FAILED


if __name__ == "__main__":
    sys.exit(cli.run(main))
