"""Tag videos: who does what in each, and why."""

import argparse
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from common.errors import UserError
from common.scratch_folders import remove_leftovers
from common.stopwatch import Stopwatch
from common.units import format_seconds
from inference.runtime import AUTO
from pipeline.commands import console
from pipeline.commands.arguments import add_run_arguments, add_tagger_arguments, config_from
from pipeline.commands.engine_arguments import add_engine_arguments, report_restarts, start_workers
from pipeline.commands.system_argument import add_system_argument

if TYPE_CHECKING:
    from pipeline.batch import FinishedClip
    from pipeline.results import ClipResult
    from pipeline.supervision.messages import Ready, Setup
    from pipeline.supervision.workforce import Workforce
    from pipeline.visualization.run_summary import RunSummary
    from video.remote_clips import AnyClip

T = TypeVar("T")
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
        help="video files, folders of them, globs, or @list.txt with one path per line; also addresses in stores, such "
        "as s3://bucket/folder",
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
        "--queue",
        type=Path,
        metavar="FILE",
        help="write a list of the clips to label next (CSV), those first of which a label would teach most",
    )
    parser.add_argument(
        "--timeout",
        type=timeout,
        metavar="SECONDS",
        help="give a clip up that has no result after so long, loading networks aside (default: one that shows no sign "
        "of progress for ten minutes)",
    )
    add_engine_arguments(parser, "tag")
    output = parser.add_mutually_exclusive_group()
    output.add_argument("--json", action="store_true", help="print JSON lines instead of tables")
    output.add_argument("-q", "--quiet", action="store_true", help="print nothing but warnings and errors")
    add_system_argument(parser)
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
    from pipeline.any_tagger import check_options
    from pipeline.supervision.messages import Setup

    folder = arguments.out or DEMO_FOLDER
    config = config_from(arguments)
    check_options(
        config, {"--published": arguments.published, "--annotate": arguments.annotate, "--demo": arguments.demo}
    )
    setup = Setup(config, folder / "demo.mp4" if arguments.demo else None)
    # The networks are loaded while this process goes on.
    try:
        with start_workers(setup, arguments, arguments.timeout, quiet=arguments.quiet) as supervisor:
            return _run(supervisor, arguments, setup)
    finally:
        remove_leftovers()  # of workers that were killed


def _run(supervisor: "Workforce", arguments: argparse.Namespace, setup: "Setup") -> int:
    from pipeline.batch import tag_clips
    from pipeline.visualization.annotation import annotated_names
    from pipeline.visualization.run_summary import RunSummary

    out, annotate = arguments.out, arguments.annotate
    clips: Sequence[AnyClip]
    if setup.demo:
        clips, annotate, out = [setup.demo], annotate or setup.demo.parent, None
    else:
        clips = _find_clips(arguments)
    files = [file for file in (arguments.report, arguments.queue) if file]
    for folder in filter(None, [annotate, *(file.parent for file in files)]):
        console.make_folder(folder)
    ready = supervisor.ready()
    threshold = ready.settings["label_threshold"]
    printer = _Printer(arguments, ready, None if threshold == AUTO else threshold, out, RunSummary())
    printer.note(ready.description)
    supervisor.on_wait = lambda index, done, seconds: printer.note(
        f"{clips[index]}: {done} later clips are done, and wait for this one since {format_seconds(seconds)}"
    )
    stopwatch = Stopwatch()
    for finished in printer.progress(tag_clips(supervisor, clips, out, annotate), "tagging", "clip", len(clips)):
        printer.add(finished)
    seconds = stopwatch.seconds()
    if setup.demo and not printer.summary.missing_copies:
        printer.note(f"wrote {clips[0]} and {annotate / annotated_names(clips, annotate)[clips[0]]}")
    printer.write_files()
    report_restarts(supervisor.restarts)
    return printer.finish(seconds)


@dataclass
class _Printer:
    """Prints the results of a run one by one, and what is to be said at its end.

    Attributes:
        arguments: Of the command.
        ready: What is known of the run when it starts.
        label_threshold: Score from which an action is said; None if each clip has its own.
        out: Folder of the results; None if they are only printed.
        summary: Of the clips so far.
        results: The results so far, if a report or a queue is to be written.
        is_printed: Whether they could be printed.
    """

    arguments: argparse.Namespace
    ready: "Ready"
    label_threshold: float | None
    out: Path | None
    summary: "RunSummary"
    results: list["ClipResult"] = field(default_factory=list)
    is_printed: bool = True

    def note(self, text: str) -> None:
        """Print a line about the run to stderr, unless it is to be quiet."""
        if not self.arguments.quiet:
            console.print_note(text, "faint")

    def progress(self, items: Iterable[T], description: str, unit: str, total: int | None = None) -> Iterable[T]:
        """Show progress, unless the run is to be quiet."""
        return items if self.arguments.quiet else console.progress_bar(items, description, unit, total)

    def add(self, finished: "FinishedClip") -> None:
        """Print a result, and at once that its annotated copy is missing, if it is."""
        result = finished.result
        self.summary.add(result, finished.copy_error, finished.machine)
        if finished.copy_error:
            console.print_note(f"{result.video}: no annotated copy ({finished.copy_error})", "warning")
        if self.arguments.report or self.arguments.queue:
            self.results.append(result)
        if self.arguments.quiet:
            return
        try:
            console.print_result(self._format(result))
        except console.OutputError as reason:
            if not self.out:
                raise
            console.print_note(f"{reason}; they are written to {self.out}", "warning")
            console.discard_results()
            self.is_printed = False

    def _format(self, result: "ClipResult") -> str:
        from pipeline.label_choice import clip_threshold
        from pipeline.visualization.text_report import format_result

        if self.arguments.json:
            return json.dumps(result.to_dict())
        threshold = clip_threshold(result.scores, self.ready.taxonomy, self.label_threshold)
        return format_result(result, self.ready.taxonomy, threshold, console.result_paint()) + "\n"

    def write_files(self) -> None:
        """Write the page about the results, and the queue of clips to label."""
        if self.arguments.report:
            from pipeline.pages.report import write_report

            path, taxonomy = self.arguments.report, self.ready.taxonomy
            self.note(str(write_report(path, self.results, taxonomy, self.label_threshold, self.progress)))
        if self.arguments.queue:
            from pipeline.label_queue import SPLIT, rank_clips, write_queue

            entries = rank_clips(self.results, self.ready.taxonomy, self.label_threshold)
            write_queue(self.arguments.queue, entries)
            self.note(f"wrote {self.arguments.queue} ({len(entries)} to label, in the split {SPLIT})")

    def finish(self, seconds: float) -> int:
        """Print the summary of a run of several clips, and what is not as it should be; return the exit code."""
        if self.summary.clips > 1 and not self.arguments.quiet:
            overview = self.summary.overview(seconds, self.out, console.note_paint())
            console.print_painted_note("\n".join(overview))
        problems = self.summary.problems()
        if problems:
            console.print_error(problems)
        return console.DONE if self.is_printed and not problems else console.SOME_FAILED


def _find_clips(arguments: argparse.Namespace) -> "Sequence[AnyClip]":
    from video.find_clips import search_clips

    found = search_clips(arguments.video, arguments.follow_links)
    for note in found.notes():
        console.print_note(note)
    if arguments.queue and (remote := [clip for clip in found.clips if not isinstance(clip, Path)]):
        raise UserError(f"--queue is for clips on this machine: download {remote[0]}, or leave --queue out")
    return found.clips
