"""Tag videos: who does what in each, and why."""

import argparse
import json
import sys
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.commands import console
from pipeline.commands.arguments import add_run_arguments, add_tagger_arguments, config_from

if TYPE_CHECKING:
    from a2d.taxonomy import Taxonomy
    from pipeline.batch import FinishedClip
    from pipeline.results import ClipResult
    from pipeline.supervision.messages import Setup
    from pipeline.supervision.supervisor import Supervisor

DEMO_FOLDER = Path("out") / "demo"
EPILOG = (
    "exit code: 0 all clips tagged, 1 some clip failed or is truncated, or lacks its annotated copy (the others are "
    "done), 2 wrong usage"
)
MAX_TIMEOUT_SECONDS = 1e7


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
    parser.add_argument(
        "--follow-links", action="store_true", help="also search linked folders in the folders of --video, each once"
    )
    parser.add_argument("--out", type=Path, metavar="DIR", help="also write results.jsonl and results.csv there")
    parser.add_argument("--annotate", type=Path, metavar="DIR", help="write annotated copies of the clips there")
    parser.add_argument(
        "--report", type=Path, metavar="FILE", help="write a page (HTML) with every verdict, its reasons, and pictures"
    )
    parser.add_argument(
        "--timeout",
        type=timeout,
        metavar="SECONDS",
        help="give a clip up that has no result after so long, loading networks aside (default: one that shows no sign "
        "of progress for ten minutes)",
    )
    parser.add_argument("--json", action="store_true", help="print JSON lines instead of tables")
    add_tagger_arguments(parser)
    add_run_arguments(parser)


def timeout(text: str) -> float:
    """Parse how long a clip may take, in seconds."""
    number = float(text)
    if not 0 < number <= MAX_TIMEOUT_SECONDS:
        raise argparse.ArgumentTypeError(f"{text} was given, more than 0 to {MAX_TIMEOUT_SECONDS:.0f} is allowed")
    return number


def run(arguments: argparse.Namespace) -> int:
    """Tag the clips, and print the results one by one."""
    from pipeline.supervision.messages import Setup
    from pipeline.supervision.process import WorkerProcess
    from pipeline.supervision.supervisor import Supervisor

    folder = arguments.out or DEMO_FOLDER
    setup = Setup(config_from(arguments), folder / "demo.mp4" if arguments.demo else None)
    worker = WorkerProcess(setup)  # loads the networks while this process goes on
    with Supervisor(worker, arguments.timeout) as supervisor:
        return _run(supervisor, arguments, setup)


def _run(supervisor: "Supervisor", arguments: argparse.Namespace, setup: "Setup") -> int:
    from pipeline.batch import tag_clips
    from pipeline.visualization.annotation import annotated_names
    from pipeline.visualization.text_report import format_result

    out, annotate = arguments.out, arguments.annotate
    if setup.demo:
        clips, annotate, out = [setup.demo], annotate or setup.demo.parent, None
    else:
        clips = _find_clips(arguments)
    for folder in filter(None, (annotate, arguments.report and arguments.report.parent)):
        console.make_folder(folder)
    ready = supervisor.ready()
    print(ready.description, file=sys.stderr)
    summary = _Summary()
    results = []
    for finished in console.progress_bar(tag_clips(supervisor, clips, out, annotate), "tagging", "clip", len(clips)):
        summary.add(finished)
        if arguments.report:
            results.append(finished.result)
        row = json.dumps(finished.result.to_dict()) if arguments.json else ""
        try:
            console.print_result(
                row or format_result(finished.result, ready.taxonomy, setup.config.label_threshold) + "\n"
            )
        except console.OutputError as reason:
            if not out:
                raise
            console.print_note(f"{reason}; they are written to {out}")
            console.discard_results()
            summary.is_printed = False
    if setup.demo and not summary.missing_copies:
        print(f"wrote {clips[0]} and {annotate / annotated_names(clips, annotate)[clips[0]]}", file=sys.stderr)
    if arguments.report:
        _write_report(arguments.report, results, ready.taxonomy, setup.config.label_threshold)
    if supervisor.restarts:
        times = "once" if supervisor.restarts == 1 else f"{supervisor.restarts} times"
        print(f"the decoding process had to be restarted {times}", file=sys.stderr)
    return summary.finish()


def _write_report(path: Path, results: "list[ClipResult]", taxonomy: "Taxonomy", label_threshold: float) -> None:
    from pipeline.pages.report import write_report

    print(write_report(path, results, taxonomy, label_threshold, console.progress_bar), file=sys.stderr)


@dataclass
class _Summary:
    """What became of the clips of a run."""

    statuses: Counter[str] = field(default_factory=Counter)
    missing_copies: int = 0
    is_printed: bool = True

    def add(self, finished: "FinishedClip") -> None:
        """Count a clip, and report at once that its annotated copy is missing."""
        self.statuses[finished.result.status] += 1
        if finished.copy_error:
            self.missing_copies += 1
            console.print_note(f"{finished.result.video}: no annotated copy ({finished.copy_error})")

    def finish(self) -> int:
        """Report what is not as it should be, and return the exit code."""
        clips, failed, truncated = self.statuses.total(), self.statuses["error"], self.statuses["truncated"]
        if failed or truncated or self.missing_copies:
            line = f"of {clips} clips, {failed} could not be read and {truncated} are truncated"
            if self.missing_copies:
                copies = "copy is" if self.missing_copies == 1 else "copies are"
                line += f"; {self.missing_copies} annotated {copies} missing"
            print(line, file=sys.stderr)
            return console.SOME_FAILED
        return console.DONE if self.is_printed else console.SOME_FAILED


def _find_clips(arguments: argparse.Namespace) -> list[Path]:
    from video.find_clips import search_clips

    found = search_clips(arguments.video, arguments.follow_links)
    for note in found.notes():
        print(note, file=sys.stderr)
    return found.clips
