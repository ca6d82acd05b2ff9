"""Reading what FiftyOne exports, and naming what is wrong in it."""

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
from labelled_exports import labels_of, samples_of

from a2d.dataset import split_names
from common.errors import DatasetError

GENUINE = Path(__file__).parent / "fiftyone_exports"
"""What FiftyOne 1.22.1 exported, in its two formats, of a dataset of the demo clip and our labels for it."""
DEMO_LABELS = ("adult-walking", "adult-none", "cat-none")


def field(kind: str, *labels: str) -> dict[str, Any]:
    if kind in ("Classification", "TemporalDetection"):
        return {"_cls": kind, "label": labels[0], "support": [1, 5]}
    items = [{"_cls": kind.removesuffix("s"), "label": label} for label in labels]
    return {"_cls": kind, "classifications" if kind == "Classifications" else "detections": items}


def write_samples(folder: Path, *samples: dict[str, Any]) -> Path:
    (folder / "metadata.json").write_text("{}")
    (folder / "samples.json").write_text(json.dumps({"samples": [{"filepath": "b.mp4", **one} for one in samples]}))
    return folder


@pytest.mark.parametrize("name", ["dataset", "video_labels"])
def test_what_fiftyone_itself_has_exported_is_read(tmp_path, name):
    shutil.copytree(GENUINE / name, tmp_path / name)
    for clip in ("demo.mp4", "data/demo.mp4"):
        (tmp_path / name / clip).parent.mkdir(exist_ok=True)
        (tmp_path / name / clip).write_text("")
    split = {"dataset": "todo", "video_labels": "train"}[name]
    assert split_names(tmp_path / name) == (split,)
    assert labels_of(tmp_path / name, split) == {"demo.mp4": DEMO_LABELS}


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        (
            {"predictions": field("Classifications", "dog-none"), "ground_truth": field("Classification", "cat-none")},
            "cat-none",
        ),
        (
            {"guess": field("Classifications", "dog-none"), "labels": field("TemporalDetections", "cat-none")},
            "cat-none",
        ),
        ({"actions": field("TemporalDetection", "cat-none"), "other": {"_cls": "Keypoints"}}, "cat-none"),
        ({"labels": {"_cls": "Classifications", "classifications": []}, "x": field("Classification", "dog-none")}, ""),
        ({"labels": None, "sha256": "c"}, ""),
    ],
    ids=["ground truth", "labels", "the only field", "empty", "no field"],
)
def test_fiftyone_fields(named_clips, fields, expected):
    assert labels_of(write_samples(named_clips, fields)) == {"b.mp4": tuple(filter(None, [expected]))}


def test_fiftyone_tags_are_splits(named_clips):
    data = write_samples(
        named_clips,
        {"tags": ["Validation", "night"]},
        {"filepath": str(named_clips / "a b.mp4")},
        {"filepath": "demo.mp4", "tags": ["todo"]},
    )
    assert split_names(data) == ("val", "train", "todo")
    assert labels_of(data, "val") == {"b.mp4": ()}
    assert [sample.where for sample in samples_of(data)] == [f"{data / 'samples.json'}: sample 2"]


@pytest.mark.parametrize(
    ("samples", "message"),
    [
        (
            [{"a": field("Classification", "dog-none"), "b": field("Classification", "cat-none")}],
            r"sample 1: several fields have labels \(a, b\); name the true ones 'ground_truth'",
        ),
        ([{"labels": field("Classification", "dgo-none")}], r"samples\.json: sample 1: unknown label 'dgo-none'"),
        ([{"tags": ["train", "test"]}], "sample 1: it has the tags of several splits: test, train"),
        ([{}, {}], r"sample 2: .*b\.mp4 is listed twice"),
        ([{"filepath": 3}], r"sample 1: not a sample of videos \(Expected `str`"),
        ([], "there is no sample"),
    ],
    ids=["fields", "label", "splits", "twice", "type", "empty"],
)
def test_mistakes_in_fiftyone_datasets_are_named(named_clips, samples, message):
    with pytest.raises(DatasetError, match=message):
        samples_of(write_samples(named_clips, *samples))


def test_mistakes_in_video_labels_are_named(tmp_path):
    shutil.copytree(GENUINE / "video_labels", tmp_path / "x")
    (tmp_path / "x" / "data").mkdir()
    (tmp_path / "x" / "data" / "demo.mp4").write_text("")
    labels = tmp_path / "x" / "labels" / "demo.json"
    labels.write_text(labels.read_text().replace("cat-none", "cta-none"))
    with pytest.raises(DatasetError, match=rf"{re.escape(str(labels))}: unknown label 'cta-none'"):
        samples_of(tmp_path / "x")
    labels.write_text('{"events": 3}')
    with pytest.raises(DatasetError, match=r"demo\.json: not labels of a video \(Expected `object \| null`"):
        samples_of(tmp_path / "x")
    labels.unlink()
    with pytest.raises(DatasetError, match=r"manifest\.json: sample 1: no such file: .*demo\.json"):
        samples_of(tmp_path / "x")


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        ({"frames": {"1": {"objects": {"objects": [{"label": "dog-none"}]}}, "2": {}}}, ("dog-none",)),
        (
            {
                "attrs": {"attrs": [{"type": "x", "name": "action", "value": "cat-none"}]},
                "frames": {"1": {"objects": {"objects": [{"label": "dog-none"}]}}},
            },
            ("cat-none",),
        ),
        ({}, ()),
    ],
    ids=["objects", "attributes", "nothing"],
)
def test_video_labels_of_each_kind(named_clips, labels, expected):
    (named_clips / "labels.json").write_text(json.dumps(labels))
    manifest = {"type": "eta.core.datasets.LabeledVideoDataset", "index": [{"data": "b.mp4", "labels": "labels.json"}]}
    (named_clips / "manifest.json").write_text(json.dumps(manifest))
    assert labels_of(named_clips) == {"b.mp4": expected}


def test_the_manifest_of_another_tool_is_no_data_set(named_clips):
    (named_clips / "manifest.json").write_text('{"name": "app", "icons": []}')
    with pytest.raises(DatasetError, match="no labelled data found"):
        split_names(named_clips)
    (named_clips / "clips.csv").write_text("file,labels,split\nb.mp4,dog-none,train\n")
    assert labels_of(named_clips) == {"b.mp4": ("dog-none",)}, "a list of clips counts before other files"
