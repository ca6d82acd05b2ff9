"""Tagging many clips: one result at a time, failures included, and nothing lost when the run is killed."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from pathlib import Path

from pipeline.results import ClipResult
from pipeline.results_folder import ResultsFolder
from pipeline.tagger import ActorActionTagger, TaggedClip
from pipeline.visualization.annotation import annotate_clip, annotated_names
from video.clips import clip_sha256


def tag_clips(
    tagger: ActorActionTagger, clips: Sequence[Path], out: Path | None = None, annotate: Path | None = None
) -> Iterator[ClipResult]:
    """Tag clips in order.

    Args:
        tagger: Tags them.
        clips: Video files or folders of frames.
        out: Folder for `results.jsonl` and `results.csv`; what an earlier run with the same weights and settings
            finished there is not done again.
        annotate: Folder for annotated copies of the clips, see `pipeline.visualization.annotation`.

    Yields:
        One result per clip, including those of an earlier run. A clip that cannot be read gives a row with a status and
        the reason, and the run continues.

    Raises:
        UserError: If `out` contains results of other weights or settings.
    """
    files = ResultsFolder(out, tagger.weights, tagger.settings) if out else None
    names = annotated_names(clips) if annotate else {}
    try:
        for clip, tagged in zip(clips, _tag_or_reuse(tagger, clips, files), strict=True):
            result, detections = tagged.result, tagged.detections
            if annotate and result.status != "error":
                if detections is None:  # the result is an earlier run's
                    detections = tagger.detector.detect(clip).detections
                annotate_clip(clip, result, detections, tagger.taxonomy, annotate / names[clip])
            yield result
    finally:
        if files:
            files.write_csv()


def _tag_or_reuse(
    tagger: ActorActionTagger, clips: Iterable[Path], files: ResultsFolder | None
) -> Iterator[TaggedClip]:
    """Tag the clips that have no result yet, or whose contents have changed since."""
    for earlier, group in groupby(clips, lambda clip: _earlier_result(clip, files)):
        if earlier:
            yield from (TaggedClip(earlier, None) for _ in group)
            continue
        for tagged in tagger.tag_all(group):
            if files:
                files.add(tagged.result)
            yield tagged


def _earlier_result(clip: Path, files: ResultsFolder | None) -> ClipResult | None:
    """Return the result of an earlier run for a clip, if its contents have not changed since."""
    result = files.find(str(clip)) if files else None
    try:
        return result if result and clip_sha256(clip) == result.sha256 else None
    except OSError:
        return None
