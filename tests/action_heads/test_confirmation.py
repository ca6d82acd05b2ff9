"""Confirmation layers: fitting, their file, and judging boxes with the project's trunk."""

import json
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy

from action_heads.backbones import find_backbone
from action_heads.confirmation import (
    FORMAT,
    ConfirmationLayers,
    ConfirmationManifest,
    Confirmer,
    load_confirmation,
    save_confirmation,
)
from action_heads.crops import NO_BOX
from action_heads.frame_views import FrameViews
from action_heads.model import load_trunk
from action_heads.training import confirmation_fitting
from action_heads.training.confirmation_fitting import PARTS, JudgedBoxes, assign_parts, fit_confirmation
from action_heads.training.features import trunk_engine
from action_heads.trunk_files import trunk_path
from common.errors import CheckpointError, TrainingError
from common.files import sha256_file
from common.paths import MODELS
from inference.runtime import Runtime

BACKBONE, D = "efficientnet_lite0", 1280


@pytest.fixture(scope="module")
def layers() -> ConfirmationLayers:
    rng = np.random.default_rng(0)
    return ConfirmationLayers(rng.normal(size=(3, 2, D)).astype(np.float32), np.float32([[1, 2], [3, 4], [5, 6]]))


@pytest.fixture(scope="module")
def manifest() -> ConfirmationManifest:
    trunk = load_trunk("embedded", find_backbone(BACKBONE))
    parts = {"0" * 16: 1, "f" * 16: 2}
    return ConfirmationManifest(
        ("cat", "dog"), BACKBONE, trunk.sha256, trunk.preprocessing.to_dict(), parts, {}, {"name": "clips.csv"}, {}
    )


@pytest.fixture
def path(tmp_path: Path, layers, manifest) -> Path:
    save_confirmation(tmp_path / "layers.safetensors", layers, manifest)
    return tmp_path / "layers.safetensors"


def boxes_of(clips: int, there: np.ndarray, seed: int = 0, dim: int = 6) -> JudgedBoxes:
    """Three boxes of each clip, whose first feature says whether the actor is there."""
    rng = np.random.default_rng(seed)
    clip = np.repeat(np.arange(clips), 3)
    features = rng.normal(size=(len(clip), 2, dim)).astype(np.float32)
    features[:, :, 0] += np.where(there[clip], 4, -4)[:, None]
    return JudgedBoxes(features, clip, there[clip])


def test_layers_learn_what_distinguishes_the_boxes():
    there = np.arange(40) % 2 == 0
    parts = assign_parts([str(clip) for clip in range(40)], 0)
    fitted = fit_confirmation({"cat": boxes_of(40, there), "dog": boxes_of(40, ~there, 1)}, parts)
    assert fitted.actors == ("cat", "dog")
    assert fitted.layers.weight.shape == (1 + PARTS, 2, 6)
    for actor, truth in ((0, there), (1, ~there)):
        new = boxes_of(40, truth, seed=5)
        assert ((fitted.layers.logits(actor, new.features[:, 0])[:, 0] > 0) == new.is_there).mean() > 0.95
    assert fitted.scores["cat"]["clips_with"] == fitted.scores["cat"]["clips_without"] == 20
    assert fitted.scores["cat"]["confirmed_with"] > 0.9 > 0.1 > fitted.scores["cat"]["confirmed_without"]


def test_a_clip_is_judged_by_layers_that_have_not_seen_its_source(monkeypatch):
    there = np.arange(40) % 2 == 0
    parts = assign_parts([f"source {clip // 4}" for clip in range(40)], 0)
    boxes = boxes_of(40, there)
    poisoned = replace(boxes, features=boxes.features.copy())
    poisoned.features[parts[boxes.clip] == 2] *= -1
    monkeypatch.setattr(confirmation_fitting, "C_VALUES", (0.1,))
    before, after = (fit_confirmation({"cat": some}, parts) for some in (boxes, poisoned))
    same = [np.allclose(before.layers.weight[k], after.layers.weight[k]) for k in range(1 + PARTS)]
    assert same == [False, False, True, False, False, False]


def test_clips_of_a_source_are_in_the_same_part_and_parts_are_about_equal():
    groups = ["large"] * 20 + [str(number) for number in range(80)]
    parts = assign_parts(groups, 3)
    assert len(set(parts[:20].tolist())) == 1
    assert np.bincount(parts, minlength=1 + PARTS)[1:].tolist() == [20] * PARTS
    assert (assign_parts(groups, 3) == parts).all()


def test_an_actor_without_counterexamples_has_no_layer():
    parts = assign_parts([str(clip) for clip in range(20)], 0)
    always, half = np.ones(20, bool), np.arange(20) % 2 == 0
    fitted = fit_confirmation({"cat": boxes_of(20, always), "dog": boxes_of(20, half)}, parts)
    assert fitted.actors == ("dog",)
    with pytest.raises(TrainingError, match="nothing to learn from"):
        fit_confirmation({"cat": boxes_of(20, always)}, parts)


def test_file_keeps_layers_and_description(path, layers, manifest):
    found, description = load_confirmation(path)
    assert json.dumps(asdict(description)) == json.dumps(asdict(manifest))
    assert (found.weight == layers.weight).all()
    assert (found.bias == layers.bias).all()
    before = path.read_bytes()
    save_confirmation(path, found, description)
    assert path.read_bytes() == before


def test_boxes_are_judged_on_the_trunks_features_of_the_crop(path, layers):
    runtime, rng = Runtime(), np.random.default_rng(1)
    confirmer = Confirmer(path, runtime)
    image = rng.integers(0, 255, (90, 160, 3), dtype=np.uint8)
    box = np.float32([20, 10, 60, 50])
    wait = confirmer.submit_frame(FrameViews(image), {"dog": box, "cat": NO_BOX, "person": box})
    judged = wait()
    assert list(judged) == ["dog"], "no box of a cat, and no layer for persons"
    trunk = load_trunk("embedded", find_backbone(BACKBONE))
    engine = trunk_engine(trunk, runtime)
    features = FrameViews(image).submit(engine, "crop", box, trunk.preprocessing.size).result()[0]
    assert judged["dog"] == pytest.approx(layers.weight[:, 1] @ features + layers.bias[:, 1], rel=1e-4, abs=1e-4)
    assert (confirmer.part_of("0" * 64), confirmer.part_of("a" * 64)) == (1, 0)


class CountingEngine:
    """Counts what is submitted."""

    def __init__(self) -> None:
        self.submitted = 0

    def submit(self, images):
        self.submitted += 1
        return self


def test_a_view_that_several_networks_share_is_processed_once():
    engine, other = CountingEngine(), CountingEngine()
    views = FrameViews(np.zeros((40, 60, 3), np.uint8))
    box = np.float32([1, 2, 30, 20])
    for _ in range(2):
        views.submit(engine, "frame", box, 32)
        views.submit(engine, "crop", box, 32)
        views.submit(engine, "crop", NO_BOX, 32)  # the whole frame
        views.submit(engine, "crop", box + 1, 32)
    views.submit(other, "crop", box, 32)
    assert (engine.submitted, other.submitted) == (3, 1)


def rewrite(path: Path, change=None, **arrays: np.ndarray) -> None:
    """Write the file again with other arrays, or another manifest."""
    found = safetensors.numpy.load_file(path)
    header = json.loads(path.read_bytes()[8 : 8 + int.from_bytes(path.read_bytes()[:8], "little")])
    manifest = json.loads(header["__metadata__"]["manifest"])
    if change:
        change(manifest)
    found |= arrays
    safetensors.numpy.save_file(found, path, {"manifest": json.dumps(manifest)})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda m: m.update(format="other"), FORMAT),
        (lambda m: m.pop("trunk"), "trunk"),
        (lambda m: m.update(actors="cat"), "actors: list was expected"),
        (lambda m: m.update(actors=["cat", "cat"]), "different names"),
        (lambda m: m.update(actors=["cat"]), r"\(1 \+ parts, 1, D\)"),
        (lambda m: m.update(part_of_clip={"a": 3}), "parts from 1 to 2"),
        (lambda m: m.update(part_of_clip={"a": True}), "parts from 1 to 2"),
        (lambda m: m.update(backbone="vgg"), "vgg"),
        (lambda m: m.update(trunk="0" * 64), "made with a trunk with sha256 00000000"),
    ],
)
def test_a_wrong_description_is_refused(path, change, message):
    rewrite(path, change)
    with pytest.raises(CheckpointError, match=message) as error:
        load_confirmation(path)
    assert str(path) in str(error.value)


@pytest.mark.parametrize(
    "arrays",
    [
        {"bias": np.zeros((2, 2), np.float32)},
        {"weight": np.zeros((3, D), np.float32)},
        {"more": np.zeros(1, np.float32)},
        {"weight": np.zeros((0, 2, D), np.float32), "bias": np.zeros((0, 2), np.float32)},
    ],
    ids=lambda arrays: "-".join(arrays),
)
def test_wrong_layers_are_refused(path, arrays):
    rewrite(path, **arrays)
    with pytest.raises(CheckpointError, match="were expected, not"):
        load_confirmation(path)


def test_a_missing_file_says_how_to_do_without(tmp_path):
    with pytest.raises(CheckpointError, match="no such file.*--confirmation none"):
        Confirmer(tmp_path / "none.safetensors", Runtime())


def test_the_embedded_layers_fit_the_embedded_trunk(taxonomy):
    confirmer = Confirmer(MODELS / "box_confirmation.safetensors", Runtime())
    assert set(confirmer.actors) == set(taxonomy.actor_names)
    assert confirmer.manifest.trunk == sha256_file(trunk_path(BACKBONE))
    assert len(confirmer.layers.weight) == 1 + PARTS
