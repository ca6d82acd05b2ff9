"""The ensemble: the published sums, its file, the command that makes it, and both stages as a member."""

import json
import shutil

import numpy as np
import pytest
from tiny_rivals import read_all, save, tiny_recipe, train, write_clips

from common.errors import CheckpointError
from common.files import sha256_file
from pipeline.__main__ import main
from pipeline.commands import console
from pipeline.config import TaggerConfig
from pipeline.rival_tagger import RivalTagger
from pipeline.system_scorers import TWO_STAGE, open_scorer, open_two_stages
from pipeline.tagger import ActorActionTagger
from rivals.ensemble import (
    PUBLISHED_F1,
    PUBLISHED_MEMBERS,
    THRESHOLD,
    EnsembleFile,
    combine,
    load_scorer,
    member_weights,
)
from rivals.frames import examine_clip
from rivals.prediction import load_system
from rivals.registry import find_system
from rivals.training import TrainingPlan

EPOCHS = {"pcd_sigmoid": 80, "apcd_resnet": 50}


@pytest.fixture(scope="module")
def data(tmp_path_factory, taxonomy):
    """Sixteen clips to train on; copies of four are the split `val`, of two others the split `test`."""
    folder = tmp_path_factory.mktemp("clips")
    path = write_clips(folder, taxonomy)
    lines = path.read_text().splitlines()
    for number, split in enumerate(["val"] * 4 + ["test"] * 2):
        name = f"clip-{number:02d}"
        shutil.copytree(folder / name, folder / f"again-{name}")
        lines.append(f"again-{lines[number + 1].replace('train', split)}")
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.fixture(scope="module")
def members(data, taxonomy, tmp_path_factory):
    """Files of two systems; the second was trained for a shorter time."""
    folder, files = tmp_path_factory.mktemp("members"), []
    for name, epochs in EPOCHS.items():
        system = find_system(name)
        plan = TrainingPlan(system, tiny_recipe(system, epochs), taxonomy, seed=1)
        trained = train(plan, read_all(data, taxonomy), folder / name)
        files.append(save(folder / f"{name}.safetensors", plan, trained))
    return files


@pytest.fixture(scope="module")
def ensemble(data, members):
    """The file of an ensemble of both."""
    path = members[0].parent / "ensemble.json"
    command = ["train-rival", "--system", "ensemble", "--data", str(data), "--out", str(path), "--device", "cpu"]
    assert main([*command, "--members", *map(str, members)]) == console.DONE
    return path


def test_the_published_figures():
    assert PUBLISHED_F1 == 0.629
    assert [find_system(name).published_f1 for name in PUBLISHED_MEMBERS] == [0.594, 0.589, 0.617]
    weights = member_weights([0.594, 0.589, 0.617])
    np.testing.assert_allclose(weights, [0.33, 0.3272, 0.3428], atol=5e-5)
    assert weights.sum() == pytest.approx(1)


def test_vote_and_average_are_combined_as_published():
    weights = np.array([0.5, 0.3, 0.2])
    scores = np.array([[[0.9, 0.4, 0.5]], [[0.6, 0.6, 0.0]], [[0.1, 0.7, 0.2]]], dtype=np.float32)
    found = combine(scores, [0.5, 0.5, 0.5], weights)
    vote, average = np.array([0.8, 0.5, 0.5]), np.array([0.65, 0.52, 0.29])
    np.testing.assert_allclose(found, [(vote + average) / 2], rtol=1e-6)  # 0.5, from the threshold, is said: the tie
    unequal = combine(scores, [0.95, 0.5, 0.5], weights)
    np.testing.assert_allclose(unequal[0, 0], (0.3 + 0.65) / 2, rtol=1e-6)
    np.testing.assert_allclose(combine(scores[:1], [0.5], np.array([1.0]))[0, 1], 0.4 / 2)


def test_members_are_weighted_by_their_f1_on_the_validation_clips(ensemble, members, capsys):
    content = EnsembleFile.read(ensemble)
    assert content.data == {"name": "clips.csv", "split": "val", "samples": 4}
    assert [member.system for member in content.members] == list(EPOCHS)
    assert [member.file for member in content.members] == [path.name for path in members]  # beside the ensemble's
    assert [member.sha256 for member in content.members] == [sha256_file(path) for path in members]
    assert content.members[0].f1 > 0.95
    assert content.members[0].f1 >= content.members[1].f1 > 0
    assert content.scores.keys() == {"val"}


def test_an_ensemble_scores_the_sum_of_its_members(ensemble, members, data, taxonomy):
    loaded = load_scorer(ensemble, taxonomy)
    info = examine_clip(data.parent / "clip-05")
    alone = [load_system(path, taxonomy) for path in members]
    scores = np.stack([scorer.score(info, [0, 2]) for scorer in alone])
    weights = member_weights([member.f1 for member in EnsembleFile.read(ensemble).members])
    expected = ((weights[:, None, None] * (scores >= 0.5)).sum(0) + (weights[:, None, None] * scores).sum(0)) / 2
    np.testing.assert_allclose(loaded.score(info, [0, 2]), expected, atol=1e-6)
    assert loaded.threshold == THRESHOLD
    assert "pcd_sigmoid" in loaded.describe()


def test_an_ensemble_tags_and_is_scored(ensemble, data, tmp_path, capsys):
    tagger = RivalTagger.from_config(TaggerConfig(system=str(ensemble), device="cpu"))
    result = tagger.tag(data.parent / "clip-03")
    assert result.status == "ok"
    assert result.weights.heads == {"ensemble": sha256_file(ensemble)}
    command = ["score-split", "--data", str(data), "--system", str(ensemble), "--out", str(tmp_path), "--device", "cpu"]
    assert main(command) == console.DONE
    report = json.loads((tmp_path / "scores.json").read_text())
    assert report["system"] == "ensemble"
    assert report["samples"] == 2
    assert report["systems"]["ensemble"]["sample_averaged"]["f1"] > 0.5
    assert "ensemble" in capsys.readouterr().out


def test_without_members_all_trained_systems_are_taken(members, data, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    command = ["train-rival", "--system", "ensemble", "--data", str(data), "--device", "cpu"]
    assert main(command) == console.WRONG_USAGE
    assert "an ensemble needs two members or more, found []; see --members" in capsys.readouterr().err
    folder = tmp_path / "out" / "rivals"
    folder.mkdir(parents=True, exist_ok=True)
    for path in members:
        shutil.copy(path, folder)
    assert main([*command, "--held-out", "test"]) == console.DONE
    shown = capsys.readouterr().out
    assert "val, member 1: pcd_sigmoid" in shown
    assert "published on A2D: F1 62.9" in shown
    assert EnsembleFile.read(folder / "ensemble.json").scores.keys() == {"val", "test"}
    assert main(["tag", "--video", str(data.parent / "clip-00"), "--system", "ensemble"]) == console.DONE


WRONG = {
    "test": (["--split", "test"], "are not weighted by their F1 on the split 'test'"),
    "recipe": (["--epochs", "3"], "--epochs changes a recipe, which --system ensemble has not"),
    "one": (["--members", "pcd_sigmoid"], r"needs two members or more, found ['pcd_sigmoid']"),
}


@pytest.mark.parametrize(("options", "message"), WRONG.values(), ids=WRONG)
def test_wrong_options_get_one_line(members, data, tmp_path, capsys, options, message):
    command = ["train-rival", "--system", "ensemble", "--data", str(data), "--out", str(tmp_path / "e.json")]
    assert main([*command, "--members", *map(str, members), *options]) == console.WRONG_USAGE
    assert message in capsys.readouterr().err
    other = ["train-rival", "--system", "pcd_resnet", "--data", str(data), "--members", "a", "b"]
    assert main(other) == console.WRONG_USAGE
    assert "--members are those of --system ensemble, not of pcd_resnet" in capsys.readouterr().err


DAMAGED = {
    "changed": (lambda content: content["members"][0].update(sha256="0" * 64), "has changed: sha256 00000000"),
    "gone": (lambda content: content["members"][0].update(file="gone.safetensors"), "gone.safetensors has changed"),
    "format": (lambda content: content.update(format="x/2"), "format 'x/2' was found"),
    "above 1": (lambda content: content["members"][0].update(f1=1.5), "member 1: f1: 0 to 1 was expected, found 1.5"),
    "nothing right": (lambda content: [m.update(f1=0.0) for m in content["members"]], "no member has an F1 above 0"),
    "no members": (lambda content: content.update(members=[]), "no member has an F1 above 0"),
    "key": (lambda content: content["members"][0].pop("f1"), "f1"),
}


@pytest.mark.parametrize(("damage", "message"), DAMAGED.values(), ids=DAMAGED)
def test_a_damaged_file_is_refused(ensemble, taxonomy, damage, message):
    content = json.loads(ensemble.read_text())
    damage(content)
    path = ensemble.with_name("damaged.json")
    path.write_text(json.dumps(content))
    with pytest.raises(CheckpointError, match=message):
        load_scorer(path, taxonomy)


def test_a_file_that_is_no_json_is_refused(tmp_path, taxonomy):
    (tmp_path / "e.json").write_text("{")
    with pytest.raises(CheckpointError, match=r"e.json: not the file of an ensemble \("):
        load_scorer(tmp_path / "e.json", taxonomy)


def test_both_stages_can_be_a_member(ensemble, config, demo_clip, taxonomy, tmp_path):
    stages = open_two_stages(config)
    content = json.loads(ensemble.read_text())
    content["members"][0].update(file=str(ensemble.parent / content["members"][0]["file"]))
    content["members"][1] = {"system": TWO_STAGE, "file": TWO_STAGE, "sha256": stages.sha256, "f1": 0.463}
    path = tmp_path / "with_stages.json"
    path.write_text(json.dumps(content))
    loaded = open_scorer(str(path), taxonomy, config)
    info = examine_clip(demo_clip)
    moments = info.moments(1.0)
    scores = stages.score(info, moments)
    assert scores.shape == loaded.score(info, moments).shape == (len(moments), len(taxonomy.labels))
    result = ActorActionTagger.from_config(config).tag(demo_clip)
    present = {name for name, evidence in result.actors.items() if evidence.present}
    assert present
    for actor in taxonomy.actors:  # labels of actors that do not pass their gate have the probability 0
        assert (scores[:, actor.label_indices] > 0).any() == (actor.name in present)
