"""Reading what Label Studio exports, and naming what is wrong in it."""

import json
from pathlib import Path
from typing import Any

import pytest
from labelled_exports import TAXONOMY, labels_of, samples_of

from a2d.dataset import read_samples, split_names
from a2d.formats import json_files
from a2d.formats.base import Sample
from a2d.skipped_samples import SkippedSamples
from common.errors import DatasetError


def region(kind: str, *labels: str) -> dict[str, Any]:
    return {"id": "x1", "type": kind, "from_name": "f", "to_name": "v", "value": {kind: list(labels), "ranges": []}}


def annotation(*regions: dict[str, Any], **changes: Any) -> dict[str, Any]:
    return {"id": 7, "completed_by": 1, "result": list(regions), "lead_time": 3.2, **changes}


def task(name: str = "b.mp4", *annotations: dict[str, Any], data: object = None, **changes: Any) -> dict[str, Any]:
    return {"id": 1, "data": data or {"video": name}, "annotations": list(annotations), "predictions": [], **changes}


def write_tasks(folder: Path, *tasks: object) -> Path:
    path = folder / "project-1.json"
    path.write_text(json.dumps(tasks))
    return path


@pytest.mark.parametrize(
    ("annotations", "expected"),
    [
        pytest.param(
            [annotation(region("choices", "dog-running", "cat-none"))], ("cat-none", "dog-running"), id="choices"
        ),
        pytest.param([annotation(region("timelinelabels", "dog-running"))], ("dog-running",), id="segments"),
        pytest.param(
            [annotation(region("labels", "car-none"), region("labels", "car-none"))], ("car-none",), id="boxes"
        ),
        pytest.param(
            [annotation(region("timelinelabels", "dog-running"), region("choices", "dog-none"))],
            ("dog-none",),
            id="choices before segments",
        ),
        pytest.param([annotation()], (), id="nothing is in the clip"),
        pytest.param([annotation({"type": "rating", "value": {"rating": 3}})], (), id="other regions"),
        pytest.param(
            [
                annotation(region("choices", "dog-none"), updated_at="2026-02-01T00:00:00Z"),
                annotation(region("choices", "cat-none"), updated_at="2026-01-01T00:00:00Z"),
                annotation(region("choices", "car-none"), updated_at="2026-03-01T00:00:00Z", was_cancelled=True),
            ],
            ("dog-none",),
            id="the last one that was not cancelled",
        ),
        pytest.param(
            [
                annotation(region("choices", "dog-none"), updated_at="2026-02-01T00:00:00Z"),
                annotation(region("choices", "cat-none"), ground_truth=True),
            ],
            ("cat-none",),
            id="ground truth",
        ),
    ],
)
def test_label_studio_annotations(named_clips, annotations, expected):
    assert labels_of(write_tasks(named_clips, task("b.mp4", *annotations))) == {"b.mp4": expected}


@pytest.mark.parametrize(
    "name",
    [
        "a b.mp4",
        "{named_clips}/a b.mp4",
        "file://{named_clips}/a%20b.mp4",
        "/data/local-files/?d={named_clips}/a%20b.mp4",
        "/data/local-files/?d=a%20b.mp4",
        "/data/upload/3/a%20b.mp4",
        "/data/upload/3/0f3c9a1b-a%20b.mp4",
        "https://example.org/videos/a%20b.mp4?signature=x",
        "s3://bucket/videos/a%20b.mp4",
    ],
)
def test_label_studio_addresses(named_clips, name):
    path = write_tasks(
        named_clips, task(name.format(named_clips=named_clips), annotation(region("choices", "dog-none")))
    )
    assert [sample.clip for sample in samples_of(path)] == [named_clips / "a b.mp4"]


def test_label_studio_splits_and_groups(named_clips):
    done = annotation(region("choices", "dog-none"))
    path = write_tasks(
        named_clips,
        task("x", done, data={"file": "a b.mp4", "split": "Validation", "source": "someone"}),
        task("b.mp4", predictions=[annotation(region("choices", "cat-none")), 12]),
        task("x", done, data={"video": "demo.mp4", "split": "todo"}),
    )
    assert split_names(path) == ("val", "todo", "train")
    assert samples_of(path, "val") == [Sample(named_clips / "a b.mp4", None, ("dog-none",), "val", "someone")]
    assert samples_of(path, "todo") == [Sample(named_clips / "b.mp4", None, ("cat-none",), "todo", "b.mp4")]
    assert labels_of(path, "train") == {"demo.mp4": ("dog-none",)}
    assert [sample.where for sample in samples_of(path, "train")] == [f"{path}: task 3"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        pytest.param(
            [task("b.mp4", annotation(region("choices", "dgo-none")))],
            "json: task 1: unknown label 'dgo-none'; did you mean 'dog-none'",
            id="label",
        ),
        pytest.param([task(), task()], r"json: task 2: .*b\.mp4 is listed twice, before at .*json: task 1", id="twice"),
        pytest.param([task(data={"text": "x"})], r"json: task 1: its data names no clip.*text", id="no clip"),
        pytest.param(
            [{"video": "b.mp4", "labels": "dog-none"}], r"missing required field `data` - at `\$\[0\]`", id="JSON-MIN"
        ),
        pytest.param({"a": 1}, "not the JSON export of a Label Studio project", id="another JSON"),
        pytest.param([], "there is no task", id="empty"),
        pytest.param(
            [task("b.mp4", annotation({"value": {"choices": "dog"}}))],
            r"Expected `array`.*at `\$\[0\]\.annotations",
            id="type",
        ),
    ],
)
def test_mistakes_in_label_studio_are_named(named_clips, content, message):
    path = named_clips / "project.json"
    path.write_text(json.dumps(content))
    with pytest.raises(DatasetError, match=message) as caught:
        samples_of(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "content", [b"", b"[", b"\xff\xfe", b"[" * 100_000, b'[{"data": {"video": "\xff"}}]'], ids=ascii
)
def test_what_is_no_json_is_said(named_clips, content):
    (named_clips / "broken.json").write_bytes(content)
    with pytest.raises(DatasetError, match=r"broken\.json: not the JSON export"):
        split_names(named_clips / "broken.json")


def test_large_json_files_are_refused(named_clips, monkeypatch):
    monkeypatch.setattr(json_files, "MAX_BYTES", 100)
    with pytest.raises(DatasetError, match=r"project-1\.json: not a readable file \(larger than 100 bytes\)"):
        split_names(write_tasks(named_clips, task(), task("a b.mp4")))


def test_a_missing_clip_of_a_task_is_skipped(named_clips):
    done = annotation(region("choices", "dog-none"))
    skipped = SkippedSamples()
    path = write_tasks(named_clips, task("b.mp4", done), task("none.mp4", done))
    assert len(read_samples(path, "train", TAXONOMY, skipped)) == 1
    assert skipped.reasons == [f"{path}: task 2: no such file: {named_clips}/none.mp4"]
