"""CVAT for video 1.1: a file of tracks for each clip (https://docs.cvat.ai/docs/manual/advanced/xml_format/).

CVAT has a task for each video, and a file is uploaded as the annotations of the task of its clip; the names of the
task's labels must be those of the taxonomy. Each segment of a label is a track, with a keyframe for each box in a
sampled frame; CVAT interpolates between these, and the track ends with a box that is `outside`, in the frame after the
segment. Frames are counted from 0, boxes are in pixels. A segment without any box is a tag of its first frame.
"""

import os
from collections.abc import Iterable, Iterator
from itertools import groupby
from pathlib import Path

from a2d.formats.whole_clips import TODO_SPLIT
from common.file_names import FileNames
from common.files import write_atomically
from common.remote_files import is_address
from pipeline.exports.export import Export, frame_size
from pipeline.exports.moments import FrameClock, LabelledBox, labelled_boxes
from pipeline.exports.text import xml
from pipeline.results import ClipResult


def write(results: Iterable[ClipResult], export: Export) -> None:
    """Write a file for each clip into the folder."""
    names = FileNames(".xml")
    for result in export.tagged(results):
        name = names.name(Path(result.path).stem)
        write_atomically(export.out / name, "".join(_lines(result, export)))


def _lines(result: ClipResult, export: Export) -> Iterator[str]:
    size = frame_size(result)
    yield '<?xml version="1.0" encoding="utf-8"?>\n<annotations>\n  <version>1.1</version>\n'
    yield from _meta(result, export, size)
    boxes = labelled_boxes(result, export.taxonomy)
    tracks = {key: list(part) for key, part in groupby(boxes, lambda box: (box.label.label, box.segment))}
    clock = FrameClock.of(result)
    number = 0
    untracked: dict[int, list[str]] = {}
    for label in result.labels:
        for index, segment in enumerate(label.segments):
            first, last = clock.span(*segment)
            if (label.label, index) in tracks:
                yield from _track(number, label.label, tracks[label.label, index], min(last + 1, result.frames))
                number += 1
            else:
                untracked.setdefault(first, []).append(label.label)
    for frame_index in sorted(untracked):
        shape = f' width="{size[0]}" height="{size[1]}"' if size else ""
        yield f'  <image id="{frame_index}" name="frame_{frame_index:06d}"{shape}>\n'
        for name in untracked[frame_index]:
            yield f'    <tag label="{xml(name)}" source="auto"></tag>\n'
        yield "  </image>\n"
    yield "</annotations>\n"


def _meta(result: ClipResult, export: Export, size: tuple[int, int] | None) -> Iterator[str]:
    yield f"  <meta>\n    <task>\n      <name>{xml(result.path.rpartition('/')[2])}</name>\n"
    yield f"      <size>{result.frames}</size>\n      <mode>interpolation</mode>\n      <overlap>0</overlap>\n"
    yield f"      <subset>{TODO_SPLIT}</subset>\n      <start_frame>0</start_frame>\n"
    yield f"      <stop_frame>{max(result.frames - 1, 0)}</stop_frame>\n      <labels>\n"
    for name in export.taxonomy.label_names:
        yield f"        <label><name>{xml(name)}</name><type>any</type><attributes></attributes></label>\n"
    yield "      </labels>\n"
    if size:
        yield f"      <original_size><width>{size[0]}</width><height>{size[1]}</height></original_size>\n"
    source = result.path if is_address(result.path) else os.path.relpath(result.path, export.out)
    yield f"      <source>{xml(source)}</source>\n    </task>\n  </meta>\n"


def _track(number: int, name: str, boxes: list[LabelledBox], end_frame: int) -> Iterator[str]:
    yield f'  <track id="{number}" label="{xml(name)}" source="auto">\n'
    for box in boxes:
        yield _box(box, box.frame_index, outside=False)
    yield _box(boxes[-1], max(end_frame, boxes[-1].frame_index + 1), outside=True)
    yield "  </track>\n"


def _box(box: LabelledBox, frame_index: int, outside: bool) -> str:
    x1, y1, x2, y2 = box.corners
    return (
        f'    <box frame="{frame_index}" keyframe="1" outside="{int(outside)}" occluded="0"'
        f' xtl="{x1:.2f}" ytl="{y1:.2f}" xbr="{x2:.2f}" ybr="{y2:.2f}" z_order="0"></box>\n'
    )
