"""`--plots` of the commands that make the numbers: what it writes, what it changes (nothing), and mistakes."""

import csv
import json
import sys

import numpy as np
import photo_clips
import pytest
from fresh_interpreter import loaded_after
from svg_plots import SvgPlot

from action_heads.checkpoint import head_path
from common.files import sha256_file
from pipeline.__main__ import main
from pipeline.commands import console


@pytest.fixture
def clips_csv(people_and_cat_clip, cat_clip, people_clip, tmp_path):
    """A CSV of three clips to train on, one of which shows people and then a cat, and one that is held out."""
    images = np.concatenate([photo_clips.pan(scene) for scene in (photo_clips.PEOPLE, photo_clips.CAT)])
    rows = [
        (photo_clips.write_frames(tmp_path / "both.mp4", images), "adult-walking cat-walking", "train"),
        (people_clip, "adult-walking", "train"),
        (cat_clip, "cat-none", "train"),
        (people_and_cat_clip, "adult-walking cat-none", "test"),
    ]
    path = tmp_path / "clips.csv"
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([("file", "labels", "split"), *rows])
    return path


@pytest.fixture
def command(clips_csv, stages, cache, tmp_path):
    """Return the command line of a command, which writes below `out`."""
    common = ["--data", str(clips_csv), "--cache", str(cache), "--device", "cpu"]
    out = tmp_path / "out"
    lines = {
        "score-split": ["score-split", "--data", str(clips_csv), "--out", str(out), *stages],
        "tune-thresholds": ["tune-thresholds", *common, "--out", str(out / "gates.yaml"), "--bounds", "0.01", "0.9"],
        "retrain-head": ["retrain-head", *common, "--out", str(out), "--actor", "cat", "--look-every", "1"],
    }
    return lines.__getitem__


FINE_TUNING = ["--tune", "norms", "--trunk", "random", "--epochs", "2"]
PLOTS = {
    "score-split": ["error_budget", "reliability", "confusion_person", "confusion_cat"],
    "tune-thresholds": ["convergence", "uniform_gate"],
    "retrain-head": ["training_cat"],
}


@pytest.mark.parametrize("name", PLOTS)
def test_plots_are_written_and_named(command, tmp_path, capsys, name):
    plots = tmp_path / "new" / "plots"
    assert main([*command(name), "--plots", str(plots)]) == console.DONE
    printed = capsys.readouterr()
    expected = PLOTS[name]
    assert sorted(path.name for path in plots.iterdir()) == sorted(
        f"{n}.{end}" for n in expected for end in ("svg", "png")
    )
    lines = [line for line in printed.out.splitlines() if str(plots) in line]
    assert lines == [f"wrote {plots / plot}.svg and {plot}.png" for plot in expected]
    if name == "score-split":
        assert "no confusion matrix of dog: it is neither true nor predicted" in printed.err


def test_scoring_the_epochs_of_a_training_does_not_change_it(command, tmp_path, capsys):
    head, log = head_path(tmp_path / "out", "cat"), tmp_path / "out" / "cat.jsonl"
    assert main([*command("retrain-head"), *FINE_TUNING]) == console.DONE
    before, lines = sha256_file(head), log.read_text().splitlines()
    assert all(set(json.loads(line)) == {"epoch", "loss", "learning_rate"} for line in lines)
    assert main([*command("retrain-head"), *FINE_TUNING, "--plots", str(tmp_path / "plots")]) == console.DONE
    assert sha256_file(head) == before
    epochs = [json.loads(line) for line in log.read_text().splitlines()]
    assert [set(epoch["scores"]) for epoch in epochs] == [{"train", "test"}] * 2
    assert [{**epoch, "scores": None} for epoch in epochs] == [{**json.loads(line), "scores": None} for line in lines]
    final = [f"{100 * epochs[-1]['scores'][split]['f1']:.1f}" for split in ("train", "test")]
    texts = SvgPlot(tmp_path / "plots" / "training_cat.svg").texts
    assert [text for text in texts if text.startswith("F1 ")] == [f"F1 {f1}" for f1 in final]


@pytest.mark.parametrize("name", PLOTS)
@pytest.mark.parametrize("kind", ["a file", "a folder that takes no files"])
def test_a_folder_that_cannot_be_written_is_known_before_the_work(command, tmp_path, capsys, name, kind):
    plots = tmp_path / "file" / "plots" if kind == "a file" else "/proc/self"
    (tmp_path / "file").write_text("")
    if kind != "a file" and sys.platform != "linux":
        pytest.skip("/proc is Linux's; elsewhere, root may write everywhere")
    assert main([*command(name), "--plots", str(plots)]) == console.WRONG_USAGE
    printed = capsys.readouterr()
    assert printed.err.splitlines()[-1].startswith(f"error: {plots if kind != 'a file' else tmp_path / 'file'}")
    assert printed.out == ""
    assert not [path for path in (tmp_path / "out").rglob("*") if path.is_file()]


def test_nothing_is_drawn_unless_it_is_asked_for(command):
    code = f"from pipeline.__main__ import main; main({command('score-split')!r})"
    assert loaded_after(code, ["pipeline.plots", "pipeline.plots.figures"]) == set()
