"""The head network: ResNet-34 with one output per valid label of its actor, and the trunk it starts from.

As published (A2D challenge report, section 3.2): torchvision's ResNet-34, ImageNet weights, the last layer replaced by
one with 4 to 13 outputs, read out through a sigmoid. The trunk is everything but that layer.
"""

import hashlib
import pickle
import sys
from dataclasses import dataclass
from pathlib import Path
from urllib.error import URLError

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import nn
from torchvision.models import ResNet34_Weights, resnet34

from a2d.errors import CheckpointError
from a2d.files import sha256_file
from a2d.places import weights_folder

BACKBONE = "resnet34"
CLASSIFIER_KEYS = ("fc.weight", "fc.bias")
IMAGENET_URL = ResNet34_Weights.IMAGENET1K_V1.url


@dataclass(frozen=True)
class Trunk:
    """The weights that a head starts from.

    Attributes:
        source: What it is, for people: `random`, `imagenet (IMAGENET1K_V1)` or a file.
        sha256: Of the weights' file, or of the random tensors.
        state: Tensors by name, without the last layer.
    """

    source: str
    sha256: str
    state: dict[str, torch.Tensor]


def build_head(outputs: int) -> nn.Module:
    """Make an untrained head.

    Args:
        outputs: Number of valid labels of the actor.

    Returns:
        A network from (B, 3, 224, 224) float to logits (B, outputs).
    """
    network: nn.Module = resnet34(weights=None, num_classes=outputs)
    return network


def load_trunk(spec: str, seed: int = 0) -> Trunk:
    """Get the weights that a head starts from.

    Args:
        spec: `random`; `imagenet`, torchvision's ResNet-34 weights, downloaded into `weights_folder()` if they are not
            there; or the path of a ResNet-34 state dict, safetensors or torch.
        seed: Of the random weights.

    Returns:
        The trunk.

    Raises:
        CheckpointError: If the file is missing, unreadable or no ResNet-34, or the download cannot be had.
    """
    if spec == "random":
        return _random_trunk(seed)
    if spec == "imagenet":
        return _trunk_from_file(_download(IMAGENET_URL), "imagenet (IMAGENET1K_V1)")
    path = Path(spec)
    if not path.is_file():
        raise CheckpointError(f"trunk {spec!r}: no such file (allowed: imagenet, random, or a file)")
    return _trunk_from_file(path, str(path))


def start_from(network: nn.Module, trunk: Trunk) -> None:
    """Copy a trunk into a head; its last layer stays as it is.

    Raises:
        CheckpointError: If names or shapes differ, naming both sides.
    """
    own = {name: tensor for name, tensor in network.state_dict().items() if name not in CLASSIFIER_KEYS}
    check_tensors(f"trunk {trunk.source}", trunk.state, own)
    network.load_state_dict(trunk.state, strict=False)


def check_tensors(where: str, found: dict[str, torch.Tensor], wanted: dict[str, torch.Tensor]) -> None:
    """Check that a file's tensors have the names and shapes that a network has.

    Raises:
        CheckpointError: Naming the first difference and both sides of it.
    """
    for name, tensor in wanted.items():
        if name not in found:
            raise CheckpointError(f"{where}: the tensor '{name}' that {BACKBONE} has is missing from the file")
        if found[name].shape != tensor.shape:
            raise CheckpointError(
                f"{where}: '{name}' has shape {tuple(found[name].shape)} in the file, {BACKBONE} wants "
                f"{tuple(tensor.shape)}"
            )
    for name in found:
        if name not in wanted:
            raise CheckpointError(f"{where}: the file has a tensor '{name}' that {BACKBONE} does not have")


def _random_trunk(seed: int) -> Trunk:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        state = _without_classifier(build_head(1).state_dict())
    digest = hashlib.sha256()
    for name in sorted(state):
        digest.update(name.encode() + state[name].numpy().tobytes())
    return Trunk("random", digest.hexdigest(), state)


def _trunk_from_file(path: Path, source: str) -> Trunk:
    content = path.read_bytes()
    try:
        if path.suffix == ".safetensors":
            state = safetensors.torch.load(content)
        else:
            state = torch.load(path, map_location="cpu", weights_only=True)
    except (SafetensorError, RuntimeError, EOFError, KeyError, ValueError, pickle.UnpicklingError) as reason:
        first_line = (str(reason).splitlines() or [type(reason).__name__])[0]
        raise CheckpointError(f"trunk {path}: not a readable weights file ({first_line})") from None
    if not isinstance(state, dict) or not all(isinstance(tensor, torch.Tensor) for tensor in state.values()):
        raise CheckpointError(f"trunk {path}: a state dict (tensors by name) was expected")
    return Trunk(source, hashlib.sha256(content).hexdigest(), _without_classifier(state))


def _download(url: str) -> Path:
    """Fetch a weights file once, checked against the digits of its sha256 that torchvision puts into its name."""
    path = weights_folder() / Path(url).name
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            torch.hub.download_url_to_file(url, str(path), progress=sys.stderr.isatty())
        except (URLError, OSError) as reason:
            raise CheckpointError(
                f"trunk imagenet: {url} cannot be had ({reason}); put the file into {path.parent} by hand, "
                "or use --trunk FILE or --trunk random"
            ) from None
    expected = path.stem.rpartition("-")[2]
    digest = sha256_file(path)
    if not digest.startswith(expected):
        raise CheckpointError(f"{path}: sha256 {digest[:8]}… was found, {expected}… was expected; delete the file")
    return path


def _without_classifier(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {name: tensor for name, tensor in state.items() if name not in CLASSIFIER_KEYS}
