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
from video.remote_clips import AnyClip, RemoteClip
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
    workforce: Workforce, clips: Sequence[AnyClip], out: Path | None = None, annotate: Path | None = None
) -> Iterator[FinishedClip]:
    """Tag clips in order.

    Args:
        workforce: Has them tagged.
        clips: Video files or folders of frames, or files in stores.
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
    result, machine = None, ""
    with ResultsFolder(out, ready.weights, ready.settings) if out else nullcontext() as files:
        earlier = _EarlierResults(files)
        tasks = (
            earlier.task(index, clip, annotate / names[clip] if annotate else None) for index, clip in enumerate(clips)
        )
        for event in workforce.run(tasks):
            if isinstance(event, Annotated):
                assert result
                yield FinishedClip(result, event.reason, machine)
                continue
            result, machine = event.result, event.machine
            if files and earlier.is_new(event.index, result):
                files.add(result)  # at once: the annotated copy may still fail, or be interrupted
            if not annotate or result.status == "error":  # otherwise, news of the copy follows
                yield FinishedClip(result, machine=machine)


class _EarlierResults:
    """The results of earlier runs, as far as the clips of this one have them, and may not have changed since."""

    def __init__(self, files: ResultsFolder | None) -> None:
        self._files = files
        self._unchanged = set[int]()
        self._in_question: dict[int, ClipResult] = {}  # of clips whose stores are asked by the workers

    def task(self, index: int, clip: AnyClip, copy: Path | None) -> Task:
        """Return the task of a clip."""
        found = self._files.find(str(clip)) if self._files else None
        if found and _is_unchanged(clip, found):
            self._unchanged.add(index)
            return Task(index, clip, copy, found)
        if found and isinstance(clip, RemoteClip):
            self._in_question[index] = found
            return Task(index, clip, copy, earlier=found)
        return Task(index, clip, copy)

    def is_new(self, index: int, result: ClipResult) -> bool:
        """Return whether what came of a task is not what an earlier run has written; asked once."""
        if index in self._unchanged:
            self._unchanged.remove(index)
            return False
        return self._in_question.pop(index, None) != result


def _is_unchanged(clip: AnyClip, earlier: ClipResult) -> bool:
    """Return whether a clip is known to be the same as in an earlier run, without asking its store."""
    if isinstance(clip, RemoteClip):
        return clip.version is not None and clip.version == earlier.version
    try:
        return clip_sha256(clip) == earlier.sha256
    except (OSError, ClipError):
        return False
