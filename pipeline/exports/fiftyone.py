"""FiftyOne: a dataset in its own JSON format (https://docs.voxel51.com/user_guide/import_datasets.html#fiftyonedataset).

    fiftyone.Dataset.from_dir(dataset_dir=…, dataset_type=fiftyone.types.FiftyOneDataset)

A sample is a clip with its `labels` (Classifications) and their `segments` (TemporalDetections: first and last frame,
from 1), and the frames, from 1, have the `boxes` (Detections: x, y, width, height as shares of the frame). The
documents are of version 1.0.0, which later versions migrate when they import them.
"""

from collections.abc import Iterable, Sequence
from hashlib import blake2b

from a2d.formats.whole_clips import TODO_SPLIT
from common.files import open_atomically, write_atomically
from pipeline.exports.export import Export
from pipeline.exports.moments import FrameClock, LabelledBox
from pipeline.exports.text import JsonArray, clean, json_bytes
from pipeline.results import ClipResult

VERSION = "1.0.0"
METADATA, SAMPLES, FRAMES = "metadata.json", "samples.json", "frames.json"


def write(results: Iterable[ClipResult], export: Export) -> None:
    """Write the dataset, its samples and their frames into the folder."""
    write_atomically(export.out / METADATA, json_bytes(_dataset(export)) + b"\n")
    with open_atomically(export.out / SAMPLES) as sample_file, open_atomically(export.out / FRAMES) as frame_file:
        sample_file.write(b'{"samples": [')
        frame_file.write(b'{"frames": [')
        samples, frames = JsonArray(sample_file), JsonArray(frame_file)
        for result in export.tagged(results):
            boxes, size = export.boxes(result)
            samples.add(_sample(result, size))
            for frame_index in sorted({box.frame_index for box in boxes}):
                of_frame = [box for box in boxes if box.frame_index == frame_index]
                frames.add(_frame(result, frame_index, of_frame, size))
        sample_file.write(b"\n]}\n")
        frame_file.write(b"\n]}\n")


def _sample(result: ClipResult, size: tuple[int, int]) -> dict[str, object]:
    width, height = size if any(size) else (None, None)
    metadata = {
        "_cls": "VideoMetadata",
        "frame_width": width,
        "frame_height": height,
        "frame_rate": result.fps,
        "total_frame_count": result.frames,
        "duration": result.duration_seconds,
    }
    classifications = [_label(result, "Classification", name=label.label, score=label.score) for label in result.labels]
    clock = FrameClock.of(result)
    detections = []
    for label in result.labels:
        for segment in label.segments:
            first, last = clock.span(*segment)
            entry = _label(result, "TemporalDetection", name=label.label, score=label.score, place=first)
            detections.append({**entry, "support": [first + 1, last + 1]})
    return {
        "_id": _object_id(result.path),
        "filepath": clean(result.path),
        "tags": [TODO_SPLIT] if result.status == "ok" else [TODO_SPLIT, result.status],
        "metadata": metadata,
        "_media_type": "video",
        "_rand": int(_digest(result.path), 16) / 16**24,
        "sha256": result.sha256,
        "labels": {"_cls": "Classifications", "classifications": classifications},
        "segments": {"_cls": "TemporalDetections", "detections": detections},
    }


def _frame(
    result: ClipResult, frame_index: int, boxes: Sequence[LabelledBox], size: tuple[int, int]
) -> dict[str, object]:
    width, height = size
    detections = []
    for box in boxes:
        x1, y1, x2, y2 = box.corners
        shares = (x1 / width, y1 / height, (x2 - x1) / width, (y2 - y1) / height)
        entry = _label(result, "Detection", name=box.label.label, score=box.score, place=frame_index)
        detections.append({**entry, "attributes": {}, "bounding_box": [round(share, 6) for share in shares]})
    return {
        "_id": _object_id(result.path, "frame", frame_index),
        "_sample_id": _object_id(result.path),
        "frame_number": frame_index + 1,
        "boxes": {"_cls": "Detections", "detections": detections},
    }


def _label(result: ClipResult, kind: str, *, name: str, score: float, place: int = 0) -> dict[str, object]:
    return {
        "_id": _object_id(result.path, kind, name, place),
        "_cls": kind,
        "tags": [],
        "label": name,
        "confidence": score,
    }


def _digest(*parts: object) -> str:
    return blake2b("\0".join(map(str, parts)).encode(errors="surrogatepass"), digest_size=12).hexdigest()


def _object_id(*parts: object) -> dict[str, str]:
    """Return an identifier that depends on what it identifies alone, so that the same results give the same files."""
    return {"$oid": _digest(*parts)}


def _dataset(export: Export) -> dict[str, object]:
    """Return the document that declares the fields."""
    metadata = [
        *(_field(name, "IntField") for name in ("size_bytes", "frame_width", "frame_height", "total_frame_count")),
        *(_field(name, "FloatField") for name in ("frame_rate", "duration")),
        *(_field(name, "StringField") for name in ("mime_type", "encoding_str")),
    ]
    label = [
        _field("id", "ObjectIdField", db_field="_id"),
        _field("tags", "ListField", subfield="StringField"),
        _field("label", "StringField"),
        _field("confidence", "FloatField"),
    ]
    support = _field("support", "FrameSupportField", subfield="IntField")
    box = [_field("bounding_box", "ListField", subfield="FloatField"), _field("attributes", "DictField")]
    common = [_field("id", "ObjectIdField", db_field="_id")]
    return {
        "name": "actor-action",
        "version": VERSION,
        "media_type": "video",
        "persistent": False,
        "tags": [],
        "info": {"description": "predictions of actor-action"},
        "group_media_types": {},
        "app_config": {},
        "classes": {},
        "default_classes": list(export.taxonomy.label_names),
        "mask_targets": {},
        "default_mask_targets": {},
        "skeletons": {},
        "sample_fields": [
            *common,
            _field("filepath", "StringField"),
            _field("tags", "ListField", subfield="StringField"),
            _document("metadata", "metadata.VideoMetadata", metadata),
            _field("_media_type", "StringField"),
            _field("_rand", "FloatField"),
            _field("_dataset_id", "ObjectIdField"),
            _field("created_at", "DateTimeField", read_only=True),
            _field("last_modified_at", "DateTimeField", read_only=True),
            _field("sha256", "StringField"),
            _labels("labels", "Classification", label),
            _labels("segments", "TemporalDetection", [*label, support]),
        ],
        "frame_fields": [
            *common,
            _field("_sample_id", "ObjectIdField"),
            _field("frame_number", "FrameNumberField"),
            _field("_dataset_id", "ObjectIdField"),
            _field("created_at", "DateTimeField", read_only=True),
            _field("last_modified_at", "DateTimeField", read_only=True),
            _labels("boxes", "Detection", [*label, *box]),
        ],
    }


def _field(
    name: str, kind: str, *, subfield: str = "", db_field: str = "", read_only: bool = False
) -> dict[str, object]:
    return {
        "name": name,
        "ftype": f"fiftyone.core.fields.{kind}",
        "embedded_doc_type": None,
        "subfield": f"fiftyone.core.fields.{subfield}" if subfield else None,
        "fields": [],
        "db_field": db_field or name,
        "description": None,
        "info": None,
        "read_only": read_only,
    }


def _document(name: str, kind: str, fields: Sequence[dict[str, object]]) -> dict[str, object]:
    embedded = {"embedded_doc_type": f"fiftyone.core.{kind}", "fields": list(fields)}
    return {**_field(name, "EmbeddedDocumentField"), **embedded}


def _labels(name: str, kind: str, fields: Sequence[dict[str, object]]) -> dict[str, object]:
    """Return the field of a list of labels of a kind, such as `Detections` of `Detection`."""
    items = "classifications" if kind == "Classification" else "detections"
    listed = {"embedded_doc_type": f"fiftyone.core.labels.{kind}", "fields": list(fields)}
    return _document(
        name, f"labels.{kind}s", [{**_field(items, "ListField", subfield="EmbeddedDocumentField"), **listed}]
    )
