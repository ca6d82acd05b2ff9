"""FiftyOne: datasets of videos in two formats (https://docs.voxel51.com/user_guide/export_datasets.html).

- `FiftyOneDataset`: `metadata.json` and `samples.json`. A clip's labels are those of the field `ground_truth`, or
  `labels`, or of the only field that has labels (Classification, TemporalDetection, and lists of these). Its split is
  the sample's tag `train`, `val` (`validation`), `test` or `todo`, by default `train`.
- `FiftyOneVideoLabelsDataset`: `manifest.json` and `labels`. A clip's labels are those of its events and attributes,
  or, without these, of the objects in its frames. It has no splits: all clips are in `train`.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from a2d.formats.base import DatasetIndex, Row, Sample
from a2d.formats.json_files import decode_json, read_json
from a2d.formats.whole_clips import DEFAULT_SPLIT, TODO_SPLIT, ClipRow, NamedLabel, clip_index, split_named
from a2d.skipped_samples import SkippedSamples
from a2d.taxonomy import Taxonomy
from common.errors import DatasetError

METADATA, SAMPLES, MANIFEST = "metadata.json", "samples.json", "manifest.json"
FIELDS = ("ground_truth", "labels")
"""Fields that count before others, in this order."""
SPLIT_TAGS = ("train", "val", "validation", "test", TODO_SPLIT)
LISTS = {"Classifications": "classifications", "TemporalDetections": "detections"}
SINGLE = ("Classification", "TemporalDetection")
VIDEO_DATASET = "LabeledVideoDataset"


def is_dataset(folder: Path) -> bool:
    """Return whether a folder is a dataset in one of the two formats."""
    return ((folder / METADATA).is_file() and (folder / SAMPLES).is_file()) or _is_video_labels(folder / MANIFEST)


def read_fiftyone(folder: Path) -> DatasetIndex:
    """Read a dataset.

    Args:
        folder: With the files of one of the two formats.

    Returns:
        One row per sample.

    Raises:
        DatasetError: If a file is not what it should be, there is no sample, a sample has tags of two splits or fields
            of labels none of which counts before the others, or two have the same clip.
    """
    if (folder / SAMPLES).is_file():
        return _read_samples(folder / SAMPLES)
    return _read_manifest(folder / MANIFEST)


class _Samples(msgspec.Struct):
    samples: list[msgspec.Raw]


class _Sample(msgspec.Struct):
    filepath: str
    tags: list[str] = []


def _read_samples(path: Path) -> DatasetIndex:
    samples = read_json(path, _Samples, "the samples of a FiftyOneDataset").samples
    if not samples:
        raise DatasetError(f"{path}: there is no sample")
    return clip_index(path, [_sample_row(path, number, raw) for number, raw in enumerate(samples, 1)])


def _sample_row(path: Path, number: int, raw: msgspec.Raw) -> ClipRow:
    where = f"{path}: sample {number}"
    sample = decode_json(raw, _Sample, where, "a sample of videos")
    fields = decode_json(raw, dict[str, Any], where, "a sample of videos")
    clip = path.parent / sample.filepath
    found = {name: list(_names(value)) for name, value in fields.items() if _has_labels(value)}
    field = next((name for name in FIELDS if name in found), None)
    if field is None and len(found) > 1:
        listed = ", ".join(found)
        raise DatasetError(f"{where}: several fields have labels ({listed}); name the true ones {FIELDS[0]!r}")
    names = found[field] if field else [name for names in found.values() for name in names]
    labels = [NamedLabel(name, where) for name in dict.fromkeys(names)]
    return ClipRow(where, _split_of(sample.tags, where), clip, clip.name, labels)


def _has_labels(value: object) -> bool:
    return isinstance(value, Mapping) and value.get("_cls") in (*LISTS, *SINGLE)


def _names(value: Mapping[str, Any]) -> Iterator[str]:
    """Yield the labels of a field."""
    items = value.get(LISTS[value["_cls"]]) or () if value["_cls"] in LISTS else (value,)
    for item in items:
        if isinstance(item, Mapping) and item.get("label") is not None:
            yield str(item["label"])


def _split_of(tags: Iterable[str], where: str) -> str:
    splits = {split_named(tag) for tag in tags if tag.casefold() in SPLIT_TAGS}
    if len(splits) > 1:
        raise DatasetError(f"{where}: it has the tags of several splits: {', '.join(sorted(splits))}")
    return splits.pop() if splits else DEFAULT_SPLIT


class _Record(msgspec.Struct):
    data: str
    labels: str


class _Manifest(msgspec.Struct):
    index: list[_Record]
    type: str = ""


class _Attribute(msgspec.Struct):
    value: Any = None


class _Attributes(msgspec.Struct):
    attrs: list[_Attribute] = []


class _Item(msgspec.Struct):
    label: str | None = None


class _Events(msgspec.Struct):
    events: list[_Item] = []


class _Objects(msgspec.Struct):
    objects: list[_Item] = []


class _Frame(msgspec.Struct):
    objects: _Objects | None = None


class _VideoLabels(msgspec.Struct):
    """ETA's VideoLabels (https://github.com/voxel51/eta/blob/develop/docs/video_labels_guide.md)."""

    attrs: _Attributes | None = None
    events: _Events | None = None
    frames: dict[str, _Frame] = {}

    def label_names(self) -> list[str]:
        """Return the labels of the video, or of the objects in its frames if it has none itself."""
        names = [item.label for item in self.events.events] if self.events else []
        names += [one.value for one in self.attrs.attrs if isinstance(one.value, str)] if self.attrs else []
        if not any(names):
            names = [item.label for frame in self.frames.values() if frame.objects for item in frame.objects.objects]
        return [name for name in dict.fromkeys(names) if name]


def _is_video_labels(path: Path) -> bool:
    """Return whether a file is the manifest of videos; many tools have a manifest."""
    try:
        manifest = read_json(path, _Manifest, "a manifest")
    except DatasetError:
        return False
    return manifest.type.rpartition(".")[2] == VIDEO_DATASET


def _read_manifest(path: Path) -> DatasetIndex:
    records = read_json(path, _Manifest, "the manifest of a FiftyOneVideoLabelsDataset").index
    if not records:
        raise DatasetError(f"{path}: there is no sample")
    rows = [
        _VideoLabelsRow(f"{path}: sample {number}", DEFAULT_SPLIT, path.parent / one.data, path.parent / one.labels)
        for number, one in enumerate(records, 1)
    ]
    return clip_index(path, rows)


@dataclass(frozen=True)
class _VideoLabelsRow(Row):
    """A clip, and the file with its labels."""

    labels: Path

    def samples(self, taxonomy: Taxonomy, skipped: SkippedSamples) -> list[Sample]:
        if not self.labels.is_file():
            skipped.add(self.where, f"no such file: {self.labels}")
            return []
        names = read_json(self.labels, _VideoLabels, "labels of a video").label_names()
        labels = [NamedLabel(name, str(self.labels)) for name in names]
        row = ClipRow(self.where, self.split, self.clip, self.clip.name, labels)
        return row.samples(taxonomy, skipped)
