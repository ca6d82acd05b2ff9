"""Backbones from timm: found by name, weights from the weights folder, heads that refer to a trunk beside them."""

import json

import numpy as np
import pytest
import safetensors.torch
import timm
import torch

from action_heads.backbones import find_backbone
from action_heads.checkpoint import head_path, read_manifest
from action_heads.model import load_trunk, share_trunk
from action_heads.trunk_files import SHARED, trunk_path
from action_heads.tuning_modes import check_backbone
from common.errors import CheckpointError, DownloadError
from networks.timm_networks import weights_path
from pipeline.__main__ import main
from pipeline.commands import console

TINY = "test_efficientnet"  # of timm's networks for tests, some 0.4 million parameters
TINY_VIT = "test_vit"


@pytest.fixture
def weights(tmp_path, monkeypatch):
    """A weights folder that contains a file of one of timm's networks."""
    monkeypatch.setenv("ACTOR_ACTION_WEIGHTS", str(tmp_path / "weights"))

    def save(model):
        with torch.random.fork_rng():
            torch.manual_seed(3)
            state = timm.create_model(model, pretrained=False).state_dict()
        path = weights_path(model)
        path.parent.mkdir(parents=True, exist_ok=True)
        safetensors.torch.save_file({name: tensor.contiguous() for name, tensor in state.items()}, path)
        return state

    return save


@pytest.mark.parametrize("model", [TINY, TINY_VIT, "convnext_tiny", "vit_small_patch14_dinov2.lvd142m", "resnet18"])
def test_networks_that_end_in_a_linear_layer_are_backbones(model):
    backbone = find_backbone(f"timm:{model}")
    with torch.device("meta"):
        network = backbone.build(5)
    assert network.get_submodule(backbone.classifier) is network.get_classifier()
    assert backbone.trainable_tensors(network, "classifier") == set(backbone.classifier_keys)
    assert backbone.preprocessing.size == network.pretrained_cfg["input_size"][-1]
    with pytest.raises(CheckpointError, match="the last stage of timm:.* is not known"):
        backbone.trainable_tensors(network, "layer4")


def test_unknown_names_get_a_suggestion():
    with pytest.raises(CheckpointError, match=r"timm has no network 'resnet19'; did you mean 'resnet1"):
        find_backbone("timm:resnet19")
    with pytest.raises(CheckpointError, match=r"timm has no network 'zzzzzz'; timm.list_models\(\) lists those"):
        find_backbone("timm:zzzzzz")
    for name in ("timm:", "timm:../x", "timm:a b", "timn:resnet18"):
        with pytest.raises(CheckpointError, match="unknown backbone"):
            check_backbone(name, "here")


@pytest.mark.parametrize("model", [TINY, TINY_VIT])
def test_published_weights_are_read_from_the_weights_folder(model, weights, capsys):
    state = weights(model)
    trunk = load_trunk("imagenet", find_backbone(f"timm:{model}"))
    assert trunk.source == f"timm {model}"
    assert f"sha256 {trunk.sha256}" in capsys.readouterr().err
    for name, tensor in trunk.state.items():
        assert torch.equal(tensor, state[name]), name


def test_weights_that_are_not_the_networks_are_refused(weights):
    weights(TINY)
    weights_path(TINY).replace(weights_path(TINY_VIT))
    with pytest.raises(CheckpointError, match="not the weights of timm's test_vit") as caught:
        load_trunk("imagenet", find_backbone(f"timm:{TINY_VIT}"))
    assert "\n" not in str(caught.value)
    weights_path(TINY).write_bytes(b"\x80\x04.")
    with pytest.raises(CheckpointError, match="not a readable safetensors file"):
        load_trunk("imagenet", find_backbone(f"timm:{TINY}"))


def test_weights_that_others_could_have_put_there_are_refused(weights):
    weights(TINY)
    weights_path(TINY).parent.chmod(0o777)
    with pytest.raises(CheckpointError, match="copy it into a folder of your own"):
        load_trunk("imagenet", find_backbone(f"timm:{TINY}"))


def test_a_failed_download_is_one_line_that_says_where_the_file_is_looked_for(weights, monkeypatch):
    def fail(*arguments, **keywords):
        raise OSError("no route to host\nand more")

    monkeypatch.setattr("huggingface_hub.hf_hub_download", fail)
    with pytest.raises(DownloadError, match="cannot be downloaded .no route to host.; put the file there as") as caught:
        load_trunk("imagenet", find_backbone("timm:resnet18"))
    assert str(weights_path("resnet18")) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("model", [TINY, TINY_VIT])
def test_a_head_is_trained_and_used_with_a_trunk_beside_it(model, weights, cat_clip, tmp_path, cache, capsys):
    weights(model)
    data, heads = tmp_path / "clips.csv", tmp_path / "heads"
    data.write_text(f"file,labels,split\n{cat_clip},cat-none,train\n")
    name = f"timm:{model}"
    train = ["retrain-head", "--actor", "cat", "--data", str(data), "--out", str(heads), "--backbone", name]
    assert main([*train, "--cache", str(cache), "--device", "cpu"]) == console.DONE
    manifest = read_manifest(head_path(heads, "cat"))
    assert (manifest.backbone, manifest.input, manifest.trunk["source"]) == (name, "both", SHARED)
    assert head_path(heads, "cat").stat().st_size < trunk_path(name, heads).stat().st_size / 4
    capsys.readouterr()
    use = ["tag", "--video", str(cat_clip), "--heads", str(heads), "--json", "--cache", str(cache), "--device", "cpu"]
    assert main(use) == console.DONE
    result = json.loads(capsys.readouterr().out)
    assert result["actors"]["cat"]["present"]
    # Another trunk of the same backbone would make the head there useless.
    other = load_trunk("random", find_backbone(name), seed=1)
    with pytest.raises(CheckpointError, match="refer to a trunk from timm"):
        share_trunk(other, heads)
    trunk_path(name, heads).unlink()
    assert main(use) == console.WRONG_USAGE
    assert "the trunk that it was trained on is missing" in capsys.readouterr().err


def test_a_shared_trunk_is_written_once_and_read_as_it_is_stored(weights, tmp_path):
    weights(TINY)
    trunk = load_trunk("imagenet", find_backbone(f"timm:{TINY}"))
    first, again = share_trunk(trunk, tmp_path), share_trunk(trunk, tmp_path)
    assert first.sha256 == again.sha256
    assert first.is_apart
    for name, tensor in first.state.items():
        np.testing.assert_allclose(tensor, trunk.state[name], rtol=1e-3, atol=1e-4)
