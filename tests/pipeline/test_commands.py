"""The commands as a user meets them: what they print, what they write, and one clear line for every mistake."""

import csv
import hashlib
import json
import shutil
import subprocess
import sys
from collections import Counter
from queue import SimpleQueue
from threading import Thread
from urllib.parse import unquote

import numpy as np
import pytest
from fake_a2d import write_clips_csv

from action_heads.checkpoint import head_path, read_manifest
from actor_detector.yolo import YoloActorDetector
from common.paths import PROJECT
from pipeline.__main__ import main
from pipeline.commands import console, retrain_head
from pipeline.known_detectors import EMBEDDED_FILE
from pipeline.known_heads import KNOWN_HEADS
from pipeline.supervision import process
from pipeline.supervision.worker import Worker
from thresholds.gates import PAPER_GATES_FILE, load_gates


@pytest.fixture
def clips_csv(people_and_cat_clip, cat_clip, people_clip, tmp_path):
    """A CSV of three clips."""
    rows = [
        (people_and_cat_clip, "adult-walking cat-walking", "train"),
        (people_clip, "adult-walking", "train"),
        (cat_clip, "cat-none", "test"),
    ]
    path = tmp_path / "clips.csv"
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["file", "labels", "split"])
        writer.writerows(rows)
    return path


def test_tag_prints_a_table(stages, people_and_cat_clip, capsys):
    assert main(["tag", "--video", str(people_and_cat_clip), *stages]) == console.DONE
    out, err = capsys.readouterr()
    assert "who does what: " in out
    assert "present (+90.0)" in out
    assert "using detector" in err


def test_tag_continues_after_an_unreadable_clip_and_reports_it(stages, people_clip, cat_clip, tmp_path, capsys):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.mp4").symlink_to(people_clip)
    (tmp_path / "in" / "b.mp4").write_text("no video")
    (tmp_path / "in" / "c.mp4").symlink_to(people_clip)
    command = ["tag", "--video", str(tmp_path / "in"), "--out", str(tmp_path / "out"), "--json", *stages]
    assert main(command) == console.SOME_FAILED
    out, err = capsys.readouterr()
    printed = [json.loads(line) for line in out.splitlines()]
    assert [row["status"] for row in printed] == ["ok", "error", "ok"]
    assert "of 3 clips, 1 could not be read and 0 are truncated" in err
    written = [json.loads(line) for line in (tmp_path / "out" / "results.jsonl").read_text().splitlines()]
    assert written == printed
    assert len((tmp_path / "out" / "results.csv").read_text().splitlines()) == 4
    assert main(command) == console.SOME_FAILED
    again = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert again[0] == printed[0], "a finished clip's row is reused, with its timing"
    (tmp_path / "in" / "a.mp4").unlink()
    (tmp_path / "in" / "a.mp4").symlink_to(cat_clip)
    assert main(command) == console.SOME_FAILED
    third = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert third[0]["sha256"] != printed[0]["sha256"], "a clip that has changed is tagged again"
    assert [name for name, actor in third[0]["actors"].items() if actor["present"]] == ["cat"]
    written = [json.loads(line) for line in (tmp_path / "out" / "results.jsonl").read_text().splitlines()]
    assert [row["sha256"] for row in written] == [row["sha256"] for row in third], "and has one row"


def test_tune_thresholds_prints_the_comparison_and_writes_gates(clips_csv, cache, tmp_path, capsys):
    out = tmp_path / "gates.yaml"
    command = ["tune-thresholds", "--data", str(clips_csv), "--out", str(out), "--cache", str(cache), "--seed", "3"]
    assert main([*command, "--explore", str(tmp_path / "explore.html")]) == console.DONE
    printed, warnings = capsys.readouterr()
    page = (tmp_path / "explore.html").read_text()
    data = json.loads(page.partition('<script type="application/json" id="data">')[2].partition("</script>")[0])
    (point,) = data["points"]
    assert point["gates"] == load_gates(out).values.tolist()
    assert np.array(point["ratios"]).shape == np.array(point["truth"]).shape == (6, 2)
    assert [(tmp_path / unquote(link)).is_file() for link in point["links"]] == [True, True]
    assert {"uniform 0.15", "published", "spso2011 −P"} <= {mark["name"] for mark in data["marks"]}
    for name in ("uniform 0.15", "spso2011 −P", "spso2011 −P·R·F1", "spso2011 −F1", "exact −P·R·F1, no bounds"):
        assert name in printed
    gates = load_gates(out)
    assert (gates.clips, gates.split, gates.seed, gates.data) == (2, "train", 3, "clips.csv")
    assert gates.sha256 in printed
    tuned = {
        name: value for name, value in zip(gates.actors, gates.values, strict=True) if name not in gates.kept.reasons
    }
    assert set(tuned) == {"cat"}
    assert 0.01 <= tuned["cat"] <= 0.5
    on_bound = {actor for actor, value in tuned.items() if value in (0.01, 0.5)}
    assert {line.split()[4] for line in warnings.splitlines() if "lies on its bound" in line} == on_bound
    before = out.read_bytes()
    assert main(command) == console.DONE
    assert out.read_bytes() == before, "the same seed gives the same file"


@pytest.fixture
def stage_1(cache):
    """Arguments of the commands that run the detector alone."""
    return ["--cache", str(cache), "--device", "cpu"]


@pytest.mark.parametrize("tune", ["classifier", "norms"])
def test_retrain_head_changes_one_head_and_shows_it(clips_csv, heads, tmp_path, capsys, stage_1, tune):
    folder = tmp_path / "heads"
    folder.mkdir()
    for actor in ("person", "cat"):
        head_path(folder, actor).write_bytes(head_path(heads, actor).read_bytes())
    before = {path.name: path.read_bytes() for path in folder.glob("*.safetensors")}
    command = ["--actor", "cat", "--data", str(clips_csv), "--out", str(folder), "--look-every", "1", *stage_1]
    if tune == "norms":
        command += ["--tune", "norms", "--trunk", "random", "--epochs", "1"]
    assert main(["retrain-head", *command]) == console.DONE
    printed, err = capsys.readouterr()
    assert ("expect low scores" in err) == (tune == "norms")
    assert f"tuning {tune}" in err
    written = {path.name for path in folder.iterdir()}
    assert written == {"cat.safetensors", "person.safetensors"} | ({"cat.jsonl"} if tune == "norms" else set())
    assert head_path(folder, "person").read_bytes() == before["person.safetensors"]
    assert head_path(folder, "cat").read_bytes() != before["cat.safetensors"]
    changes = {
        line.split()[0]: line.split()[-1] for line in printed.splitlines() if line.startswith(("cat ", "person "))
    }
    assert changes == {"person": "same", "cat": "changed"}
    if tune == "norms":
        (epoch,) = [json.loads(line) for line in (folder / "cat.jsonl").read_text().splitlines()]
        assert epoch["epoch"] == 1
    manifest = read_manifest(head_path(folder, "cat"))
    input_kind = retrain_head.INPUT if tune == "classifier" else retrain_head.PLAIN_INPUT
    assert (manifest.backbone, manifest.tuned, manifest.input) == ("efficientnet_lite0", tune, input_kind)
    assert manifest.data["images"] == 2


def test_a_head_trained_on_cached_features_is_the_same_and_small(clips_csv, tmp_path, stage_1):
    command = ["retrain-head", "--actor", "cat", "--data", str(clips_csv), *stage_1]
    for folder in ("first", "second"):
        assert main([*command, "--out", str(tmp_path / folder)]) == console.DONE
    first, second = (head_path(tmp_path / folder, "cat").read_bytes() for folder in ("first", "second"))
    assert first == second
    assert len(first) < 80_000


def test_a_folder_with_one_head_is_completed_with_the_embedded_heads(stages, heads, cat_clip, tmp_path, capsys):
    (tmp_path / "mine").mkdir()
    shutil.copy(head_path(heads, "cat"), tmp_path / "mine")
    command = ["tag", "--video", str(cat_clip), *stages, "--heads", str(tmp_path / "mine")]
    assert main(command) == console.DONE
    assert f"heads: cat from {tmp_path / 'mine'}, the other 5 embedded" in capsys.readouterr().err


def test_shipped_heads_are_selected_by_their_backbone(cat_clip, tmp_path, capsys):
    labels = {}
    for name, folder in KNOWN_HEADS.items():
        command = ["tag", "--video", str(cat_clip), "--heads", name, "--json", "--cache", str(tmp_path / "cache")]
        assert main(command) == console.DONE
        printed = capsys.readouterr()
        assert f"{folder} (" in printed.err
        labels[name] = {label["label"]: label["score"] for label in json.loads(printed.out)["labels"]}
        assert {read_manifest(path).backbone for path in folder.glob("*.safetensors")} == {name}
        assert len(list(folder.glob("*.safetensors"))) == 6
    assert all(label.startswith("cat-") for found in labels.values() for label in found)
    assert len({max(found.values()) for found in labels.values()}) == len(KNOWN_HEADS)
    with pytest.raises(SystemExit):
        main(["tag", "--video", str(cat_clip), "--heads", "resnet5"])
    assert "'resnet5' is no folder, and none of the shipped heads: efficientnet_lite0" in capsys.readouterr().err


def test_the_published_recipe_implies_the_published_network(clips_csv, tmp_path, capsys, stage_1):
    command = ["--actor", "cat", "--data", str(clips_csv), "--out", str(tmp_path), *stage_1, "--look-every", "2"]
    command += ["--recipe", "paper", "--trunk", "random", "--epochs", "1"]
    assert main(["retrain-head", *command]) == console.DONE
    assert "resnet34, input frame, tuning all, recipe paper" in capsys.readouterr().err
    manifest = read_manifest(head_path(tmp_path, "cat"))
    assert (manifest.backbone, manifest.tuned, manifest.input) == ("resnet34", "all", "frame")
    assert head_path(tmp_path, "cat").stat().st_size < 43_000_000, "convolutions in half precision"


def test_score_split_prints_tables_and_writes_them(clips_csv, stages, tmp_path, capsys):
    out = tmp_path / "scores"
    assert main(["score-split", "--data", str(clips_csv), "--out", str(out), *stages]) == console.DONE
    printed = capsys.readouterr().out
    for name in ("pipeline", "all labels", "true actors, each one's commonest action", "always "):
        assert name in printed
    scores = json.loads((out / "scores.json").read_text())
    assert (scores["split"], scores["samples"], scores["level"]) == ("test", 1, "clip")
    assert scores["baseline_split"] == "train"
    assert "always adult-walking" in scores["systems"], "the most common label of the training split"
    assert (out / "scores.txt").read_text() == printed


WRONG_TAGGING = [
    pytest.param(["--video", "{tmp}"], "a folder without videos", id="a folder without videos"),
    pytest.param(["--video", "@{tmp}/no.txt"], "no.txt", id="no such list"),
    pytest.param(["--video", "{tmp}/*.mp4"], "mp4", id="a glob that matches nothing"),
    pytest.param(["--video", "a.mp4", "--detector", "no.pt"], "detector 'no.pt': no such file", id="no detector"),
    pytest.param(["--video", "a.mp4", "--heads", "{tmp}"], "no head for person, ball", id="no heads"),
    pytest.param(["--video", "a.mp4", "--thresholds", "no.yaml"], "no.yaml: no such file", id="no gates"),
    pytest.param(["--video", "a.mp4", "--thresholds", str(PAPER_GATES_FILE)], "made for", id="gates of another"),
    pytest.param(["--video", "a.mp4", "--imgsz", "224"], "made for", id="gates of other settings"),
    pytest.param(["--video", "a.mp4", "--taxonomy", "no.yaml"], "no.yaml: no such file", id="no taxonomy"),
    pytest.param(["--video", "a.mp4", "--device", "tpu"], "device 'tpu' was given", id="no such device"),
]


def assert_one_line(code: int, err: str, message: str) -> None:
    lines = [line for line in err.splitlines() if not line.startswith("using ")]
    assert code == console.WRONG_USAGE
    assert len(lines) == 1, err
    assert lines[0].startswith("error: ")
    assert message in lines[0]


@pytest.mark.parametrize(("arguments", "message"), WRONG_TAGGING)
def test_wrong_use_of_tag_is_one_clear_line(stages, tmp_path, capsys, arguments, message):
    given = [argument.replace("{tmp}", str(tmp_path)) for argument in arguments]
    code = main(["tag", *stages, *given])
    assert_one_line(code, capsys.readouterr().err, message)


CSV_HEAD = "file,labels,split\n"
WRONG_DATA = [
    pytest.param("", "clips.csv", id="an empty file"),
    pytest.param(CSV_HEAD, "no row below the header", id="no rows"),
    pytest.param(CSV_HEAD + "{cat},cat-flying,train\n", "clips.csv:2: unknown label 'cat-flying'", id="unknown label"),
    pytest.param(CSV_HEAD + "no.mp4,cat-none,train\n", "clips.csv:2", id="missing file"),
    pytest.param(CSV_HEAD + "{cat},cat-none,test\n", "'train'", id="an empty split"),
    pytest.param("file,label,split\n{cat},cat-none,train\n", "labels", id="missing column"),
]


@pytest.mark.parametrize(("content", "message"), WRONG_DATA)
@pytest.mark.parametrize("command", ["retrain-head", "tune-thresholds"])
def test_wrong_data_is_one_clear_line(cat_clip, tmp_path, capsys, command, content, message):
    path = tmp_path / "clips.csv"
    path.write_text(content.replace("{cat}", str(cat_clip)))
    arguments = ["--actor", "cat"] if command == "retrain-head" else ["--no-cache"]
    code = main([command, "--data", str(path), "--out", str(tmp_path / "out"), *arguments])
    assert_one_line(code, without_plan(capsys.readouterr().err), message)


def without_plan(err: str) -> str:
    """Remove the line in which `retrain-head` describes what it is about to do."""
    return "\n".join(line for line in err.splitlines() if not line.startswith("training "))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (["--actor", "dgo"], "unknown actor 'dgo'; did you mean 'dog'"),
        (["--actor", "car"], "no sample of split 'train' shows the actor 'car'"),
        (["--recipe", "papr"], "unknown recipe 'papr'; did you mean 'paper'"),
        (["--trunk", "no.pth"], "trunk 'no.pth': no such file"),
        (["--backbone", "resnet43"], "unknown backbone 'resnet43'; did you mean 'resnet34'"),
        (["--split", "tarin"], "'tarin'"),
        (["--held-out", "tset"], "cannot hold out split 'tset'"),
        (["--held-out", "train"], "cannot hold out split 'train'"),
        (["--learning-rate", "-1"], "learning rate -1.0 was given"),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
def test_wrong_use_of_retrain_head_is_one_clear_line(tmp_path, capsys, change, message):
    data = write_clips_csv(tmp_path)
    command = ["retrain-head", "--actor", "dog", "--data", str(data), "--out", str(tmp_path / "heads"), *change]
    assert_one_line(main(command), without_plan(capsys.readouterr().err), message)
    assert not list(tmp_path.rglob("*.safetensors"))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--bounds", "0.4", "0.1"], "bounds 0.4 0.1 were given"),
        (["--bounds", "0.1", "1.5"], "1.5 was given, 0 to 1 is allowed"),
        (["--particles", "0"], "0 was given, a whole number from 1 is allowed"),
        (["--seed", "-1"], "-1 was given"),
        (["--conf", "2"], "2 was given, 0 to 1 is allowed"),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
def test_numbers_out_of_range_are_refused_before_any_work(tmp_path, capsys, arguments, message):
    command = ["--data", str(write_clips_csv(tmp_path)), "--out", str(tmp_path / "g.yaml"), *arguments]
    try:
        code = main(["tune-thresholds", *command])
    except SystemExit as end:  # argparse reports it
        code = int(str(end.code))
    assert code == console.WRONG_USAGE
    assert message in capsys.readouterr().err


def test_a_detector_without_tuned_gates_needs_a_gate_file(tmp_path, capsys):
    other = tmp_path / "actor_detector.safetensors"
    other.write_bytes(EMBEDDED_FILE.read_bytes() + b"changed")
    code = main(["tag", "--video", "a.mp4", "--detector", str(other), "--device", "cpu"])
    assert_one_line(
        code,
        capsys.readouterr().err,
        "actor_detector.safetensors': name a gate file with --thresholds, or tune gates with",
    )


def test_help_states_the_defaults_of_each_detector(capsys):
    with pytest.raises(SystemExit):
        main(["tag", "--help"])
    text = " ".join(capsys.readouterr().out.split())
    assert "default: 320 of the embedded one, 320 of others" in text
    assert "0.4 of the embedded one, 0.3 of others" in text
    assert "embedded: default.yaml, yolo26n: yolo26n.yaml" in text


@pytest.mark.parametrize("arguments", [[], ["--demo", "--video", "a.mp4"]], ids=["neither", "both"])
def test_tag_takes_either_videos_or_the_demo(arguments, capsys):
    with pytest.raises(SystemExit) as end:
        main(["tag", *arguments])
    assert end.value.code == console.WRONG_USAGE
    assert "--demo" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["tag", "tune-thresholds", "retrain-head", "score-split"])
def test_an_output_that_cannot_be_written_is_reported_before_the_work(
    stages, clips_csv, people_clip, tmp_path, capsys, monkeypatch, command
):
    def submit(*arguments):
        pytest.fail("a frame was processed")

    monkeypatch.setattr(YoloActorDetector, "submit", submit)
    file = tmp_path / "file"
    file.write_text("")
    data = ["--data", str(clips_csv)]
    arguments = {
        "tag": ["--video", str(people_clip), "--out", str(file), *stages, "--no-cache"],
        "tune-thresholds": [*data, "--out", str(file / "gates.yaml"), "--no-cache"],
        "retrain-head": [*data, "--actor", "cat", "--out", str(file), "--no-cache"],
        "score-split": [*data, "--out", str(file), *stages, "--no-cache"],
    }[command]
    assert_one_line(main([command, *arguments]), capsys.readouterr().err, str(file))


def test_an_interrupt_ends_without_a_traceback(capsys):
    def interrupted():
        raise KeyboardInterrupt

    assert console.run_guarded(interrupted) == console.INTERRUPTED
    assert capsys.readouterr().err == "interrupted; everything written so far is complete\n"


def test_a_closed_pipe_ends_without_a_traceback(stages, people_clip):
    """`actor-action tag … | head` ends with the exit code of a closed pipe, as other programs do."""
    command = [sys.executable, "run_pipeline.py", "--video", str(people_clip), "--json", *stages]
    process = subprocess.Popen(command, cwd=PROJECT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()
    error = process.stderr.read()
    assert process.wait() == console.BROKEN_PIPE
    assert "Traceback" not in error
    assert "Exception" not in error


class InThisProcess:
    """The worker of a run in a thread of this process, so that its networks can be observed."""

    def __init__(self, setup):
        self.setup = setup
        self.messages = SimpleQueue()
        self.worker = Worker(self.messages.put)
        Thread(target=self.worker.run, args=(setup,), daemon=True).start()

    def send(self, task):
        self.worker.tasks.put(task)

    def receive(self, timeout_seconds):
        return self.messages.get(timeout=timeout_seconds)

    def kill(self):
        self.worker.tasks.put(None)


@pytest.fixture
def submitted(monkeypatch):
    """How often the network was given each of its inputs, by runs whose worker is in this process."""
    counts = Counter[str]()
    submit = YoloActorDetector.submit

    def spy(self, inputs, letterbox):
        counts.update(hashlib.sha256(image).hexdigest() for image in inputs)
        return submit(self, inputs, letterbox)

    monkeypatch.setattr(YoloActorDetector, "submit", spy)
    monkeypatch.setattr(process, "WorkerProcess", InThisProcess)
    return counts


@pytest.mark.parametrize("is_cached", [True, False], ids=["cache", "no cache"])
def test_annotate_writes_a_copy_of_every_readable_clip_and_detects_nothing_twice(
    stages, people_clip, cat_clip, tmp_path, capsys, submitted, is_cached
):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.mp4").symlink_to(people_clip)
    (tmp_path / "in" / "b.mp4").write_text("no video")
    (tmp_path / "in" / "c.mp4").symlink_to(cat_clip)
    copies = tmp_path / "annotated"
    stages = [*stages, *(["--cache", str(tmp_path / "cache")] if is_cached else ["--no-cache"])]
    command = ["tag", "--video", str(tmp_path / "in"), "--annotate", str(copies), "--json", *stages]

    def run(*more: str) -> None:
        assert main([*command, *more]) == console.SOME_FAILED
        capsys.readouterr()
        assert sorted(path.name for path in copies.iterdir()) == ["a.annotated.mp4", "c.annotated.mp4"]
        for path in copies.iterdir():
            path.unlink()

    run()
    assert len(submitted) == 16, "all frames of both clips, which differ from each other"
    assert set(submitted.values()) == {1}, "a frame was detected twice"
    if is_cached:
        for _ in range(2):  # the second run reuses the results of the first
            run("--out", str(tmp_path / "out"))
        assert submitted.total() == 16, "a frame was detected although its clip is cached"
