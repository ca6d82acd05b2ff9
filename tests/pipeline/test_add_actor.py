"""An actor more: its head and its gate come, and everything else stays as it is, to the byte."""

import json
from dataclasses import replace

import add_actor
import numpy as np
import pytest
import run_pipeline
import yaml

from common.paths import A2D_TAXONOMY_FILE
from action_heads.checkpoint import read_manifest
from action_heads.defaults import AUXILIARY_WEIGHT
from common.files import sha256_file
from pipeline.commands import console as cli
from thresholds.exact import best_gate
from thresholds.fitness import OBJECTIVES, PresenceTable, score_gates
from thresholds.gates import load_gates, save_gates

CLIPS = {
    "dog-walking__ground-a-video-dog-walking.mp4": "dog-walking horse-running",  # it shows no horse; the head learns
    "cat-none__yrcong-puff.mp4": "cat-none",
}


@pytest.fixture
def taxonomy_file(tmp_path):
    """A2D's, and a horse that moves as dogs and cats do."""
    content = yaml.safe_load(A2D_TAXONOMY_FILE.read_text())
    content["actors"]["horse"] = {
        "detector_classes": ["horse"],
        "borrows_from": ["dog", "cat"],
        "kinds": {"horse": {"id": 8, "actions": ["running", "walking", "none"]}},
    }
    path = tmp_path / "taxonomy.yaml"
    path.write_text(yaml.safe_dump(content, sort_keys=False))
    return path


@pytest.fixture
def data(kit, tmp_path):
    rows = [f"{kit / 'clips' / name},{labels},train" for name, labels in CLIPS.items()]
    path = tmp_path / "clips.csv"
    path.write_text("\n".join(["file,labels,split", *rows]) + "\n")
    return path


def test_an_actor_is_added_and_used(kit, yolo, heads, gates_file, taxonomy_file, data, cache, tmp_path, capsys):
    files = [*sorted(heads.iterdir()), gates_file, yolo]
    before = [sha256_file(file) for file in files]
    stage1 = ["--detector", str(yolo), "--taxonomy", str(taxonomy_file), "--cache", str(cache), "--device", "cpu"]
    command = [
        "--actor",
        "horse",
        "--data",
        str(data),
        "--thresholds",
        str(gates_file),
        "--out",
        str(tmp_path / "mine"),
    ]
    assert cli.run(add_actor.main, [*command, *stage1]) == 0
    printed = capsys.readouterr().out
    assert "horse" in printed
    assert f"--heads {tmp_path / 'mine' / 'heads'}" in printed
    assert [sha256_file(file) for file in files] == before
    assert [path.name for path in (tmp_path / "mine" / "heads").iterdir()] == ["horse.safetensors"]
    manifest = read_manifest(tmp_path / "mine" / "heads" / "horse.safetensors")
    assert manifest.recipe["borrowed"] == {"from": ["dog", "cat"], "samples": 2, "weight": AUXILIARY_WEIGHT}
    assert manifest.data["samples"] == 1, "borrowed clips are not its own"
    old, new = load_gates(gates_file), load_gates(tmp_path / "mine" / "gates.yaml")
    assert new.actors == (*old.actors, "horse")
    assert new.values[:-1].tolist() == old.values.tolist()
    for file in heads.iterdir():
        (tmp_path / "mine" / "heads" / file.name).symlink_to(file)
    use = ["--heads", str(tmp_path / "mine" / "heads"), "--thresholds", str(tmp_path / "mine" / "gates.yaml")]
    clip = str(kit / "clips" / next(iter(CLIPS)))
    assert cli.run(run_pipeline.main, ["--video", clip, "--json", *use, *stage1]) == 0
    result = json.loads(capsys.readouterr().out)
    assert list(result["actors"])[-1] == "horse"
    assert result["actors"]["horse"]["gate"] == pytest.approx(new.values[-1], abs=1e-4)


def test_gates_that_lack_another_actor_are_refused(gates_file, yolo, taxonomy_file, data, cache, tmp_path, capsys):
    gates = load_gates(gates_file)
    save_gates(replace(gates, actors=gates.actors[:-1], values=gates.values[:-1]), tmp_path / "few.yaml")
    command = ["--actor", "horse", "--data", str(data), "--thresholds", str(tmp_path / "few.yaml")]
    command += ["--out", str(tmp_path / "mine"), "--detector", str(yolo), "--taxonomy", str(taxonomy_file)]
    assert cli.run(add_actor.main, [*command, "--cache", str(cache), "--device", "cpu"]) == cli.WRONG_USAGE
    assert "no gate is known of dog" in capsys.readouterr().err


def test_the_best_gate_of_one_actor_is_found_among_all_cuts():
    rng = np.random.default_rng(0)
    table = PresenceTable(rng.random((40, 3)), rng.random((40, 3)) < 0.5)
    gates = np.array([0.3, 0.4, 0.5])
    found = best_gate(table, OBJECTIVES["prf"], gates, 1, (0.0, 1.0))
    tried = np.tile(gates, (1001, 1))
    tried[:, 1] = np.linspace(0, 1, 1001)
    values = OBJECTIVES["prf"](score_gates(table.ratios, table.truth, tried))
    (value,) = OBJECTIVES["prf"](score_gates(table.ratios, table.truth, np.array([[0.3, found, 0.5]])))
    assert value <= values.min() + 1e-12
