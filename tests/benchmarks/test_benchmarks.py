"""The benchmarks run, and both ways that they time give the same answer. Nothing here is timed."""

import argparse
import csv
import json
import shutil
import time
from dataclasses import replace
from functools import partial

import cv2
import numpy as np
import pytest

from a2d.confidence_intervals import bootstrap_f1
from a2d.formats.base import Sample
from action_heads.backbones import find_backbone
from action_heads.checkpoint import head_path, read_manifest
from action_heads.crops import NO_BOX
from action_heads.model import load_trunk
from action_heads.training.features import FeatureCache
from action_heads.training.recipes import DEFAULT, adjust_recipe
from action_heads.training.samples import SampledFrame
from action_heads.trunk_files import trunk_path
from benchmarks import bench_speed_options as bench_shortcuts
from benchmarks import bench_stage1, bench_tuning, page, plot
from benchmarks.commands import lengthen, run_command
from benchmarks.interleaved import Candidate, time_interleaved
from common.errors import UserError
from common.files import sha256_file
from common.paths import PROJECT
from experiments import ablation, learners, model_card
from experiments import detector_comparison as bench_detector
from experiments.column_scores import bootstrap_columns
from experiments.cross_validation import Variant, assign_folds
from pipeline.cached_detector import CachedDetector
from pipeline.config import EMBEDDED_HEADS, TaggerConfig
from video.clips import decode_frames


def test_both_ways_to_tune_reach_the_same(tmp_path, capsys):
    assert bench_tuning.main(["--repeats", "1", "--out", str(tmp_path / "tuning.json")]) == 0
    content = json.loads((tmp_path / "tuning.json").read_text())
    values = [timing["value"] for timing in content["timings"]]
    assert len(values) == 2
    assert values[0] == pytest.approx(values[1])
    assert "3782" in capsys.readouterr().out.replace(",", "")


def test_the_interval_of_a_column_holds_its_f1_and_shrinks_with_more_sources():
    random = np.random.default_rng(0)
    widths = []
    for sources in (10, 200):
        actual = random.random((2 * sources, 2)) < 0.5
        said = actual ^ (random.random(actual.shape) < 0.2)
        groups = [str(row // 2) for row in range(len(actual))]
        column = bootstrap_columns(said, actual, ["first", "second"], groups, seed=0)["first"]
        hits = (said & actual)[:, 0].sum()
        assert column["f1"] == pytest.approx(2 * hits / (said[:, 0].sum() + actual[:, 0].sum()))
        low, high = column["f1_interval"]
        assert low < column["f1"] < high
        widths.append(high - low)
    assert widths[1] < widths[0] / 2


def test_a_column_that_never_comes_up_is_left_out():
    nothing = np.zeros((4, 1), bool)
    assert bootstrap_columns(nothing, nothing, ["never"], list("abcd"), seed=0) == {}


def test_sources_are_drawn_whole():
    said, actual = np.ones((6, 1), bool), np.array([[1], [1], [1], [0], [0], [0]], bool)
    assert bootstrap_f1(said, actual, ["one"] * 6, seed=0) == (0.5, 0.5)  # one source: every drawing is the same
    low, high = bootstrap_f1(said, actual, ["one"] * 3 + ["other"] * 3, seed=0)
    assert (low, high) == (0.0, 1.0)


@pytest.fixture
def one_clip_thrice(kit, tmp_path):
    """The same clip from three sources, the last of them in the test split."""
    clip = kit / "clips" / "dog-walking__ground-a-video-dog-walking.mp4"
    rows = [(shutil.copy(clip, tmp_path / f"{source}.mp4").name, source) for source in "abc"]
    data = tmp_path / "clips.csv"
    with data.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["file", "labels", "split", "source"])
        writer.writerows(
            (name, "adult-walking dog-walking", "test" if source == "c" else "train", source) for name, source in rows
        )
    return data


def test_heads_are_cross_validated_beside_trivial_answers(one_clip_thrice, yolo, gates_file, cache, tmp_path, capsys):
    command = ["--data", str(one_clip_thrice), "--detector", str(yolo), "--thresholds", str(gates_file)]
    command += ["--cache", str(cache), "--rows", "three boxes", "followed", "noisy", "change", "gates"]
    command += ["--folds", "2", "--draws", "1", "--device", "cpu", "--out", str(tmp_path / "ablation.json")]
    assert ablation.cli.run(ablation.main, command) == 0
    content = json.loads((tmp_path / "ablation.json").read_text())
    rows = {row["name"]: row for row in content["rows"]}
    printed = capsys.readouterr().out
    assert all(name in printed for name in rows)
    assert (content["train"], content["test"], content["sources"]) == (2, 1, 2)
    own = rows[ablation.SHIPPED]["scores"]
    assert own["cv"]["f1"] == own["test"]["f1"] == 1.0, "the very clip is known from another source"
    assert rows["looks: noisy-or"]["scores"]["cv"]["f1"] <= 1.0
    assert rows["all labels"]["scores"]["test"]["f1"] == pytest.approx(2 * 2 / (2 + 43))
    assert rows["all labels"]["against_shipped"]["cv"]["f1"] == pytest.approx(4 / 45 - 1, abs=1e-4)
    capsys.readouterr()
    before = (tmp_path / "ablation.json").read_text()
    assert ablation.cli.run(ablation.main, [*command, "--resume"]) == 0
    assert (tmp_path / "ablation.json").read_text() == before
    assert ablation.cli.run(ablation.main, [*command, "--resume", "--seed", "1"]) == ablation.cli.WRONG_USAGE
    assert "measured with seed = 0, now it is 1" in capsys.readouterr().err


def test_rows_change_one_thing_each(one_clip_thrice, yolo, gates_file, cache):
    command = ["--data", str(one_clip_thrice), "--detector", str(yolo), "--thresholds", str(gates_file)]
    setting = ablation.make_setting(ablation.build_parser().parse_args([*command, "--cache", str(cache)]))
    rows = {row.name: row for row in ablation.rows_of(setting)}
    shipped = rows[ablation.SHIPPED]
    for row in rows.values():
        changes = [name for name, value in vars(shipped.variant).items() if vars(row.variant)[name] != value]
        changes += [name for name in ("read_out", "oracle", "share") if vars(row)[name] != vars(shipped)[name]]
        if row.part != ablation.LADDER:
            assert len(changes) == 1 or set(changes) == {"lent_weight", "invent"}, row.name
    published = rows[ablation.PUBLISHED].variant
    assert (published.recipe.loss, published.tuning, published.input) == ("cross_entropy", "all", "frame")


def test_what_is_shipped_is_what_a_retraining_makes(taxonomy):
    """The ablation's shipped variant has the very settings of the heads in models/."""
    trunk = load_trunk("embedded", find_backbone("efficientnet_lite0"))
    variant = Variant(trunk)
    for actor in taxonomy.actors:
        manifest = read_manifest(head_path(EMBEDDED_HEADS, actor.name))
        assert (manifest.input, manifest.tuned, manifest.backbone) == (
            variant.input,
            variant.tuning,
            variant.trunk.backbone.name,
        )
        assert manifest.trunk["sha256"] == trunk.sha256
        borrowed = manifest.recipe.get("borrowed", {"from": [], "weight": variant.lent_weight})
        assert (borrowed["from"], borrowed["weight"]) == (list(actor.auxiliary_actors), variant.lent_weight)


def test_a_detector_agrees_with_itself_and_with_none_that_sees_nothing(kit, cache, tmp_path, capsys):
    clip = kit / "clips" / "dog-walking__ground-a-video-dog-walking.mp4"
    (tmp_path / "clips.csv").write_text(f"file,labels,split\n{clip},dog-walking,test\n")
    command = ["--data", str(tmp_path / "clips.csv"), "--detector", "yolo26n", "--cache", str(cache)]
    command += ["--teacher-at", "224:0.5", "--conf", "0.5", "1", "--out", str(tmp_path / "detector.json")]
    assert bench_detector.main(command) == 0
    same, blind = json.loads((tmp_path / "detector.json").read_text())["frames"]
    assert same["actors"]["dog"]["f1"] == 1.0
    assert same["actors"]["dog"]["frames"] > 0
    assert same["actors"]["cat"] == {"precision": 0, "recall": 0, "f1": 0, "f1_interval": [0, 0], "frames": 0}
    assert blind["actors"]["dog"]["f1"] == 0.0
    assert "yolo26n fb152865… at image size 224, confidence 1, against yolo26n" in capsys.readouterr().out


def test_heads_trained_by_epochs_are_measured_and_kept(taxonomy, tmp_path, monkeypatch):
    """Bright frames are one action, dark ones another; what a training came to is not trained again."""
    backbone = find_backbone("efficientnet_lite0")
    small = replace(backbone.preprocessing, size=64)
    trunk = replace(load_trunk("embedded", backbone), preprocessing=small)
    actor = taxonomy.actor("ball")
    rng, looks = np.random.default_rng(0), []
    for number in range(12):
        folder = tmp_path / str(number)
        folder.mkdir()
        image = rng.integers(0, 80, (73, 73, 3)) + 150 * (number % 2)
        cv2.imwrite(str(folder / "00001.png"), image.astype(np.uint8))
        label = actor.label_names[number % 2]
        looks.append(SampledFrame(Sample(folder, None, (label,), "train", str(number)), f"{number:064x}", 0, NO_BOX))
    recipe = adjust_recipe(DEFAULT, epochs=10, batch_size=4, learning_rate=0.003)
    kept = FeatureCache(tmp_path / "kept")
    learner = learners.EpochLearner(actor, looks, trunk, "frame", "classifier", recipe, 0, "cpu", kept)
    first, last = np.arange(12) < 8, np.arange(12) >= 8
    logits = learner.learn_and_predict(first, last)
    assert (logits[:, 1] > logits[:, 0]).tolist() == [False, True, False, True]
    monkeypatch.setattr(learners, "train_head", None)
    np.testing.assert_array_equal(learner.learn_and_predict(first, last), logits)
    with pytest.raises(TypeError):
        learner.learn_and_predict(last, first)


def test_a_source_is_in_one_fold(taxonomy, tmp_path):
    samples = [
        Sample(tmp_path, None, (taxonomy.label_names[number % 43],), "train", f"source {number // 4}")
        for number in range(60)
    ]
    folds = assign_folds(samples, taxonomy, 5, seed=0)
    assert set(folds) == {0, 1, 2, 3, 4}
    for source in range(15):
        assert (
            len({fold for fold, sample in zip(folds, samples, strict=True) if sample.group == f"source {source}"}) == 1
        )


def test_the_interval_draws_sources_and_not_samples():
    said = np.eye(2, dtype=bool)[np.repeat([0, 1], 50)]
    actual = np.eye(2, dtype=bool)[np.zeros(100, int)]
    by_sample = bootstrap_f1(said, actual, [str(n) for n in range(100)], seed=0)
    by_source = bootstrap_f1(said, actual, ["a"] * 50 + ["b"] * 50, seed=0)
    assert by_source == (0.0, 1.0)
    assert 0.35 < by_sample[0] < 0.5 < by_sample[1] < 0.65


def test_a_model_card_without_a_place_for_a_table_is_refused():
    with pytest.raises(UserError, match="no place '<!-- begin heads --> … <!-- end heads -->'"):
        model_card.fill("<!-- begin heads --> and no end", {"heads": "table"})


def test_the_model_card_shows_what_was_measured_of_what_is_shipped(taxonomy):
    folder = PROJECT / "benchmarks"
    detector, heads = (json.loads((folder / name).read_text()) for name in ("detector.json", "ablation.json"))
    shipped = str(CachedDetector.from_config(TaggerConfig(), taxonomy).identity)
    assert {scores["student"] for scores in detector["frames"]} == {shipped}
    assert heads["detector"] == shipped
    assert heads["trunk"] == sha256_file(trunk_path("efficientnet_lite0"))
    card = model_card.CARD.read_text(encoding="utf-8")
    assert model_card.fill(card, model_card.all_tables(detector, heads)) == card
    assert f"**{ablation.SHIPPED}**" in card
    page = model_card.ACCURACY.read_text(encoding="utf-8")
    assert model_card.fill(page, model_card.ablation_tables(heads)) == page


def test_stage_1_is_measured_against_its_limits(kit, yolo, tmp_path, capsys):
    clip = kit / "clips" / "dog-walking__ground-a-video-dog-walking.mp4"
    command = ["--clips", str(clip), "--detector", str(yolo), "--repeats", "2", "--out", str(tmp_path / "s.json")]
    wanted = [bench_stage1.DECODER, "OpenVINO f32", bench_stage1.NETWORK + "OpenVINO f32"]
    assert bench_stage1.main([*command, "--only", *wanted]) == 0
    report = json.loads((tmp_path / "s.json").read_text())
    assert (report["frames"], report["clips"]) == (8, 1)
    assert report["machine"]["cores"] >= 1
    assert list(report["rows"]) == wanted
    rows = report["rows"]
    assert all(0 < row["slowest"] <= row["frames_per_second"] <= row["fastest"] for row in rows.values())
    decoder, ours, network = (rows[name]["frames_per_second"] for name in wanted)
    assert rows["OpenVINO f32"]["of_the_bound"] == pytest.approx(ours * (1 / decoder + 1 / network), abs=0.01)
    assert "of the bound" in capsys.readouterr().out
    ways = bench_stage1.make_ways(
        argparse.Namespace(**dict.fromkeys(("imgsz", "detector", "batch_size", "calibration"))), []
    )
    assert set(bench_stage1.OURS) < set(ways)


def test_ways_are_timed_in_turn_in_their_own_processes():
    timings = time_interleaved({name: Candidate(partial(partial, time.sleep, 0.001)) for name in "ab"}, 3)
    assert [len(timing.seconds) for timing in timings.values()] == [3, 3]
    assert all(timing.median >= 0.001 and timing.peak_bytes > 1e6 for timing in timings.values())


def test_a_way_that_fails_is_named(capfd):
    with pytest.raises(RuntimeError, match="broken: failed"):
        time_interleaved({"broken": Candidate(partial(partial, int, "no number"))}, 1)
    assert "ValueError" in capfd.readouterr().err


def test_the_effect_of_a_shortcut_is_counted():
    usual = np.array([[0.5, 0.0], [0.2, 1.0]])
    ratios = np.array([[0.505, 0.0], [0.1, 1.0]])
    effect = bench_shortcuts.effect(ratios, usual, np.array([0.15, 0.5]))
    assert effect == {
        "mean_move": pytest.approx(0.0262, abs=1e-4),
        "largest_move": 0.1,
        "share_within_0.01": 0.75,
        "gates_that_differ": 1,
    }


def test_a_shortcut_can_be_measured(kit, tmp_path, monkeypatch, cache):
    clip = kit / "clips" / "dog-walking__ground-a-video-dog-walking.mp4"
    (tmp_path / "clips.csv").write_text(f"file,labels,split\n{clip},dog-walking,test\n")
    configs = bench_shortcuts.configs_of
    monkeypatch.setattr(
        bench_shortcuts,
        "configs_of",
        lambda *given: {
            name: config for name, config in configs(*given).items() if name in ("every frame, f32", "--stride 2")
        },
    )
    command = ["--data", str(tmp_path / "clips.csv"), "--repeats", "1", "--out", str(tmp_path / "s.json")]
    command += ["--calibrate-on", "test"]
    assert bench_shortcuts.main(command) == 0
    rows = json.loads((tmp_path / "s.json").read_text())["rows"]
    assert list(rows) == ["every frame, f32", "--stride 2"]
    assert rows["every frame, f32"]["times_usual"] == 1
    assert rows["every frame, f32"]["largest_move"] == 0


def test_commands_are_run_and_clips_made_longer(kit, tmp_path):
    clip = lengthen(kit / "clips" / "dog-walking__ground-a-video-dog-walking.mp4", 2.0, tmp_path)
    times = [frame.time_seconds for frame in decode_frames(clip)]
    assert 1.7 < times[-1] < 2.0
    assert min(np.diff(times)) > 0
    run = run_command(["run_pipeline.py", "--help"])
    assert run.seconds > 0
    assert 1e6 < run.peak_bytes < 2e8
    with pytest.raises(RuntimeError, match="unrecognized"):
        run_command(["run_pipeline.py", "--demo", "--no-such-option"])


def test_the_page_shows_what_was_measured(tmp_path):
    reports = page.read_reports()
    text = page.PAGE.read_text(encoding="utf-8")
    assert model_card.fill(text, page.tables_of(reports)) == text
    plot.draw(reports, tmp_path / "speed.png")
    image = cv2.imread(str(tmp_path / "speed.png"))
    assert image.shape[1] > 1000
    assert image.std() > 10
