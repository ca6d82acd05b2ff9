"""Head files: round trips, the tensors that they contain, and strict validation."""

import dataclasses
import json
import shutil

import pytest
import safetensors.torch
import torch

from a2d.taxonomy import load_taxonomy
from action_heads import trunk_files
from action_heads.backbones import find_backbone
from action_heads.checkpoint import (
    MANIFEST_TYPES,
    find_heads,
    hash_heads,
    head_path,
    load_head,
    read_manifest,
    save_head,
)
from action_heads.model import load_trunk
from action_heads.preprocessing import Preprocessing
from common.errors import CheckpointError
from common.paths import A2D_TAXONOMY_FILE
from networks.tensors import network_tensors, normalization_layers, round_convolutions


def test_saving_a_loaded_head_gives_the_same_bytes(heads, taxonomy, tmp_path):
    network, manifest = load_head(head_path(heads, "dog"), taxonomy.actor("dog"))
    assert manifest.labels == taxonomy.actor("dog").label_names
    assert not network.training
    copy = tmp_path / "dog.safetensors"
    save_head(copy, network, manifest)
    assert copy.read_bytes() == head_path(heads, "dog").read_bytes()
    assert read_manifest(copy) == manifest
    assert list(hash_heads(tmp_path)) == ["dog"]


@pytest.mark.parametrize(
    ("tuned", "source", "is_stored"),
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
def test_file_contains_only_the_tensors_that_training_could_change(heads, taxonomy, tmp_path, tuned, source, is_stored):
    network, manifest = load_head(head_path(heads, "dog"), taxonomy.actor("dog"))
    trainable = find_backbone("efficientnet_lite0").trainable_tensors(network, tuned)
    if tuned == "norms":
        assert {name.rpartition(".")[0] for name in trainable} == {*normalization_layers(network), "classifier"}
    with torch.no_grad():
        for name, tensor in network_tensors(network).items():
            if name in trainable:
                tensor.mul_(1.125)
    round_convolutions(network)
    path = head_path(tmp_path, "dog")
    manifest = dataclasses.replace(manifest, tuned=tuned, trunk={**manifest.trunk, "source": source})
    save_head(path, network, manifest)
    stored = safetensors.torch.load_file(path)
    assert set(stored) == {name for name in network_tensors(network) if is_stored(name)}
    assert all(tensor.dtype == (torch.float16 if tensor.ndim == 4 else torch.float32) for tensor in stored.values())
    loaded, _ = load_head(path, taxonomy.actor("dog"))
    for name, tensor in network_tensors(network).items():
        assert torch.equal(network_tensors(loaded)[name], tensor), name


def test_head_on_another_trunk_is_rejected_with_both_hashes(heads, taxonomy, tmp_path, monkeypatch):
    trunk = trunk_files.trunk_path("efficientnet_lite0")
    copy = tmp_path / trunk.name
    shutil.copy(trunk, copy)
    monkeypatch.setattr(trunk_files, "EMBEDDED_FOLDER", tmp_path)
    assert trunk_files.trunk_path("efficientnet_lite0") == copy
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


def test_heads_missing_from_a_folder_come_from_the_fallback(heads, taxonomy, tmp_path):
    with pytest.raises(CheckpointError, match="no head for person, ball, bird, car, cat, dog; train each with"):
        find_heads(tmp_path, taxonomy, heads)
    shutil.copy(head_path(heads, "cat"), tmp_path)
    found = find_heads(tmp_path, taxonomy, heads)
    assert list(found) == list(taxonomy.actor_names)
    assert [name for name, path in found.items() if path.parent == tmp_path] == ["cat"]
    with pytest.raises(CheckpointError, match="no head for person, ball, bird, car, dog; train each with"):
        find_heads(tmp_path, taxonomy, tmp_path / "missing")


def test_head_of_another_actor_is_rejected(heads, taxonomy):
    with pytest.raises(CheckpointError, match="the file's actor is 'dog', this run requires 'cat'"):
        load_head(head_path(heads, "dog"), taxonomy.actor("cat"))


def test_head_with_other_labels_is_rejected_with_both_lists(heads, tmp_path):
    path = tmp_path / "taxonomy.yaml"
    actions = "[flying, jumping, rolling, none]"
    path.write_text(A2D_TAXONOMY_FILE.read_text().replace(actions, "[flying, rolling, none]"))
    with pytest.raises(
        CheckpointError,
        match=r"'ball-flying ball-jumping ball-rolling ball-none', this run requires 'ball-flying ball-rolling",
    ):
        load_head(head_path(heads, "ball"), load_taxonomy(path).actor("ball"))


def test_tensors_that_do_not_match_the_manifest_are_rejected(heads, taxonomy, tmp_path):
    manifest = read_manifest(head_path(heads, "dog"))
    save_head(tmp_path / "dog.safetensors", find_backbone("efficientnet_lite0").build(3), manifest)
    message = r"'classifier.weight' has shape \(3, 1280\) in the file, efficientnet_lite0 requires \(7, 1280\)"
    with pytest.raises(CheckpointError, match=message):
        load_head(tmp_path / "dog.safetensors", taxonomy.actor("dog"))


def file_with_metadata(metadata):
    return safetensors.torch.save({"x": torch.zeros(1)}, metadata=metadata)


def file_with_manifest(**change):
    manifest = {name: kind() for name, kind in MANIFEST_TYPES.items()} | {"tuned": "all", "input": "crop"}
    return file_with_metadata({"manifest": json.dumps({"format": "actor-action-head/2", **manifest, **change})})


@pytest.mark.parametrize(
    "change", [{"size": "big"}, {"size": 0}, {"std": [0.0, 1.0, 1.0]}, {"mean": [0.5]}, {"mean": "abc"}], ids=str
)
def test_invalid_preprocessing_is_rejected(change):
    with pytest.raises(CheckpointError, match=f"dog: {next(iter(change))}: "):
        Preprocessing.from_dict(Preprocessing().to_dict() | change, "dog")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        pytest.param(None, "no such head; train it with retrain_head.py --actor dog", id="missing"),
        pytest.param(b"", "not a readable safetensors file", id="empty"),
        pytest.param(b"some text", "not a readable safetensors file", id="text"),
        pytest.param(file_with_metadata(None), "no manifest in its header", id="no metadata"),
        pytest.param(file_with_metadata({"manifest": "{"}), "manifest in its header cannot be read", id="invalid JSON"),
        pytest.param(
            file_with_metadata({"manifest": '{"format": "other"}'}), "format 'other' was found", id="other format"
        ),
        pytest.param(
            file_with_metadata({"manifest": '{"format": "actor-action-head/1"}'}),
            "format 'actor-action-head/1' was found, 'actor-action-head/2' was expected; train it again",
            id="previous format",
        ),
        pytest.param(
            file_with_metadata({"manifest": json.dumps({"format": "actor-action-head/2", "actors": "dog"})}),
            "unknown key 'actors'; did you mean 'actor'",
            id="unknown key",
        ),
        pytest.param(file_with_manifest(labels=None), "labels: list was expected, found None", id="labels not a list"),
        pytest.param(file_with_manifest(scores=[]), "scores: dict was expected", id="scores not a mapping"),
        pytest.param(
            file_with_manifest(input="box"),
            "one of crop, frame, both, moving was expected, found 'box'",
            id="unknown input",
        ),
        pytest.param(
            file_with_manifest(tuned="half"), "tuned: one of classifier, norms, layer4, all", id="unknown tuning mode"
        ),
    ],
)
def test_invalid_file_is_reported_in_one_line(tmp_path, content, message):
    path = tmp_path / "dog.safetensors"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(CheckpointError, match=message) as caught:
        read_manifest(path)
    assert "\n" not in str(caught.value)


def test_unknown_backbone_is_rejected(heads, taxonomy, tmp_path):
    network, manifest = load_head(head_path(heads, "dog"), taxonomy.actor("dog"))
    manifest = dataclasses.replace(manifest, backbone="resnet43", trunk={"source": "random", "sha256": ""})
    save_head(tmp_path / "dog.safetensors", network, manifest)
    with pytest.raises(CheckpointError, match="dog.safetensors: unknown backbone 'resnet43'; did you mean 'resnet34'"):
        load_head(tmp_path / "dog.safetensors", taxonomy.actor("dog"))


def test_truncated_file_is_rejected(heads, taxonomy, tmp_path):
    path = tmp_path / "dog.safetensors"
    path.write_bytes(head_path(heads, "dog").read_bytes()[:10_000])
    with pytest.raises(CheckpointError, match="not a readable safetensors file"):
        load_head(path, taxonomy.actor("dog"))


def test_manifest_has_the_documented_fields(heads):
    manifest = read_manifest(head_path(heads, "person"))
    assert {field.name for field in dataclasses.fields(manifest)} == {
        *("actor", "labels", "backbone", "tuned", "input", "preprocessing"),
        *("trunk", "recipe", "data", "seed", "scores"),
    }
    assert manifest.preprocessing["size"] == 224
