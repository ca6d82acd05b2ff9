"""The ring on a few clips: its rows, what it continues from, and its page."""

import csv
import json
import shutil

import numpy as np
import pytest
from svg_plots import SvgPlot
from tiny_rivals import write_clips

from a2d.dataset import read_samples
from a2d.metrics import count
from a2d.skipped_samples import SkippedSamples
from experiments import ring, ring_page
from experiments.ring_rows import Row, count_numbers, spread_epochs
from experiments.ring_two_stage import PUBLISHED, SAME_CLIPS
from pipeline.commands.console import DONE, WRONG_USAGE, run_guarded
from pipeline.known_heads import EMBEDDED_HEADS
from rivals.checkpoints import LOG_FILE, read_log
from rivals.ensemble import PUBLISHED_MEMBERS
from rivals.evaluation import predict_samples
from rivals.prediction import load_system
from rivals.registry import ENSEMBLE, SYSTEMS, find_system
from rivals.system import SMALL

ROW = Row("a", "A", 0.5, "Lite0, 160", 1_000_000, 60.0, 0.9, 0.3, 0.4, 0.35, (0.2, 0.5), 0.45, 100.0, "one core")


@pytest.fixture
def data(tmp_path, taxonomy):
    """Six clips to train on, and copies of three of them to test on, from other sources."""
    path = write_clips(tmp_path, taxonomy, clips=6)
    lines = path.read_text().splitlines()
    for number in range(3):
        shutil.copytree(tmp_path / f"clip-{number:02d}", tmp_path / f"again-{number}")
        lines.append(lines[number + 1].replace("train", "test").replace(f"clip-{number:02d}", f"again-{number}"))
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.fixture
def run(data, tmp_path):
    """Runs the ring, one epoch, on the CPU, and returns the exit code."""

    def run_ring(*options):
        paths = ["--data", str(data), "--work", str(tmp_path / "work"), "--out", str(tmp_path / "ring.json")]
        command = [*paths, "--epochs", "1", "--device", "cpu", "--no-page", *options]
        return run_guarded(lambda: ring.main(command))

    return run_ring


def read_rows(tmp_path):
    return {row["name"]: row for row in json.loads((tmp_path / "ring.json").read_text())["rows"]}


def test_a_row_has_what_was_measured_and_is_kept(run, data, tmp_path, taxonomy, capsys):
    assert run("--only", "resnet18") == DONE
    row = read_rows(tmp_path)["resnet18"]
    file = tmp_path / "work" / "resnet18.safetensors"
    scorer = load_system(file, taxonomy)
    samples = read_samples(data, "test", taxonomy)
    found = predict_samples(scorer, samples, taxonomy, SkippedSamples(strict=True))
    scores = count(found.predicted, found.actual).sample_averaged
    assert (row["precision"], row["recall"], row["f1"]) == (scores.precision, scores.recall, scores.f1)
    hits = [actual[scores.argmax()] for scores, actual in zip(found.scores, found.actual, strict=True)]
    assert row["first"] == np.mean(hits)
    tensors = [*scorer.network.parameters(), *scorer.network.buffers()]
    floats = sum(tensor.numel() for tensor in tensors if tensor.is_floating_point())
    assert row["parameters"] == floats - 6  # the mean and the standard deviation of the channels are in no file
    (epoch,) = read_log(file.with_suffix(".training") / LOG_FILE)
    assert row["training_seconds"] == epoch["seconds"] > 0
    assert row["frames_per_second"] > 0
    assert row["training"] == "efficientnet_lite0, 160, 1 epochs"
    assert row["published_f1"] == 0.28

    file.unlink()  # what is measured is not measured again
    assert run("--only", "resnet18") == DONE
    assert read_rows(tmp_path)["resnet18"] == row
    assert not file.exists()
    assert run("--only", "resnet18", "--seed", "1") == WRONG_USAGE
    assert "measured with seed = 0, now it is 1" in capsys.readouterr().err


def test_a_file_of_another_training_is_refused(run, tmp_path, capsys):
    assert run("--only", "vanilla_cnn") == DONE
    (tmp_path / "ring.json").unlink()
    assert run("--only", "vanilla_cnn", "--epochs", "2") == WRONG_USAGE
    assert "vanilla_cnn.safetensors: trained by another recipe or seed; delete it" in capsys.readouterr().err


def test_the_ensemble_is_made_of_the_report_s_three_systems(run, tmp_path):
    assert run("--only", ENSEMBLE, *PUBLISHED_MEMBERS) == DONE
    rows = read_rows(tmp_path)
    members = [rows[name] for name in PUBLISHED_MEMBERS]
    assert set(rows) == {ENSEMBLE, *PUBLISHED_MEMBERS}
    assert rows[ENSEMBLE]["parameters"] == sum(row["parameters"] for row in members)
    assert rows[ENSEMBLE]["training_seconds"] == pytest.approx(sum(row["training_seconds"] for row in members))
    weights = [member["f1"] for member in json.loads((tmp_path / "work" / "ensemble.json").read_text())["members"]]
    assert weights == [row["train_f1"] for row in members]


def test_the_two_stages_in_three_ways(people_and_cat_clip, tmp_path, cache, monkeypatch, taxonomy):
    monkeypatch.setenv("ACTOR_ACTION_CACHE", str(cache))
    data, out = tmp_path / "clips.csv", tmp_path / "ring.json"
    with data.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["file", "labels", "split", "source"])
        for source in "abc":
            clip = shutil.copy(people_and_cat_clip, tmp_path / f"{source}.mp4")
            writer.writerow([clip.name, "adult-walking cat-none", "test" if source == "c" else "train", source])
    command = ["--data", str(data), "--work", str(tmp_path / "work"), "--out", str(out), "--yolo", "embedded"]
    command += ["--only", "two_stage", SAME_CLIPS, PUBLISHED, "--epochs", "1", "--device", "cpu", "--no-page"]
    assert run_guarded(lambda: ring.main(command)) == DONE
    rows = read_rows(tmp_path)
    assert rows[SAME_CLIPS]["f1"] == 1  # the same clip is in the training data
    assert rows["two_stage"]["training_seconds"] is None
    assert rows[PUBLISHED]["training_seconds"] > 0
    gates = (tmp_path / "work" / "published_gates.yaml").read_text()
    assert "image_size: 224" in gates
    heads = sorted(path.name for path in (tmp_path / "work" / "published_heads").glob("*.safetensors"))
    assert heads == ["cat.safetensors", "person.safetensors"]  # nobody else is shown
    trunk = count_numbers([EMBEDDED_HEADS.parent / "trunk_efficientnet_lite0.safetensors"])
    classifiers = count_numbers(sorted(EMBEDDED_HEADS.glob("*.safetensors")))
    assert rows["two_stage"]["parameters"] > trunk + classifiers


def test_epochs_are_divided_among_phases():
    recipe = find_system("pcd_r2plus1d").recipe(SMALL)
    assert [phase.epochs for phase in spread_epochs(recipe, 5).phases] == [3, 2]
    assert [phase.epochs for phase in spread_epochs(recipe, 1).phases] == [1, 1]


def test_every_system_has_a_row_and_the_ensemble_follows_its_members(run):
    names = list(ring.rows_to_measure(None, "yolo26n", {}))
    assert set(names) == {*SYSTEMS, ENSEMBLE, "two_stage", SAME_CLIPS, PUBLISHED}
    assert names.index(ENSEMBLE) > max(names.index(name) for name in SYSTEMS)


def test_the_page_has_the_table_and_the_plot(tmp_path, monkeypatch):
    page, plot = tmp_path / "ring.md", tmp_path / "ring.svg"
    page.write_text(
        "top\n<!-- begin conditions --><!-- end conditions -->\n<!-- begin ring -->\n<!-- end ring -->\nend\n"
    )
    monkeypatch.setattr(ring_page, "PAGE", page)
    monkeypatch.setattr(ring_page, "PLOT", plot)
    other = Row(
        "b, paper", "B", None, "as shipped", 5_500_000, None, None, 0.5, 0.6, 0.55, (0.4, 0.7), 0.6, 2000.0, "m"
    )
    report = {"train": 4, "test": 2, "test_frames": 1234, "epochs": None, "seed": 7}
    ring_page.write_page(report, [ROW, other])
    lines = page.read_text().splitlines()
    assert lines[0] == "top"
    assert lines[-1] == "end"
    assert sum(f"`{name}`" in "".join(lines) for name in SYSTEMS) == len(SYSTEMS)  # none is measured yet
    assert "4 clips to train on, 2 to test on (1,234 frames); seed 7; one core; m" in lines
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("| `")]
    assert [row[0] for row in cells] == ["`b`, paper", "`a`"]  # the best first
    scores = ["50.0", "35.0", "20.0–50.0", "30.0", "40.0", "45.0", "90.0"]
    assert cells[1][1:] == [*scores, "Lite0, 160", "1.0 M", "1.0 min", "100"]
    assert cells[0][1] == cells[0][7] == cells[0][10] == ""
    drawn = SvgPlot(plot)
    assert {"b, paper  55.0", "a  35.0"} <= set(drawn.texts)
    low, high = (drawn.points(name)[0] for name in ("point-a", "point-b__paper"))
    assert low[0] < high[0]  # slower
    assert low[1] > high[1]  # worse: y grows downwards
