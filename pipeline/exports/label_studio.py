"""Label Studio: tasks with predictions, to check and correct them there (https://labelstud.io/guide/predictions).

`tasks.json` is imported into a project whose labelling interface is `label_config.xml`. A task has the labels of a clip
(Choices), their segments (TimelineLabels: ranges of frames from 1, both ends included) and its boxes in sampled frames
(VideoRectangle: frames from 1, per cent of the frame's width and height). Clips are named as Label Studio serves local
files, relative to `LABEL_STUDIO_LOCAL_FILES_DOCUMENT_ROOT=/`.
"""

from collections.abc import Iterable, Iterator, Sequence
from urllib.parse import quote

from a2d.formats.whole_clips import TODO_SPLIT
from a2d.taxonomy import Taxonomy
from common.files import open_atomically, write_atomically
from common.remote_files import is_address
from pipeline.exports.export import Export
from pipeline.exports.moments import FrameClock, LabelledBox
from pipeline.exports.text import JsonArray, clean, xml
from pipeline.results import ClipResult

TASKS, CONFIG = "tasks.json", "label_config.xml"
LOCAL_FILES = "/data/local-files/?d="


def write(results: Iterable[ClipResult], export: Export) -> None:
    """Write the tasks and the labelling configuration into the folder."""
    write_atomically(export.out / CONFIG, label_config(export.taxonomy))
    with open_atomically(export.out / TASKS) as file:
        file.write(b"[")
        tasks = JsonArray(file)
        for result in export.tagged(results):
            tasks.add(_task(result, *export.boxes(result)))
        file.write(b"\n]\n")


def label_config(taxonomy: Taxonomy) -> str:
    """Return the labelling configuration in which the predictions fit (https://labelstud.io/tags)."""
    labels = "".join(f'    <Label value="{xml(name)}"/>\n' for name in taxonomy.label_names)
    choices = "".join(f'    <Choice value="{xml(name)}"/>\n' for name in taxonomy.label_names)
    return (
        '<View>\n  <Video name="video" value="$video" frameRate="$fps"/>\n'
        f'  <Choices name="labels" toName="video" choice="multiple">\n{choices}  </Choices>\n'
        f'  <TimelineLabels name="segments" toName="video">\n{labels}  </TimelineLabels>\n'
        '  <VideoRectangle name="boxes" toName="video"/>\n'
        f'  <Labels name="box_labels" toName="video">\n{labels}  </Labels>\n</View>\n'
    )


def _task(result: ClipResult, boxes: Sequence[LabelledBox], size: tuple[int, int]) -> dict[str, object]:
    url = LOCAL_FILES + quote(result.path.lstrip("/").encode(errors="surrogateescape"))
    if is_address(result.path):
        url = result.path
    data = {"video": url, "path": clean(result.path), "fps": result.fps, "split": TODO_SPLIT, "status": result.status}
    regions = [*_choices(result), *_timeline(result), *_rectangles(result, boxes, size)]
    parts = [{"id": f"r{number}", "to_name": "video", **region} for number, region in enumerate(regions, 1)]
    prediction: dict[str, object] = {"model_version": "actor-action", "result": parts}
    if result.labels:
        prediction["score"] = max(label.score for label in result.labels)
    return {"data": data, "predictions": [prediction]}


def _choices(result: ClipResult) -> Iterator[dict[str, object]]:
    if result.labels:
        value = {"choices": [label.label for label in result.labels]}
        yield {"from_name": "labels", "type": "choices", "value": value}


def _timeline(result: ClipResult) -> Iterator[dict[str, object]]:
    clock = FrameClock.of(result)
    for label in result.labels:
        for segment in label.segments:
            first, last = clock.span(*segment)
            value = {"ranges": [{"start": first + 1, "end": last + 1}], "timelinelabels": [label.label]}
            yield {"from_name": "segments", "type": "timelinelabels", "value": value, "score": label.score}


def _rectangles(result: ClipResult, boxes: Sequence[LabelledBox], size: tuple[int, int]) -> Iterator[dict[str, object]]:
    """Yield a region for each segment, which ends at its last frame; between the boxes, Label Studio interpolates."""
    clock = FrameClock.of(result)
    for label in result.labels:
        for index, segment in enumerate(label.segments):
            sequence = [_keyframe(box, size) for box in boxes if box.label is label and box.segment == index]
            if not sequence:
                continue
            _, last = clock.span(*segment)
            if last + 1 > sequence[-1]["frame"]:
                sequence.append({**sequence[-1], "frame": last + 1, "time": round(segment[1], 3)})
            sequence[-1]["enabled"] = False  # which says that the box is not continued after this frame
            value = {
                "framesCount": result.frames,
                "duration": result.duration_seconds,
                "sequence": sequence,
                "labels": [label.label],
            }
            yield {"from_name": "boxes", "type": "videorectangle", "value": value, "score": label.score}


def _keyframe(box: LabelledBox, size: tuple[int, int]) -> dict[str, float]:
    x1, y1, x2, y2 = box.corners
    width, height = size
    shares = {"x": x1 / width, "y": y1 / height, "width": (x2 - x1) / width, "height": (y2 - y1) / height}
    per_cent = {name: round(100 * share, 3) for name, share in shares.items()}
    return {"frame": box.frame_index + 1, "enabled": True, "rotation": 0, **per_cent, "time": box.time_seconds}
