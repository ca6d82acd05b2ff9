"""Backbones in stages: the same answers as the published network, weights from where they are said to come from."""

import pytest
import safetensors.torch
import torch

from common.downloads import TORCHVISION_WEIGHTS
from common.errors import CheckpointError, DownloadError
from rivals.backbones import find_backbone
from rivals.stages import STAGES, StagedTrunk
from rivals.weights import load_trunk, weight_sources

IMAGES = ("resnet18", "alexnet", "efficientnet_lite0", "timm:test_resnet", "timm:test_efficientnet", "timm:test_vit")
CLIPS = ("r3d_18",)
HEAVY = (
    "resnet34",
    "resnet152",
    "vgg16",
    "r2plus1d_18",
    "timm:seresnext101_32x4d",
    "timm:tf_efficientnet_b7",
)


@pytest.mark.parametrize("name", [*IMAGES, *CLIPS])
def test_a_trunk_computes_what_the_published_network_computes(name):
    backbone = find_backbone(name)
    torch.manual_seed(0)
    network = backbone.build().eval()
    size = 160 if name == "timm:test_vit" else 64
    pictures = torch.rand(2, 3, *([4] if name in CLIPS else []), size, size)
    trunk = StagedTrunk(network, backbone.classifier, backbone.mean, backbone.std).eval()
    with torch.no_grad():
        features = trunk(pictures)
        found = trunk.classifier(features)
        assert features.shape == (2, trunk.width)
        torch.manual_seed(0)
        expected = backbone.build().eval()(trunk.normalize(pictures))
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", [*IMAGES[:-1], *CLIPS, *HEAVY])
def test_a_trunk_can_be_left_and_entered_after_every_stage(name):
    backbone = find_backbone(name)
    with torch.device("meta"):
        trunk = StagedTrunk(backbone.build(), backbone.classifier, backbone.mean, backbone.std).eval()
        pictures = torch.rand(1, 3, *([4] if trunk.is_video else []), 64, 64)
        assert trunk.has_maps
        for stage in STAGES:
            map_ = trunk.map_after(pictures, stage)
            assert map_.shape[1] == trunk.channels(stage)
            assert trunk.features_from(map_, stage).shape == (1, trunk.width)
        sides = [trunk.map_after(pictures, stage).shape[-1] for stage in STAGES]
    assert sides == sorted(sides, reverse=True)
    if name not in ("alexnet", "timm:test_efficientnet", *CLIPS, "r2plus1d_18"):  # which have other strides
        assert sides[-2:] == [4, 2]  # a 16th and a 32nd


def test_the_map_of_the_report_is_1024_by_14_by_14():
    backbone = find_backbone("resnet152")
    with torch.device("meta"):
        trunk = StagedTrunk(backbone.build(), backbone.classifier, backbone.mean, backbone.std).eval()
        assert trunk.map_after(torch.rand(1, 3, 224, 224), "layer3").shape == (1, 1024, 14, 14)
        assert trunk.width == 2048


def test_a_network_without_stages_says_so():
    trunk = load_trunk("timm:test_vit", None)
    assert not trunk.has_maps
    with pytest.raises(CheckpointError, match="cannot be cut into stages"):
        trunk.map_after(torch.rand(1, 3, 160, 160), "layer3")


@pytest.mark.parametrize("weights", ["imagenet", "embedded"])
def test_the_weights_that_are_installed_need_no_network(weights, capsys):
    trunk = load_trunk("efficientnet_lite0", weights)
    assert f"efficientnet_lite0: weights {weights}" in capsys.readouterr().err
    assert "sha256" in trunk.source
    assert weight_sources(torch.nn.ModuleDict({"trunk": trunk})) == {"trunk": trunk.source}


def test_embedded_weights_are_the_published_ones_as_they_are_stored():
    published, embedded = (load_trunk("efficientnet_lite0", name).state_dict() for name in ("imagenet", "embedded"))
    for name, tensor in embedded.items():
        torch.testing.assert_close(tensor, published[name], rtol=1e-2, atol=1e-2)


def test_a_file_of_weights_is_read_with_and_without_its_classifier(tmp_path, capsys):
    network = find_backbone("timm:test_resnet").build()
    path = tmp_path / "weights.safetensors"
    safetensors.torch.save_file(network.state_dict(), path)
    trunk = load_trunk("timm:test_resnet", str(path), keep_classifier=True)
    assert torch.equal(trunk.classifier.weight, network.fc.weight)
    assert str(path) in trunk.source
    state = {name: tensor for name, tensor in network.state_dict().items() if not name.startswith("fc.")}
    safetensors.torch.save_file(state, path)
    assert torch.equal(load_trunk("timm:test_resnet", str(path)).layer4[0].conv1.weight, network.layer4[0].conv1.weight)
    with pytest.raises(CheckpointError, match=r"the tensor 'fc.weight' of timm:test_resnet is missing"):
        load_trunk("timm:test_resnet", str(path), keep_classifier=True)
    with pytest.raises(CheckpointError, match="of resnet18 is missing|has shape"):
        load_trunk("resnet18", str(path))


def test_random_weights_are_said_aloud_and_those_of_a_file_to_come_are_not(capsys):
    load_trunk("timm:test_resnet", "random")
    assert capsys.readouterr().err == "timm:test_resnet: weights random\n"
    load_trunk("timm:test_resnet", None)
    assert capsys.readouterr().err == ""


def test_wrong_names_get_one_line():
    with pytest.raises(CheckpointError, match="unknown backbone 'resnet81'; did you mean 'resnet18'"):
        find_backbone("resnet81")
    with pytest.raises(CheckpointError, match="no embedded weights of resnet18 .allowed: imagenet, embedded"):
        load_trunk("resnet18", "embedded")
    with pytest.raises(CheckpointError, match="weights 'imagenet': no such file .allowed: kinetics, embedded"):
        load_trunk("r3d_18", "imagenet")
    with pytest.raises(CheckpointError, match="timm has no network 'resnet19'"):
        find_backbone("timm:resnet19")


def test_published_weights_are_only_those_with_the_known_digest(tmp_path, monkeypatch):
    monkeypatch.setenv("ACTOR_ACTION_WEIGHTS", str(tmp_path))
    for name, known in TORCHVISION_WEIGHTS.items():
        assert known.sha256
        assert known.sha256.startswith(known.file_name.removesuffix(".pth").rpartition("-")[2]), name
        known.path.write_bytes(b"something else")
        with pytest.raises(DownloadError, match="was expected; delete the file"):
            load_trunk(name, find_backbone(name).published)
