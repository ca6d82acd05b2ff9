"""Adding an actor: it gets a head and a gate, and everything else stays the same, to the byte."""

import json
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import yaml

from a2d.skipped_samples import SkippedSamples
from a2d.taxonomy import load_taxonomy
from action_heads.checkpoint import head_path, read_manifest
from action_heads.defaults import AUXILIARY_WEIGHT
from common.files import sha256_file
from common.paths import A2D_TAXONOMY_FILE
from pipeline.__main__ import main
from pipeline.cached_detector import CachedDetector
from pipeline.commands import console
from pipeline.config import TaggerConfig
from pipeline.known_detectors import EMBEDDED_FILE
from pipeline.training.known_gates import KnownGates
from pipeline.training.new_actor import LabelledSplit, add_gate
from thresholds.exact import UNIFORM_GATE, best_gate
from thresholds.fitness import OBJECTIVES, PresenceTable, score_gates
from thresholds.gates import load_gates, save_gates


@dataclass(frozen=True)
class Addition:
    """An actor to add.

    Attributes:
        actor: Its name.
        auxiliary: Actors that it borrows from.
        taxonomy: The taxonomy with it, as the last actor.
        gates: Gates of the other actors.
        data: A CSV with one clip of the actor, and clips with as many samples of auxiliary actors as `borrowed`.
        borrowed: Number of auxiliary samples.
        detector: The detector's file.
    """

    actor: str
    auxiliary: list[str]
    taxonomy: Path
    gates: Path
    data: Path
    borrowed: int
    detector: Path

    @property
    def stage_1(self) -> list[str]:
        parts = ["--detector", str(self.detector), "--taxonomy", str(self.taxonomy)]
        return [*parts, "--device", "cpu", "--look-every", "1"]

    def command(self, out: Path, gates: Path | None = None) -> list[str]:
        what = ["--actor", self.actor, "--data", str(self.data), "--thresholds", str(gates or self.gates)]
        return ["add-actor", *what, "--out", str(out), *self.stage_1]


def write_csv(path, rows):
    path.write_text("\n".join(["file,labels,split", *(f"{clip},{labels},train" for clip, labels in rows)]) + "\n")
    return path


@pytest.fixture
def cat(gates_file, people_and_cat_clip, people_clip, tmp_path):
    """A2D's own cat, as if it were missing: the embedded detector knows no other class."""
    content = yaml.safe_load(A2D_TAXONOMY_FILE.read_text())
    content["actors"]["cat"] = content["actors"].pop("cat") | {"borrows_from": ["person", "dog"]}
    (tmp_path / "taxonomy.yaml").write_text(yaml.safe_dump(content, sort_keys=False))
    gates = load_gates(gates_file)
    names = [name for name in gates.actors if name != "cat"]
    save_gates(replace(gates, actors=tuple(names), values=gates.values[:-1]), tmp_path / "five.yaml")
    rows = [(people_and_cat_clip, "cat-walking adult-running"), (people_clip, "adult-walking adult-jumping")]
    data = write_csv(tmp_path / "clips.csv", rows)
    taxonomy_file = tmp_path / "taxonomy.yaml"
    return Addition("cat", ["person", "dog"], taxonomy_file, tmp_path / "five.yaml", data, 2, EMBEDDED_FILE)


@pytest.fixture
def horse(kit, yolo, yolo_gates_file, tmp_path):
    """A horse, which A2D lacks and a COCO-trained detector knows."""
    content = yaml.safe_load(A2D_TAXONOMY_FILE.read_text())
    content["actors"]["horse"] = {
        "detector_classes": ["horse"],
        "borrows_from": ["dog", "cat"],
        "kinds": {"horse": {"id": 8, "actions": ["running", "walking", "none"]}},
    }
    (tmp_path / "taxonomy.yaml").write_text(yaml.safe_dump(content, sort_keys=False))
    rows = [
        # It shows no horse, but the head can be trained all the same.
        (kit / "clips" / "dog-walking__ground-a-video-dog-walking.mp4", "dog-walking horse-running"),
        (kit / "clips" / "cat-none__yrcong-puff.mp4", "cat-none"),
    ]
    data = write_csv(tmp_path / "clips.csv", rows)
    return Addition("horse", ["dog", "cat"], tmp_path / "taxonomy.yaml", yolo_gates_file, data, 2, yolo)


@pytest.mark.parametrize("name", ["cat", "horse"])
def test_an_actor_is_added_and_used(request, name, heads, cache, tmp_path, capsys):
    added = request.getfixturevalue(name)
    other_heads = [path for path in sorted(heads.iterdir()) if path.stem != name]
    files = [*other_heads, added.gates, added.detector]
    before = [sha256_file(file) for file in files]
    out = tmp_path / "mine"
    assert main([*added.command(out), "--cache", str(cache)]) == console.DONE
    printed = capsys.readouterr().out
    assert name in printed
    assert f"--heads {out / 'heads'}" in printed
    assert [sha256_file(file) for file in files] == before
    assert [path.name for path in (out / "heads").iterdir()] == [f"{name}.safetensors"]
    manifest = read_manifest(head_path(out / "heads", name))
    borrowed = manifest.recipe["borrowed"]
    assert (borrowed["samples"], borrowed["weight"]) == (added.borrowed, AUXILIARY_WEIGHT)
    assert borrowed["from"]
    assert set(borrowed["from"]) <= set(added.auxiliary), "those that the clips show"
    assert manifest.data["samples"] == 1, "auxiliary clips do not count as the actor's"
    old, new = load_gates(added.gates), load_gates(out / "gates.yaml")
    assert new.actors == (*old.actors, name)
    assert new.values[:-1].tolist() == old.values.tolist()
    for file in other_heads:
        (out / "heads" / file.name).symlink_to(file)
    use = ["--heads", str(out / "heads"), "--thresholds", str(out / "gates.yaml"), "--cache", str(cache)]
    clip = added.data.read_text().splitlines()[1].split(",")[0]
    assert main(["tag", "--video", clip, "--json", *use, *added.stage_1]) == console.DONE
    result = json.loads(capsys.readouterr().out)
    assert list(result["actors"])[-1] == name
    assert result["actors"][name]["gate"] == pytest.approx(new.values[-1], abs=1e-4)


def test_gates_that_lack_another_actor_are_refused(cat, cache, tmp_path, capsys):
    gates = load_gates(cat.gates)
    save_gates(replace(gates, actors=gates.actors[:-1], values=gates.values[:-1]), tmp_path / "few.yaml")
    command = cat.command(tmp_path / "mine", tmp_path / "few.yaml")
    assert main([*command, "--cache", str(cache)]) == console.WRONG_USAGE
    assert "there is no gate for dog" in capsys.readouterr().err


@pytest.mark.parametrize("is_known", [False, True])
def test_an_actor_that_every_clip_shows_keeps_its_gate_or_is_given_the_uniform_one(
    cat, gates_file, people_and_cat_clip, cat_clip, cache, tmp_path, is_known
):
    (tmp_path / "broken.mp4").write_text("no video")
    rows = [(people_and_cat_clip, "cat-walking"), (cat_clip, "cat-none"), (tmp_path / "broken.mp4", "cat-none")]
    data = write_csv(tmp_path / "all.csv", rows)
    taxonomy = load_taxonomy(cat.taxonomy)
    detector = CachedDetector.from_config(TaggerConfig(taxonomy=cat.taxonomy, device="cpu", cache=cache), taxonomy)
    known = KnownGates(load_gates(gates_file if is_known else cat.gates), "mine.yaml")
    skipped = SkippedSamples()
    found = add_gate(known, taxonomy.actor("cat"), LabelledSplit(data, "train", skipped), detector)
    assert found.values[-1] == (0.1 if is_known else UNIFORM_GATE)
    assert (found.clips, found.skipped, len(skipped)) == (2, 1, 1)
    assert found.clips_showing["cat"] == 2
    assert found.kept.source == "mine.yaml"
    assert found.kept.reasons["cat"].startswith("every clip shows it")
    assert found.kept.reasons["dog"] == "it is not the added actor"


def test_best_gate_finds_the_optimum_among_all_gates_of_one_actor():
    rng = np.random.default_rng(0)
    table = PresenceTable(rng.random((40, 3)), rng.random((40, 3)) < 0.5)
    gates = np.array([0.3, 0.4, 0.5])
    found = best_gate(table, OBJECTIVES["prf"], gates, 1, (0.0, 1.0))
    candidates = np.tile(gates, (1001, 1))
    candidates[:, 1] = np.linspace(0, 1, 1001)
    values = OBJECTIVES["prf"](score_gates(table.ratios, table.truth, candidates))
    (value,) = OBJECTIVES["prf"](score_gates(table.ratios, table.truth, np.array([[0.3, found, 0.5]])))
    assert value <= values.min() + 1e-12
