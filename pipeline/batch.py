"""Tagging many clips: results one by one, failures among them, and nothing lost when the run is killed."""

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
        tagger: Does the work.
        clips: Video files or folders of frames.
        out: Folder for `results.jsonl` and `results.csv`; what an earlier run with the same weights and settings
            finished there is kept and not done again.
        annotate: Folder for copies of the clips with what was found drawn into them, see `pipeline.visualization.annotation`.

    Yields:
        One result a clip, those kept from an earlier run among them. A clip that cannot be read gives a row with a
        status and the reason, and the run goes on.

    Raises:
        UserError: If `out` holds results of other weights or settings.
    """
    files = ResultsFolder(out, tagger.weights, tagger.settings) if out else None
    names = annotated_names(clips) if annotate else {}
    try:
        for clip, tagged in zip(clips, _tag_or_keep(tagger, clips, files), strict=True):
            result, detections = tagged.result, tagged.detections
            if annotate and result.status != "error":
                if detections is None:  # of a result that was kept
                    detections = tagger.detector.detect(clip).detections
                annotate_clip(clip, result, detections, tagger.taxonomy, annotate / names[clip])
            yield result
    finally:
        if files:
            files.write_csv()


def _tag_or_keep(tagger: ActorActionTagger, clips: Iterable[Path], files: ResultsFolder | None) -> Iterator[TaggedClip]:
    """Tag the clips that have no result yet, or are no longer those that it speaks of."""
    for kept, group in groupby(clips, lambda clip: _kept_result(clip, files)):
        if kept:
            yield from (TaggedClip(kept, None) for _ in group)
            continue
        for tagged in tagger.tag_all(group):
            if files:
                files.add(tagged.result)
            yield tagged


def _kept_result(clip: Path, files: ResultsFolder | None) -> ClipResult | None:
    """Find what an earlier run said of a clip, if that still holds."""
    result = files.find(str(clip)) if files else None
    try:
        return result if result and clip_sha256(clip) == result.sha256 else None
    except OSError:
        return None
