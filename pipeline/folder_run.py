"""Tagging many clips: results one by one, failures among them, and nothing lost when the run is killed."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

from actor_detector.detections import ClipDetections
from pipeline.annotation import annotate_clip, annotated_names
from pipeline.cache import clip_sha256
from pipeline.results import ClipResult
from pipeline.results_files import ResultsFolder
from pipeline.tagger import ActorActionTagger

Progress = Callable[[Sequence[Path]], Iterable[Path]]


def tag_clips(
    tagger: ActorActionTagger,
    clips: Sequence[Path],
    out: Path | None = None,
    progress: Progress = lambda clips: clips,
    annotate: Path | None = None,
) -> Iterator[ClipResult]:
    """Tag clips in order.

    Args:
        tagger: Does the work.
        clips: Video files or folders of frames.
        out: Folder for `results.jsonl` and `results.csv`; what an earlier run with the same weights and settings
            finished there is kept and not done again.
        progress: Wraps the clips, for a progress bar.
        annotate: Folder for copies of the clips with what was found drawn into them, see `pipeline.annotation`.

    Yields:
        One result a clip, those kept from an earlier run among them. A clip that cannot be read gives a row with a
        status and the reason, and the run goes on.

    Raises:
        UserError: If `out` holds results of other weights or settings.
    """
    files = ResultsFolder(out, tagger.weights, tagger.settings) if out else None
    names = annotated_names(clips) if annotate else {}
    try:
        for clip in progress(clips):
            result = files.find(str(clip)) if files else None
            detections: ClipDetections | None = None
            if result is None or _has_changed(clip, result):
                tagged = tagger.tag_or_explain(clip)
                result, detections = tagged.result, tagged.detections
                if files:
                    files.add(result)
            if annotate and result.status != "error":
                if detections is None:  # of a result that was kept
                    detections = tagger.detector.detect(clip).detections
                annotate_clip(clip, result, detections, tagger.taxonomy, annotate / names[clip])
            yield result
    finally:
        if files:
            files.write_csv()


def _has_changed(clip: Path, result: ClipResult) -> bool:
    """Say whether a clip is no longer the one that a result speaks of."""
    try:
        return clip_sha256(clip) != result.sha256
    except OSError:
        return True
