"""Praat TextGrids (https://www.fon.hum.uva.nl/praat/manual/TextGrid_file_formats.html), for annotators.

An interval tier for each label of a clip, which covers the whole clip: intervals with the label's name where the action
happens, and empty ones in between. Times are in seconds.
"""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from common.file_names import FileNames
from common.files import write_atomically
from pipeline.exports.export import Export
from pipeline.exports.text import clean
from pipeline.results import ClipResult

NO_LABEL = "(no label)"
"""The tier of a clip without labels, since many programs refuse a file without tiers."""


def write(results: Iterable[ClipResult], export: Export) -> None:
    """Write a file for each clip into the folder."""
    names = FileNames(".TextGrid")
    for result in export.tagged(results):
        write_atomically(export.out / names.name(Path(result.path).stem), _format(result))


def _format(result: ClipResult) -> str:
    tiers: list[tuple[str, Sequence[tuple[float, float]]]] = [(label.label, label.segments) for label in result.labels]
    tiers = tiers or [(NO_LABEL, ())]
    # A clip of a single moment has no duration, but an interval must have one.
    end = max([result.duration_seconds or 0.001, *(end for _, segments in tiers for _, end in segments)])
    lines = ['File type = "ooTextFile"', 'Object class = "TextGrid"', "", "xmin = 0", f"xmax = {end}"]
    lines += ["tiers? <exists>", f"size = {len(tiers)}", "item []:"]
    for number, (name, segments) in enumerate(tiers, 1):
        intervals = list(_intervals(segments, end))
        lines += [f"    item [{number}]:", '        class = "IntervalTier"', f"        name = {_quote(name)}"]
        lines += ["        xmin = 0", f"        xmax = {end}", f"        intervals: size = {len(intervals)}"]
        for index, (first, last, is_shown) in enumerate(intervals, 1):
            text = _quote(name if is_shown else "")
            lines += [f"        intervals [{index}]:", f"            xmin = {first}", f"            xmax = {last}"]
            lines += [f"            text = {text}"]
    return "\n".join(lines) + "\n"


def _intervals(segments: Sequence[tuple[float, float]], end: float) -> Iterator[tuple[float, float, bool]]:
    """Yield the start and end of adjacent intervals, from 0 to the end, and whether each is one of the segments."""
    position = 0.0
    for first, last in segments:
        if first > position:
            yield position, first, False
        if last > first:
            yield first, last, True
        position = max(position, last)
    if end > position:
        yield position, end, False


def _quote(text: str) -> str:
    return '"' + clean(text).replace('"', '""') + '"'
