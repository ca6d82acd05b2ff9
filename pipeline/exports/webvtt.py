"""WebVTT chapters (https://www.w3.org/TR/webvtt1/): what happens when, for any player that shows chapters.

Chapters must not overlap except where one contains the other, so there is a cue for each period in which the predicted
labels stay the same, with all of them as its text. Times are hours, minutes, seconds and milliseconds.
"""

import html
from collections.abc import Iterable, Iterator
from itertools import pairwise
from pathlib import Path

from common.file_names import FileNames
from common.files import write_atomically
from pipeline.exports.export import Export
from pipeline.exports.text import one_line
from pipeline.results import ClipResult


def write(results: Iterable[ClipResult], export: Export) -> None:
    """Write a file for each clip into the folder."""
    names = FileNames(".vtt")
    for result in export.tagged(results):
        write_atomically(export.out / names.name(Path(result.path).stem), _format(result))


def _format(result: ClipResult) -> str:
    blocks = ["WEBVTT", f"NOTE {_escape(result.path)}"]
    for number, (start, end, labels) in enumerate(_periods(result), 1):
        blocks.append(f"{number}\n{_time(start)} --> {_time(end)}\n{_escape(', '.join(labels))}")
    return "\n\n".join(blocks) + "\n"


def _periods(result: ClipResult) -> Iterator[tuple[int, int, tuple[str, ...]]]:
    """Yield start and end, in milliseconds, and the labels of each period in which they stay the same."""
    segments = [
        (round(1000 * start), round(1000 * end), label.label)
        for label in result.labels
        for start, end in label.segments
    ]
    times = sorted({time for start, end, _ in segments for time in (start, end)})
    for first, last in pairwise(times):
        labels = tuple(dict.fromkeys(name for start, end, name in segments if start <= first and last <= end))
        if labels:
            yield first, last, labels


def _time(milliseconds: int) -> str:
    seconds, milliseconds = divmod(milliseconds, 1000)
    return f"{seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}.{milliseconds:03d}"


def _escape(text: str) -> str:
    return html.escape(one_line(text), quote=False)  # also of -->, which would end the text
