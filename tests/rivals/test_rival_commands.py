"""`train-rival`, and `score-split` and `tag` with `--system`: rows and reports of the same form as the pipeline's."""

import csv
import json
import shutil

import pytest
from fake_a2d import write_release
from tiny_rivals import TINY_BACKBONE, write_clips

from pipeline.__main__ import main
from pipeline.commands import console
from pipeline.known_systems import system_file
from pipeline.results import COLUMNS, ClipResult
from rivals.files import read_system_header

TINY = ["--backbone", TINY_BACKBONE, "--weights", "random", "--size", "64", "--device", "cpu"]


@pytest.fixture(scope="module")
def data(tmp_path_factory, taxonomy):
    """Sixteen clips to train on; copies of two are the split `test`, with one that is no video."""
    folder = tmp_path_factory.mktemp("clips")
    path = write_clips(folder, taxonomy)
    lines = path.read_text().splitlines()
    (folder / "broken.mp4").write_bytes(b"no video")
    for name in ("clip-00", "clip-01"):
        shutil.copytree(folder / name, folder / f"again-{name}")
    others = [f"again-{line.replace('train', 'test')}" for line in lines[1:3]] + ["broken.mp4,dog-eating,test"]
    path.write_text("\n".join([*lines, *others]) + "\n")
    return path


@pytest.fixture(scope="module")
def trained(data, tmp_path_factory):
    """The file of a system that has memorised the clips."""
    path = tmp_path_factory.mktemp("trained") / "pcd.safetensors"
    learn = ["--epochs", "80", "--learning-rate", "5e-3", "--training-batch-size", "8", "--held-out", "test"]
    command = ["train-rival", "--system", "pcd_sigmoid", "--data", str(data), "--out", str(path), *TINY, *learn]
    assert main(command) == console.SOME_FAILED  # the clip that is no video
    return path


def test_training_writes_what_was_used_and_what_came_of_it(trained, taxonomy):
    header = read_system_header(trained)
    assert header.system == "pcd_sigmoid"
    assert header.labels == taxonomy.label_names
    assert header.weights == {"trunk": "random"}
    assert header.recipe["phases"][0]["epochs"] == 80
    assert header.data["samples"] == header.data["clips"] == 16
    assert header.scores["train"]["samples"] == 16
    assert header.scores["test"]["samples"] == 3
    low, high = header.scores["test"]["f1_interval"]
    assert 0 <= low <= header.scores["test"]["f1"] <= high <= 1
    work = trained.with_suffix(".training")
    assert [path.name for path in work.iterdir()] == ["epochs.jsonl"]
    lines = [json.loads(line) for line in (work / "epochs.jsonl").read_text().splitlines()]
    assert [line["epoch"] for line in lines] == list(range(1, 81))
    assert lines[-1]["loss"] < lines[0]["loss"]


def test_the_same_command_gives_the_same_file(data, tmp_path, capsys):
    files = [tmp_path / name for name in ("a.safetensors", "b.safetensors")]
    for file in files:
        command = ["train-rival", "--system", "apcd_resnet", "--data", str(data), "--out", str(file), "--epochs", "1"]
        assert main([*command, "--held-out", "test", *TINY]) == console.SOME_FAILED
    assert files[0].read_bytes() == files[1].read_bytes()
    shown = capsys.readouterr()
    assert "training apcd_resnet, recipe small: timm:test_resnet at 64 pixels, weights random, 1 epochs" in shown.err
    assert "published on A2D: F1 58.9" in shown.out


def test_a_split_is_scored_as_the_pipelines_is(trained, data, tmp_path, capsys):
    scored = tmp_path / "scores"
    command = ["score-split", "--data", str(data), "--system", str(trained), "--out", str(scored), "--device", "cpu"]
    assert main(command) == console.SOME_FAILED
    report = json.loads((scored / "scores.json").read_text())
    assert report["system"] == "pcd_sigmoid"
    assert next(iter(report["systems"])) == "pcd_sigmoid"
    assert report["weights"]["detector"] == ""
    assert list(report["weights"]["heads"]) == ["pcd_sigmoid"]
    found = report["systems"]["pcd_sigmoid"]["sample_averaged"]
    assert found["f1"] == pytest.approx(read_system_header(trained).scores["test"]["f1"])
    assert found["f1"] > 0.6  # both clips that can be read are right
    assert len(report["failures"]) == 1
    assert "broken.mp4" in report["failures"][0]
    assert "pcd_sigmoid" in capsys.readouterr().out


def test_labelled_frames_are_scored_too(trained, tmp_path):
    data = write_release(tmp_path / "a2d")
    command = ["score-split", "--data", str(data), "--system", str(trained), "--out", str(tmp_path), "--device", "cpu"]
    assert main(command) == console.DONE
    report = json.loads((tmp_path / "scores.json").read_text())
    assert report["level"] == "frame"
    assert report["samples"] == 2


def test_clips_are_tagged_with_rows_of_the_same_form(trained, data, tmp_path, capsys, taxonomy):
    clips = [str(data.parent / "clip-00"), str(data.parent / "broken.mp4")]
    command = ["tag", "--video", *clips, "--system", str(trained), "--device", "cpu"]
    out = [
        "--out",
        str(tmp_path / "out"),
        "--report",
        str(tmp_path / "report.html"),
        "--queue",
        str(tmp_path / "q.csv"),
    ]
    assert main([*command, *out, "--json"]) == console.SOME_FAILED
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    good, bad = rows
    assert list(good) == ["schema", *COLUMNS]
    assert good["actors"] == {}
    assert list(good["scores"]) == list(taxonomy.label_names)
    with data.open() as file:
        expected = next(row["labels"].split() for row in csv.DictReader(file) if row["file"] == "clip-00")
    assert sorted(label["label"] for label in good["labels"]) == sorted(expected)
    assert all(label["segments"] for label in good["labels"])
    assert bad["status"] == "error"
    assert "broken.mp4" in bad["error"]
    stored = [ClipResult.from_dict(json.loads(line)) for line in (tmp_path / "out/results.jsonl").open()]
    assert [json.loads(json.dumps(result.to_dict())) for result in stored] == rows
    page = (tmp_path / "report.html").read_text()
    assert expected[0] in page
    for text in ("no actor is present", "Which actors are there", "earest gate", "detector ", "the gate"):
        assert text not in page  # there are no gates
    actors = {taxonomy.label(label).actor for label in expected}
    assert f'data-actors="{" ".join(name for name in taxonomy.actor_names if name in actors)}"' in page
    assert "clip-00" in (tmp_path / "q.csv").read_text()


def test_a_clip_is_described_in_words(trained, data, capsys):
    command = ["tag", "--video", str(data.parent / "clip-01"), "--system", str(trained), "--device", "cpu"]
    assert main(command) == console.DONE
    shown = capsys.readouterr()
    assert "who does what: " in shown.out
    assert "gate" not in shown.out
    assert f"using pcd_sigmoid {trained}" in shown.err


def test_a_name_is_looked_for_where_training_writes(trained, data, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    command = ["tag", "--video", str(data.parent / "clip-00"), "--system", "pcd_sigmoid", "--device", "cpu"]
    assert main(command) == console.WRONG_USAGE
    assert "train it with actor-action train-rival --system pcd_sigmoid" in capsys.readouterr().err
    system_file("pcd_sigmoid").parent.mkdir(parents=True)
    system_file("pcd_sigmoid").write_bytes(trained.read_bytes())
    assert main(command) == console.DONE


WRONG = {
    "annotate": (["--annotate", "copies"], "--annotate needs the boxes or gates of the two stages"),
    "published": (["--published"], "--published needs the boxes or gates of the two stages"),
    "until-sure": (["--until-sure", "0.01"], "--until-sure is a setting of the two stages: leave it out with --system"),
    "detector": (["--detector", "yolo26n"], "--detector is a setting of the two stages: leave it out with --system"),
    "label-threshold": (["--label-threshold", "0.9"], "--label-threshold is a setting of the two stages"),
    "unknown": (["--system", "pcd_sigmod"], "no such file, nor a system; did you mean 'pcd_sigmoid'"),
}


@pytest.mark.parametrize(("options", "message"), WRONG.values(), ids=WRONG)
def test_wrong_options_get_one_line(trained, data, capsys, options, message):
    command = ["tag", "--video", str(data.parent / "clip-00"), "--system", str(trained), "--device", "cpu", *options]
    assert main(command) == console.WRONG_USAGE
    assert message in capsys.readouterr().err


def test_a_file_of_another_kind_or_other_labels_is_refused(trained, data, tmp_path, capsys):
    from common.paths import MODELS

    command = ["tag", "--video", str(data.parent / "clip-00"), "--device", "cpu", "--system"]
    assert main([*command, str(MODELS / "trunk_efficientnet_lite0.safetensors")]) == console.WRONG_USAGE
    assert "format 'actor-action-trunk/2' was found, 'actor-action-rival/1' was expected" in capsys.readouterr().err
    taxonomy = tmp_path / "two.yaml"
    taxonomy.write_text(
        "name: two\nactions: {walking: 8, none: 9}\n"
        "actors:\n  dog: {detector_classes: [dog], kinds: {dog: {id: 7, actions: [walking, none]}}}\n"
    )
    assert main([*command, str(trained), "--taxonomy", str(taxonomy)]) == console.WRONG_USAGE
    assert "are not those of the taxonomy 'two': 43 were found, 2 expected" in capsys.readouterr().err
