"""COCO detection JSON (https://cocodataset.org/#format-data): the boxes in the sampled frames.

Categories are the taxonomy's labels with its ids, and an annotation is a box with one of the actions that its actor
performs at the moment; its `score` is that of the format of results. Boxes are x, y, width, height in pixels from the
upper left corner. An image is a frame, in a folder of its clip's name, named as CVAT names the frames of a video:
`frame_000012.png` for index 12, from 0. `videos`, `video_id` and `frame_id` (from 0) are those of COCO-style video data
sets. The frames are not extracted.
"""

import shutil
from collections.abc import Iterable
from pathlib import Path
from tempfile import TemporaryFile

from common.file_names import FileNames
from common.files import open_atomically
from pipeline.exports.export import Export
from pipeline.exports.moments import LabelledBox
from pipeline.exports.text import JsonArray, clean, json_bytes
from pipeline.results import ClipResult


def write(results: Iterable[ClipResult], export: Export) -> None:
    """Write one file of all clips; images first, while videos and annotations are collected in temporary files."""
    folder = export.out.absolute().parent
    with (
        open_atomically(export.out) as file,
        TemporaryFile(dir=folder) as video_lines,
        TemporaryFile(dir=folder) as annotation_lines,
    ):
        file.write(b'{"info": ' + json_bytes({"description": "predictions of actor-action"}) + b',\n"licenses": [],')
        file.write(b'\n"categories": ' + json_bytes(_categories(export)) + b',\n"images": [')
        images, videos, annotations = JsonArray(file), JsonArray(video_lines), JsonArray(annotation_lines)
        folders, image_id, annotation_id = FileNames(""), 0, 0
        for video_id, result in enumerate(export.tagged(results), 1):
            boxes, (width, height) = export.boxes(result)
            name = folders.name(clean(Path(result.path).stem))
            videos.add({"id": video_id, "name": name, "file_name": clean(result.path), "length": result.frames})
            for frame_index in sorted({box.frame_index for box in boxes}):
                image_id += 1
                images.add(
                    {
                        "id": image_id,
                        "file_name": f"{name}/frame_{frame_index:06d}.png",
                        "width": width,
                        "height": height,
                        "video_id": video_id,
                        "frame_id": frame_index,
                    }
                )
                for box in boxes:
                    if box.frame_index == frame_index:
                        annotation_id += 1
                        annotations.add({"id": annotation_id, "image_id": image_id, **_annotation(box)})
        for name, lines in (("videos", video_lines), ("annotations", annotation_lines)):
            file.write(b'\n],\n"' + name.encode() + b'": [')
            lines.seek(0)
            shutil.copyfileobj(lines, file)
        file.write(b"\n]}\n")


def _categories(export: Export) -> list[dict[str, object]]:
    return [{"id": label.id, "name": label.name, "supercategory": label.kind} for label in export.taxonomy.labels]


def _annotation(box: LabelledBox) -> dict[str, object]:
    x1, y1, x2, y2 = box.corners
    width, height = round(x2 - x1, 1), round(y2 - y1, 1)
    return {
        "category_id": box.label.id,
        "bbox": [x1, y1, width, height],
        "area": round(width * height, 2),
        "iscrowd": 0,
        "score": box.score,
    }
