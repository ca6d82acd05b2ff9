"""Tagging many clips: one result at a time, failures included, and nothing lost when the run is killed."""

from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

from common.errors import ClipError
from pipeline.results import ClipResult
from pipeline.results_folder import ResultsFolder
from pipeline.supervision.messages import Annotated, Task
from pipeline.supervision.workforce import Workforce
from pipeline.visualization.annotation import annotated_names
from video.clips import clip_sha256
from video.writer import remove_unfinished


@dataclass(frozen=True)
class FinishedClip:
    """A clip with which the run is finished.

    Attributes:
        result: Of any status.
        copy_error: Why its annotated copy is missing; empty if it is not, or if there is to be none.
        machine: Name of the one that tagged it; empty if it is this one, or it was tagged in an earlier run.
    """

    result: ClipResult
    copy_error: str = ""
    machine: str = ""


def tag_clips(
    workforce: Workforce, clips: Sequence[Path], out: Path | None = None, annotate: Path | None = None
) -> Iterator[FinishedClip]:
    """Tag clips in order.

    Args:
        workforce: Has them tagged.
        clips: Video files or folders of frames.
        out: Folder for `results.jsonl` and `results.csv`; what an earlier run with the same weights and settings
            finished there is not done again.
        annotate: Folder for annotated copies of the clips, see `pipeline.visualization.annotation`.

    Yields:
        Each clip once, including those of an earlier run. A clip that cannot be read, or that made the process crash or
        hang that decoded it, gives a row with a status and the reason, and the run continues.

    Raises:
        UserError: If `out` contains results of other weights or settings.
    """
    ready = workforce.ready()
    names = annotated_names(clips, annotate) if annotate else {}
    if annotate:
        remove_unfinished(annotate)
    reused = set[int]()

    def tasks(files: ResultsFolder | None) -> Iterator[Task]:
        for index, clip in enumerate(clips):
            earlier = _earlier_result(clip, files)
            if earlier:
                reused.add(index)
            yield Task(index, clip, annotate / names[clip] if annotate else None, earlier)

    result, machine = None, ""
    with ResultsFolder(out, ready.weights, ready.settings) if out else nullcontext() as files:
        for event in workforce.run(tasks(files)):
            if isinstance(event, Annotated):
                assert result
                yield FinishedClip(result, event.reason, machine)
                continue
            result, machine = event.result, event.machine
            if event.index in reused:
                reused.remove(event.index)
            elif files:
                files.add(result)  # at once: the annotated copy may still fail, or be interrupted
            if not annotate or result.status == "error":  # otherwise, news of the copy follows
                yield FinishedClip(result, machine=machine)


def _earlier_result(clip: Path, files: ResultsFolder | None) -> ClipResult | None:
    """Return the result of an earlier run for a clip, if its contents have not changed since."""
    result = files.find(str(clip)) if files else None
    try:
        return result if result and clip_sha256(clip) == result.sha256 else None
    except (OSError, ClipError):
        return None
