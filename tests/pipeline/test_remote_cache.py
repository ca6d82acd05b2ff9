"""A cache of detections in a store: what one machine detects, no other detects again."""

import json
import shutil

import boto3
import numpy as np
import pytest
import s3fs
from s3_server import put, serve_s3

from common.remote_files import read_bytes
from common.remote_folders import MAX_FAILURES, RemoteFolder
from pipeline.__main__ import main
from pipeline.commands import console
from pipeline.detection_cache import DetectionCache, file_name

NOWHERE = "http://127.0.0.1:9"
KEY = "0" * 64


@pytest.fixture(scope="module")
def store():
    with serve_s3() as requests:
        yield requests


def stored(prefix):
    """Return the names of the objects whose names begin so."""
    found = boto3.client("s3").list_objects_v2(Bucket="clips", Prefix=prefix)
    return [one["Key"] for one in found.get("Contents", [])]


@pytest.fixture
def tag(people_clip, gates_file, heads, capsys):
    """Tag a clip with a cache; returns its row and what was said."""
    stages = ["--thresholds", str(gates_file), "--heads", str(heads), "--look-every", "1", "--device", "cpu"]

    def run(cache, *options):
        assert main(["tag", "--video", str(people_clip), *stages, "--json", "--cache", cache, *options]) == console.DONE
        printed = capsys.readouterr()
        row = json.loads(printed.out)
        row.pop("timing")
        return row, printed.err

    return run


def test_a_clip_is_detected_once_for_all_machines(store, tag, tmp_path):
    here, _ = tag(str(tmp_path / "here"))
    first, _ = tag("s3://clips/once/")
    assert first == here
    entries = stored("once/")
    assert entries
    assert all(not name.startswith("once//") for name in entries)
    store.lines.clear()
    again, _ = tag("s3://clips/once")
    assert again == here
    assert not [line for line in store.lines if line.startswith("PUT")]
    assert stored("once/") == entries
    assert [line for line in store.lines if line.startswith("GET")]


def test_what_is_there_is_what_decides(store, tag, tmp_path):
    tag("s3://clips/decides")
    names = stored("decides/")
    for name in names:  # as if another machine had detected nothing
        if name.endswith(".npz"):
            key = name.rpartition("/")[2].removesuffix(".npz")
            folder = tmp_path / "entries"
            entry = DetectionCache(RemoteFolder("s3://clips/decides")).load(key)
            if entry is not None:
                DetectionCache(folder).save(key, entry.take_boxes(np.zeros(len(entry.boxes), bool)))
                put(name, (folder / file_name(key)).read_bytes())
    row, _ = tag("s3://clips/decides")
    assert all(actor["presence"] == 0 for actor in row["actors"].values())


def test_workers_share_it(store, people_clip, cat_clip, gates_file, heads, tmp_path, capsys):
    data = tmp_path / "clips.csv"
    for name, clip in (("people", people_clip), ("cat", cat_clip)):
        shutil.copy(clip, tmp_path / f"{name}.mp4")
    data.write_text("file,labels,split\npeople.mp4,adult-walking,train\ncat.mp4,cat-none,train\n")
    command = ["score-split", "--data", str(data), "--split", "train", "--thresholds", str(gates_file)]
    command += ["--heads", str(heads), "--device", "cpu", "--look-every", "1"]
    assert main([*command, "--no-cache", "--out", str(tmp_path / "alone")]) == console.DONE
    options = ["--cache", "s3://clips/shared", "--out", str(tmp_path / "shared")]
    assert main([*command, *options, "--workers", "2"]) == console.DONE
    alone, shared = (
        {path.name: path.read_bytes() for path in (tmp_path / out).iterdir()} for out in ("alone", "shared")
    )
    assert alone == shared
    assert len([name for name in stored("shared/") if name.endswith(".npz")]) == 2
    capsys.readouterr()


def test_a_store_that_fails_is_a_warning_and_is_asked_no_more(monkeypatch, caplog):
    s3fs.S3FileSystem.clear_instance_cache()  # those of other tests know another server
    monkeypatch.setenv("AWS_ENDPOINT_URL", NOWHERE)
    cache = DetectionCache(RemoteFolder("s3://nowhere/cache"))
    for _ in range(MAX_FAILURES + 2):
        assert cache.load(KEY) is None
    said = [record.getMessage() for record in caplog.records]
    assert len(said) == MAX_FAILURES
    assert all(line.startswith("detections cannot be cached in s3://nowhere/cache: ") for line in said)
    assert said[-1].endswith("; it is used no more")
    assert not said[0].endswith("; it is used no more")
    s3fs.S3FileSystem.clear_instance_cache()


def test_a_bucket_that_is_missing_costs_nothing_but_the_cache(store, tag, tmp_path, caplog):
    here, _ = tag(str(tmp_path / "here"))
    row, _ = tag("s3://no-such-bucket/cache")
    assert row == here
    assert "cannot be cached in s3://no-such-bucket/cache: no such file, folder or bucket" in caplog.text


def test_a_file_that_is_too_large_counts_as_missing(store):
    put("sizes/file", b"12345")
    assert read_bytes("s3://clips/sizes/file", 5) == b"12345"
    assert read_bytes("s3://clips/sizes/file", 4) is None
    assert read_bytes("s3://clips/sizes/other", 4) is None


@pytest.mark.parametrize(
    ("cache", "message"),
    [
        ("https://example.org/cache", "nothing can be written to a web server; name a bucket"),
        ("s3://", "names no bucket"),
        ("s3:///cache", "names no bucket"),
        ("ftps3://bucket/cache", "are not supported"),
        ("s3://me:secret@bucket/cache", "was given with a password"),
    ],
)
def test_an_address_that_cannot_be_a_cache_is_wrong_usage(cache, message, people_clip, capsys):
    with pytest.raises(SystemExit) as stop:
        main(["tag", "--video", str(people_clip), "--cache", cache])
    assert stop.value.code == console.WRONG_USAGE
    said = capsys.readouterr().err
    assert message in said
    assert "secret" not in said


def test_the_variable_names_a_folder_of_this_machine(people_clip, monkeypatch, capsys):
    monkeypatch.setenv("ACTOR_ACTION_CACHE", "s3://bucket/cache")
    with pytest.raises(SystemExit) as stop:
        main(["tag", "--video", str(people_clip)])
    assert stop.value.code == console.WRONG_USAGE
    assert "ACTOR_ACTION_CACHE: s3://bucket/cache is no folder of this machine" in capsys.readouterr().err


def test_the_doctor_tries_it(store, monkeypatch, tmp_path, capsys):
    main(["doctor", "--cache", "s3://clips/doctor", "--out", str(tmp_path), "--json"])
    facts = json.loads(capsys.readouterr().out)["folders"]["cache"]
    assert facts == {"path": "s3://clips/doctor", "writable": True}
    assert main(["doctor", "--cache", "s3://no-such-bucket/x", "--out", str(tmp_path)]) == console.SOME_FAILED
    assert "the cache folder s3://no-such-bucket/x cannot be used: no such file" in capsys.readouterr().out
