"""Head files: strict at the door, whole at every moment, and no larger than what is a head's own."""

import dataclasses
import json
import shutil

import pytest
import safetensors.torch
import torch

from a2d.taxonomy import A2D_TAXONOMY_FILE, load_taxonomy
from action_heads import trunk_files
from action_heads.backbones import find_backbone, normalisation_layers, tensors_of
from action_heads.checkpoint import (
    MANIFEST_TYPES,
    find_heads,
    hash_heads,
    head_path,
    load_head,
    read_manifest,
    save_head,
)
from action_heads.model import load_trunk, round_convolutions
from action_heads.preprocessing import Preprocessing
from common.errors import CheckpointError


def test_round_trip(heads, taxonomy, tmp_path):
    network, manifest = load_head(head_path(heads, "dog"), taxonomy.actor("dog"))
    assert manifest.labels == taxonomy.actor("dog").label_names
    assert not network.training
    copy = tmp_path / "dog.safetensors"
    save_head(copy, network, manifest)
    assert copy.read_bytes() == head_path(heads, "dog").read_bytes()
    assert read_manifest(copy) == manifest
    assert list(hash_heads(tmp_path)) == ["dog"]


@pytest.mark.parametrize(
    ("tuned", "source", "kept"),
    [
        ("classifier", "embedded", lambda name: name.startswith("classifier.")),
        ("norms", "embedded", lambda name: name.startswith("classifier.") or ".conv" not in f".{name}"),
        (
            "layer4",
            "embedded",
            lambda name: name.startswith(("classifier.", "blocks.5.", "blocks.6.", "conv_head.", "bn2.")),
        ),
        ("all", "embedded", lambda name: True),
        ("classifier", "random", lambda name: True),
    ],
    ids=str,
)
def test_a_head_holds_only_what_its_training_may_move(heads, taxonomy, tmp_path, tuned, source, kept):
    network, manifest = load_head(head_path(heads, "dog"), taxonomy.actor("dog"))
    movable = find_backbone("efficientnet_lite0").movable(network, tuned)
    if tuned == "norms":
        assert {name.rpartition(".")[0] for name in movable} == {*normalisation_layers(network), "classifier"}
    with torch.no_grad():
        for name, tensor in tensors_of(network).items():
            if name in movable:
                tensor.mul_(1.125)
    round_convolutions(network)
    path = head_path(tmp_path, "dog")
    manifest = dataclasses.replace(manifest, tuned=tuned, trunk={**manifest.trunk, "source": source})
    save_head(path, network, manifest)
    stored = safetensors.torch.load_file(path)
    assert set(stored) == {name for name in tensors_of(network) if kept(name)}
    assert all(tensor.dtype == (torch.float16 if tensor.ndim == 4 else torch.float32) for tensor in stored.values())
    again, _ = load_head(path, taxonomy.actor("dog"))
    for name, tensor in tensors_of(network).items():
        assert torch.equal(tensors_of(again)[name], tensor), name


def test_a_head_on_another_trunk_is_refused_and_both_are_named(heads, taxonomy, tmp_path, monkeypatch):
    trunk = trunk_files.trunk_path("efficientnet_lite0")
    copy = trunk_files.trunk_path("efficientnet_lite0", tmp_path)
    shutil.copy(trunk, copy)
    monkeypatch.setattr(trunk_files, "EMBEDDED_FOLDER", tmp_path)
    load_head(head_path(heads, "dog"), taxonomy.actor("dog"))
    network = load_trunk("embedded", find_backbone("efficientnet_lite0"))
    manifest = trunk_files.TrunkManifest("efficientnet_lite0", network.preprocessing.to_dict(), "another", "none")
    trunk_files.save_trunk(copy, network.state, manifest)
    message = (
        r"dog.safetensors: trained on a trunk with sha256 \w{8}…, but .*trunk_efficientnet_lite0.safetensors has \w{8}…"
    )
    with pytest.raises(CheckpointError, match=message):
        load_head(head_path(heads, "dog"), taxonomy.actor("dog"))
    copy.unlink()
    with pytest.raises(CheckpointError, match="the trunk that it was trained on is missing"):
        load_head(head_path(heads, "dog"), taxonomy.actor("dog"))


def test_heads_that_a_folder_lacks_come_from_the_other(heads, taxonomy, tmp_path):
    with pytest.raises(CheckpointError, match="no head for person, ball, bird, car, cat, dog; train each with"):
        find_heads(tmp_path, taxonomy, heads)
    shutil.copy(head_path(heads, "cat"), tmp_path)
    found = find_heads(tmp_path, taxonomy, heads)
    assert list(found) == list(taxonomy.actor_names)
    assert [name for name, path in found.items() if path.parent == tmp_path] == ["cat"]
    with pytest.raises(CheckpointError, match="no head for person, ball, bird, car, dog; train each with"):
        find_heads(tmp_path, taxonomy, tmp_path / "nowhere")


def test_a_head_of_another_actor_is_refused(heads, taxonomy):
    with pytest.raises(CheckpointError, match="the file's actor is 'dog', this run wants 'cat'"):
        load_head(head_path(heads, "dog"), taxonomy.actor("cat"))


def test_a_head_of_other_labels_is_refused_and_both_sides_are_named(heads, tmp_path):
    path = tmp_path / "taxonomy.yaml"
    actions = "[flying, jumping, rolling, none]"
    path.write_text(A2D_TAXONOMY_FILE.read_text().replace(actions, "[flying, rolling, none]"))
    with pytest.raises(
        CheckpointError,
        match=r"labels is 'ball-flying ball-jumping ball-rolling ball-none', this run wants 'ball-flying ball-rolling",
    ):
        load_head(head_path(heads, "ball"), load_taxonomy(path).actor("ball"))


def test_tensors_must_fit_the_manifest(heads, taxonomy, tmp_path):
    manifest = read_manifest(head_path(heads, "dog"))
    save_head(tmp_path / "dog.safetensors", find_backbone("efficientnet_lite0").build(3), manifest)
    message = r"'classifier.weight' has shape \(3, 1280\) in the file, efficientnet_lite0 wants \(7, 1280\)"
    with pytest.raises(CheckpointError, match=message):
        load_head(tmp_path / "dog.safetensors", taxonomy.actor("dog"))


def foreign(metadata):
    return safetensors.torch.save({"x": torch.zeros(1)}, metadata=metadata)


def with_change(**change):
    manifest = {name: kind() for name, kind in MANIFEST_TYPES.items()} | {"tuned": "all", "input": "crop"}
    return foreign({"manifest": json.dumps({"format": "actor-action-head/2", **manifest, **change})})


@pytest.mark.parametrize(
    "change", [{"size": "big"}, {"size": 0}, {"std": [0.0, 1.0, 1.0]}, {"mean": [0.5]}, {"mean": "abc"}], ids=str
)
def test_preprocessing_that_cannot_be_is_refused(change):
    with pytest.raises(CheckpointError, match=f"dog: {next(iter(change))}: "):
        Preprocessing.from_dict(Preprocessing().to_dict() | change, "dog")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        pytest.param(None, "no such head; train it with retrain_head.py --actor dog", id="missing"),
        pytest.param(b"", "not a readable safetensors file", id="empty"),
        pytest.param(b"some text", "not a readable safetensors file", id="text"),
        pytest.param(foreign(None), "no manifest in its header", id="no metadata"),
        pytest.param(foreign({"manifest": "{"}), "manifest in its header cannot be read", id="no JSON"),
        pytest.param(foreign({"manifest": '{"format": "other"}'}), "format 'other' was found", id="other format"),
        pytest.param(
            foreign({"manifest": '{"format": "actor-action-head/1"}'}),
            "format 'actor-action-head/1' was found, 'actor-action-head/2' was expected; train it anew",
            id="the format before",
        ),
        pytest.param(
            foreign({"manifest": json.dumps({"format": "actor-action-head/2", "actors": "dog"})}),
            "unknown key 'actors'; did you mean 'actor'",
            id="unknown key",
        ),
        pytest.param(with_change(labels=None), "labels: list was expected, found None", id="labels no list"),
        pytest.param(with_change(scores=[]), "scores: dict was expected", id="scores no mapping"),
        pytest.param(
            with_change(input="box"), "one of crop, frame, both, moving was expected, found 'box'", id="other input"
        ),
        pytest.param(with_change(tuned="half"), "tuned: one of classifier, norms, layer4, all", id="other tuning"),
    ],
)
def test_wrong_files_are_one_clear_line(tmp_path, content, message):
    path = tmp_path / "dog.safetensors"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(CheckpointError, match=message) as caught:
        read_manifest(path)
    assert "\n" not in str(caught.value)


def test_an_unknown_backbone_is_refused(heads, taxonomy, tmp_path):
    network, manifest = load_head(head_path(heads, "dog"), taxonomy.actor("dog"))
    manifest = dataclasses.replace(manifest, backbone="resnet43", trunk={"source": "random", "sha256": ""})
    save_head(tmp_path / "dog.safetensors", network, manifest)
    with pytest.raises(CheckpointError, match="dog.safetensors: unknown backbone 'resnet43'; did you mean 'resnet34'"):
        load_head(tmp_path / "dog.safetensors", taxonomy.actor("dog"))


def test_a_cut_file_is_refused(heads, taxonomy, tmp_path):
    path = tmp_path / "dog.safetensors"
    path.write_bytes(head_path(heads, "dog").read_bytes()[:10_000])
    with pytest.raises(CheckpointError, match="not a readable safetensors file"):
        load_head(path, taxonomy.actor("dog"))


def test_the_manifest_says_all_that_a_reader_needs(heads):
    manifest = read_manifest(head_path(heads, "person"))
    assert {field.name for field in dataclasses.fields(manifest)} == {
        *("actor", "labels", "backbone", "tuned", "input", "preprocessing"),
        *("trunk", "recipe", "data", "seed", "scores"),
    }
    assert manifest.preprocessing["size"] == 224
