"""Head files: strict at the door, and whole at every moment."""

import dataclasses
import json

import pytest
import safetensors.torch
import torch

from a2d.errors import CheckpointError
from a2d.labels import A2D_TAXONOMY_FILE, load_taxonomy
from action_heads.checkpoint import MANIFEST_TYPES, hash_heads, head_path, load_head, read_manifest, save_head
from action_heads.model import build_head
from action_heads.preprocessing import Preprocessing


def test_round_trip(heads, taxonomy, tmp_path):
    network, manifest = load_head(head_path(heads, "dog"), taxonomy.actor("dog"))
    assert manifest.labels == taxonomy.actor("dog").label_names
    assert not network.training
    copy = tmp_path / "dog.safetensors"
    save_head(copy, network, manifest)
    assert copy.read_bytes() == head_path(heads, "dog").read_bytes()
    assert read_manifest(copy) == manifest
    assert list(hash_heads(tmp_path)) == ["dog"]


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
    save_head(tmp_path / "dog.safetensors", build_head(3), manifest)
    message = r"'fc.weight' has shape \(3, 512\) in the file, resnet34 wants \(7, 512\)"
    with pytest.raises(CheckpointError, match=message):
        load_head(tmp_path / "dog.safetensors", taxonomy.actor("dog"))


def foreign(metadata):
    return safetensors.torch.save({"x": torch.zeros(1)}, metadata=metadata)


def with_change(**change):
    manifest = {name: kind() for name, kind in MANIFEST_TYPES.items()}
    return foreign({"manifest": json.dumps({"format": "actor-action-head/1", **manifest, **change})})


def test_a_head_that_wants_other_input_is_refused(heads, taxonomy, tmp_path):
    network, manifest = load_head(head_path(heads, "dog"), taxonomy.actor("dog"))
    save_head(tmp_path / "dog.safetensors", network, dataclasses.replace(manifest, input="crop"))
    with pytest.raises(CheckpointError, match="the file's input is 'crop', this run wants 'frame'"):
        load_head(tmp_path / "dog.safetensors", taxonomy.actor("dog"))


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
            foreign({"manifest": json.dumps({"format": "actor-action-head/1", "actors": "dog"})}),
            "unknown key 'actors'; did you mean 'actor'",
            id="unknown key",
        ),
        pytest.param(with_change(labels=None), "labels: list was expected, found None", id="labels no list"),
        pytest.param(with_change(scores=[]), "scores: dict was expected", id="scores no mapping"),
    ],
)
def test_wrong_files_are_one_clear_line(tmp_path, content, message):
    path = tmp_path / "dog.safetensors"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(CheckpointError, match=message) as caught:
        read_manifest(path)
    assert "\n" not in str(caught.value)


def test_a_cut_file_is_refused(heads, taxonomy, tmp_path):
    path = tmp_path / "dog.safetensors"
    path.write_bytes(head_path(heads, "dog").read_bytes()[:1_000_000])
    with pytest.raises(CheckpointError, match="not a readable safetensors file"):
        load_head(path, taxonomy.actor("dog"))


def test_the_manifest_says_all_that_a_reader_needs(heads):
    manifest = read_manifest(head_path(heads, "person"))
    assert {field.name for field in dataclasses.fields(manifest)} == {
        *("actor", "labels", "backbone", "tuned", "input", "preprocessing"),
        *("trunk", "recipe", "data", "seed", "scores"),
    }
    assert manifest.preprocessing["size"] == 224
