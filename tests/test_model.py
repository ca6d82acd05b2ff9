"""The head network and the trunks that it can start from."""

import hashlib
from pathlib import Path

import pytest
import safetensors.torch
import torch
from torchvision.models import resnet34

from a2d.errors import CheckpointError
from action_heads import model
from action_heads.model import build_head, load_trunk, start_from


@pytest.fixture(scope="module")
def imagenet_like() -> dict[str, torch.Tensor]:
    """A state dict as torchvision's weights files hold it, the classifier of 1,000 classes among it."""
    with torch.random.fork_rng():
        torch.manual_seed(7)
        return resnet34(weights=None).state_dict()


@pytest.mark.parametrize("outputs", [4, 5, 7, 13])
def test_a_head_is_a_resnet34_with_its_own_number_of_outputs(outputs):
    network = build_head(outputs).eval()
    assert network.fc.out_features == outputs
    assert sum(p.numel() for p in network.parameters()) == 21_284_672 + 513 * outputs
    with torch.inference_mode():
        assert network(torch.zeros(2, 3, 64, 64)).shape == (2, outputs)


def test_a_random_trunk_is_repeatable_and_leaves_the_generator_alone():
    state = torch.get_rng_state()
    first, again, other = load_trunk("random", 1), load_trunk("random", 1), load_trunk("random", 2)
    assert torch.equal(torch.get_rng_state(), state)
    assert first.sha256 == again.sha256 != other.sha256
    assert first.source == "random"


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_a_trunk_file_gives_everything_but_the_classifier(tmp_path, imagenet_like, suffix):
    path = tmp_path / f"trunk{suffix}"
    if suffix == ".pth":
        torch.save(imagenet_like, path)
    else:
        safetensors.torch.save_file(imagenet_like, path)
    network = build_head(7)
    fresh = network.fc.weight.clone()
    trunk = load_trunk(str(path))
    start_from(network, trunk)
    assert trunk.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert torch.equal(network.fc.weight, fresh)
    for name, tensor in imagenet_like.items():
        if not name.startswith("fc."):
            assert torch.equal(network.state_dict()[name], tensor), name


def without(state, name):
    return {key: tensor for key, tensor in state.items() if key != name}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        pytest.param(lambda s: without(s, "conv1.weight"), "'conv1.weight' that resnet34 has is missing", id="missing"),
        pytest.param(lambda s: s | {"more": torch.zeros(1)}, "'more' that resnet34 does not have", id="unknown"),
        pytest.param(
            lambda s: s | {"conv1.weight": torch.zeros(64, 3, 3, 3)},
            r"shape \(64, 3, 3, 3\) in the file, resnet34 wants \(64, 3, 7, 7\)",
            id="shape",
        ),
    ],
)
def test_a_trunk_of_another_network_is_refused(tmp_path, imagenet_like, change, message):
    path = tmp_path / "trunk.safetensors"
    safetensors.torch.save_file(change(imagenet_like), path)
    with pytest.raises(CheckpointError, match=message):
        start_from(build_head(4), load_trunk(str(path)))


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("no.pth", None, "no such file .allowed: imagenet, random, or a file"),
        ("text.pth", b"hello", "not a readable weights file"),
        ("text.safetensors", b"hello", "not a readable weights file"),
        ("empty.pth", b"", "not a readable weights file"),
    ],
)
def test_an_unreadable_trunk_is_one_clear_line(tmp_path, name, content, message):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(CheckpointError, match=message) as caught:
        load_trunk(str(tmp_path / name))
    assert "\n" not in str(caught.value)


@pytest.fixture
def hosted(tmp_path: Path, imagenet_like, monkeypatch) -> Path:
    """A stand-in for torchvision's file at an address of its own, named by its hash as theirs is."""
    host = tmp_path / "host"
    host.mkdir()
    torch.save(imagenet_like, host / "weights.pth")
    digest = hashlib.sha256((host / "weights.pth").read_bytes()).hexdigest()
    path = (host / "weights.pth").rename(host / f"resnet34-{digest[:8]}.pth")
    monkeypatch.setattr(model, "IMAGENET_URL", path.as_uri())
    monkeypatch.setenv("ACTOR_ACTION_WEIGHTS", str(tmp_path / "weights"))
    return path


def test_imagenet_weights_are_downloaded_once_and_checked(hosted, imagenet_like, tmp_path):
    trunk = load_trunk("imagenet")
    hosted.unlink()
    assert torch.equal(load_trunk("imagenet").state["conv1.weight"], imagenet_like["conv1.weight"])
    assert trunk.source == "imagenet (IMAGENET1K_V1)"
    assert [path.name for path in (tmp_path / "weights").iterdir()] == [hosted.name]


def test_a_file_that_is_not_what_its_name_says_is_refused(hosted, tmp_path):
    (tmp_path / "weights").mkdir()
    (tmp_path / "weights" / hosted.name).write_bytes(b"something else")
    with pytest.raises(CheckpointError, match=r"sha256 .* was found, .* was expected"):
        load_trunk("imagenet")


def test_a_download_that_cannot_be_had_says_what_to_do(monkeypatch, tmp_path):
    monkeypatch.setattr(model, "IMAGENET_URL", "http://127.0.0.1:9/resnet34-b627a593.pth")
    monkeypatch.setenv("ACTOR_ACTION_WEIGHTS", str(tmp_path))
    with pytest.raises(CheckpointError, match=r"cannot be had .*put the file into .* by hand, or use --trunk FILE"):
        load_trunk("imagenet")
    assert not list(tmp_path.iterdir())


def test_the_published_address_carries_a_hash():
    assert model.IMAGENET_URL.endswith("/resnet34-b627a593.pth")
