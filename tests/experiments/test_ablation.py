"""The ablation on one clip, and its rows."""

import csv
import json
import shutil

import pytest

from action_heads.backbones import find_backbone
from action_heads.checkpoint import head_path, read_manifest
from action_heads.model import load_trunk
from common.paths import PROJECT
from experiments import ablation
from experiments.ablation_rows import ALTERNATIVES, LIMITS, PUBLISHED, SHIPPED, STEPS, make_rows
from experiments.experiment_setup import HeadVariant
from pipeline.commands.console import DONE, WRONG_USAGE, run_guarded
from pipeline.known_heads import EMBEDDED_HEADS


@pytest.fixture
def one_clip_three_times(people_and_cat_clip, tmp_path):
    """A data set with the same clip from three sources, the last of them in the test split."""
    data = tmp_path / "clips.csv"
    with data.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["file", "labels", "split", "source"])
        for source in "abc":
            clip = shutil.copy(people_and_cat_clip, tmp_path / f"{source}.mp4")
            writer.writerow([clip.name, "adult-walking cat-none", "test" if source == "c" else "train", source])
    return data


def test_heads_are_compared_with_trivial_baselines(one_clip_three_times, gates_file, cache, tmp_path, capsys):
    out = tmp_path / "ablation.json"
    command = ["--data", str(one_clip_three_times), "--thresholds", str(gates_file), "--cache", str(cache)]
    command += ["--rows", "three boxes", "confident boxes", "noisy", "changes", "behind the gates", "25%"]
    command += ["--all-rows", "--folds", "2", "--repeats", "1", "--device", "cpu", "--out", str(out)]
    assert run_guarded(lambda: ablation.main(command)) == DONE
    report = json.loads(out.read_text())
    rows = {row["name"]: row for row in report["rows"]}
    printed = capsys.readouterr().out
    assert all(name in printed for name in rows)
    assert (report["train"], report["test"], report["sources"]) == (2, 1, 2)
    f1 = {name: (row["scores"]["cv"]["f1"], row["scores"]["test"]["f1"]) for name, row in rows.items()}
    perfect = pytest.approx((1.0, 1.0))  # the same clip is in the training data
    assert f1.pop("25% of the sources") == (0.0, 0.0)  # which are none of two
    assert f1.pop("all labels") == pytest.approx((4 / 45, 4 / 45))
    assert f1.pop("always adult-walking") == pytest.approx((2 / 3, 2 / 3))
    labels = 13 + 7  # noisy-or predicts all labels of both actors
    assert f1.pop("frames: noisy-or") == pytest.approx((4 / (2 + labels), 4 / (2 + labels)))
    assert len(f1) == 7
    for name, scores in f1.items():
        assert scores == perfect, name
    assert rows["all labels"]["difference_to_shipped"]["cv"]["f1"] == pytest.approx(4 / 45 - 1, abs=1e-4)
    assert rows[SHIPPED]["difference_to_shipped"] == {}
    assert rows[SHIPPED]["scores"]["cv"]["labels"]["cat-none"] == {
        "f1": 1.0, "f1_interval": [1.0, 1.0], "true": 2, "predicted": 2,
    }  # fmt: skip
    assert 0 < rows[SHIPPED]["calibration_error"]["cv"] < 0.5

    before = out.read_text()
    assert run_guarded(lambda: ablation.main([*command, "--resume"])) == DONE
    assert out.read_text() == before
    assert run_guarded(lambda: ablation.main([*command, "--resume", "--seed", "1"])) == WRONG_USAGE
    assert "measured with seed = 0, now it is 1" in capsys.readouterr().err


def test_resume_requires_a_report(capsys):
    with pytest.raises(SystemExit):
        ablation.main(["--data", "clips.csv", "--resume"])
    assert "--resume requires --out" in capsys.readouterr().err


def test_each_row_has_one_change():
    rows = {row.name: row for row in make_rows(0, all_rows=True)}
    shipped = rows[SHIPPED]
    for row in rows.values():
        changes = {name for name, value in vars(shipped.variant).items() if vars(row.variant)[name] != value}
        settings = ("decision", "oracle", "train_share", "confirmed")
        changes |= {name for name in settings if vars(row)[name] != vars(shipped)[name]}
        if row.part in (ALTERNATIVES, LIMITS):
            one_idea = {"auxiliary_weight", "stills_weight", "augment"}, {"input_kind", "track", "camera"}
            assert len(changes) == 1 or changes in one_idea, row.name
    published = rows[PUBLISHED].variant
    assert (published.recipe.loss, published.tuning_mode, published.input_kind) == ("cross_entropy", "all", "frame")


def test_rows_are_the_measured_ones():
    report = json.loads((PROJECT / "experiments" / "ablation.json").read_text())
    measured = [(row["part"], row["name"]) for row in report["rows"]]
    assert measured[: len(make_rows(0))] == [(row.part, row.name) for row in make_rows(0)]
    assert [name for part, name in measured if part == STEPS][-1] == SHIPPED


def test_shipped_variant_has_the_settings_of_the_embedded_heads(taxonomy):
    trunk = load_trunk("embedded", find_backbone("efficientnet_lite0"))
    variant = HeadVariant(trunk)
    settings = (variant.input_kind, variant.tuning_mode, variant.trunk.backbone.name)
    for actor in taxonomy.actors:
        manifest = read_manifest(head_path(EMBEDDED_HEADS, actor.name))
        assert (manifest.input, manifest.tuned, manifest.backbone) == settings
        assert manifest.trunk["sha256"] == trunk.sha256
        auxiliary = manifest.recipe.get("borrowed", {"from": [], "weight": variant.auxiliary_weight})
        assert auxiliary["from"] == list(actor.auxiliary_actors)
        assert auxiliary["weight"] == variant.auxiliary_weight
        assert manifest.recipe["stills"]["weight"] == variant.stills_weight
