"""The head network, with one output per valid label of its actor, and the trunk that it starts from.

As published (A2D challenge report, section 3.2): torchvision's ResNet-34, ImageNet weights, the last layer replaced by
one with 4 to 13 outputs, read out through a sigmoid. The trunk is everything but that layer.
"""

import hashlib
import pickle
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import nn

from action_heads.backbones import COUNTER, Backbone, tensors_of
from action_heads.crops import WHOLE_FRAME
from action_heads.preprocessing import Preprocessing
from action_heads.tensor_files import read_tensors
from action_heads.trunk_files import EMBEDDED, read_trunk_manifest, trunk_path
from common.errors import CheckpointError
from common.files import sha256_file


@dataclass(frozen=True)
class Trunk:
    """The weights that a head starts from.

    Attributes:
        source: What it is, for people: `embedded`, `imagenet (…)`, `random` or a file.
        sha256: Of the weights' file, or of the random tensors.
        state: Tensors by name, single precision, without the last layer.
        backbone: Which network's.
        preprocessing: How to feed it, and the heads that start from it.
    """

    source: str
    sha256: str
    state: dict[str, torch.Tensor]
    backbone: Backbone
    preprocessing: Preprocessing

    def to(self, device: str | torch.device) -> "Trunk":
        """Give the same trunk on a device."""
        return replace(self, state={name: tensor.to(device) for name, tensor in self.state.items()})


def load_trunk(spec: str, backbone: Backbone, seed: int = 0) -> Trunk:
    """Get the weights that a head starts from.

    Args:
        spec: `embedded`, the one that the project ships; `imagenet`, downloaded into `weights_folder()` or taken from
            an installed package; `random`; or the path of a state dict, safetensors or torch.
        backbone: Which network's.
        seed: Of the random weights.

    Returns:
        The trunk.

    Raises:
        CheckpointError: If the file is missing, unreadable or of another network.
        DownloadError: If a download cannot be had.
    """
    if spec == EMBEDDED:
        return _embedded_trunk(backbone)
    if spec == "random":
        return _random_trunk(backbone, seed)
    if spec == "imagenet":
        weights = backbone.imagenet()
        return _make_trunk(weights.path, weights.source, weights.rename(_read_state(weights.path)), backbone)
    path = Path(spec)
    if not path.is_file():
        raise CheckpointError(f"trunk {spec!r}: no such file (allowed: embedded, imagenet, random, or a file)")
    return _make_trunk(path, str(path), _read_state(path), backbone)


def start_from(network: nn.Module, trunk: Trunk) -> None:
    """Copy a trunk into a head; its last layer stays as it is."""
    network.load_state_dict(trunk.state, strict=False)


def assemble(
    backbone: Backbone, outputs: int, tensors: Mapping[str, torch.Tensor], kind: str = WHOLE_FRAME
) -> nn.Module:
    """Build a network around tensors that are there already: it holds these very ones, and copies none.

    Args:
        backbone: Which network.
        outputs: Number of outputs.
        tensors: All of its tensors, see `tensors_of`.
        kind: Of input, see `Backbone.build_head`.

    Returns:
        The network, in evaluation mode.
    """
    with torch.device("meta"):
        network = backbone.build_head(outputs, kind)
    counters = {name: torch.zeros((), dtype=torch.long) for name in network.state_dict() if name.endswith(COUNTER)}
    network.load_state_dict({**tensors, **counters}, assign=True)
    return network.eval()


def feature_extractor(trunk: Trunk) -> nn.Module:
    """Build a trunk's network without its last layer: from (B, 3, S, S) to pooled features (B, D)."""
    backbone = trunk.backbone
    with torch.device("meta"):
        unused = backbone.build(1).state_dict()
    last = {name: torch.zeros(unused[name].shape) for name in backbone.classifier_keys}
    network = assemble(backbone, 1, {**trunk.state, **last})
    setattr(network, backbone.classifier, nn.Identity())
    return network


def check_tensors(
    where: str, found: Mapping[str, torch.Tensor], wanted: Mapping[str, torch.Tensor], backbone: str
) -> None:
    """Check that a file's tensors have the names and shapes that they must have.

    Raises:
        CheckpointError: Naming the first difference and both sides of it.
    """
    for name, tensor in wanted.items():
        if name not in found:
            raise CheckpointError(f"{where}: the tensor '{name}' of {backbone} is missing from the file")
        if found[name].shape != tensor.shape:
            raise CheckpointError(
                f"{where}: '{name}' has shape {tuple(found[name].shape)} in the file, {backbone} wants "
                f"{tuple(tensor.shape)}"
            )
    for name in found:
        if name not in wanted:
            raise CheckpointError(f"{where}: the file has a tensor '{name}' that {backbone} does not want")


def round_convolutions(network: nn.Module) -> None:
    """Round convolution weights to half precision, as files keep them, so that a network is what its file will give."""
    with torch.no_grad():
        for parameter in network.parameters():
            if parameter.ndim == 4:
                parameter.copy_(parameter.half())


def _embedded_trunk(backbone: Backbone) -> Trunk:
    path = trunk_path(backbone.name)
    if not path.is_file():
        raise CheckpointError(
            f"{path}: there is no embedded trunk of {backbone.name} here: use --trunk imagenet, make the file "
            "(python -m pipeline.commands.export_trunk, or distil_trunk.py), or use another --backbone"
        )
    manifest = read_trunk_manifest(path)
    if manifest.backbone != backbone.name:
        raise CheckpointError(f"{path}: the file's backbone is '{manifest.backbone}', '{backbone.name}' was expected")
    preprocessing = Preprocessing.from_dict(manifest.preprocessing, f"{path}: manifest: preprocessing")
    return _make_trunk(path, EMBEDDED, read_tensors(path), backbone, preprocessing)


def _random_trunk(backbone: Backbone, seed: int) -> Trunk:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        state = _without_classifier(tensors_of(backbone.build(1)), backbone)
    digest = hashlib.sha256()
    for name in sorted(state):
        digest.update(name.encode() + state[name].numpy().tobytes())
    return Trunk("random", digest.hexdigest(), state, backbone, backbone.preprocessing)


def _make_trunk(
    path: Path,
    source: str,
    state: Mapping[str, torch.Tensor],
    backbone: Backbone,
    preprocessing: Preprocessing | None = None,
) -> Trunk:
    with torch.device("meta"):
        wanted = _without_classifier(tensors_of(backbone.build(1)), backbone)
    kept = _without_classifier({name: x for name, x in state.items() if not name.endswith(COUNTER)}, backbone)
    check_tensors(f"trunk {path}", kept, wanted, backbone.name)
    tensors = {name: tensor.float() for name, tensor in kept.items()}
    return Trunk(source, sha256_file(path), tensors, backbone, preprocessing or backbone.preprocessing)


def _read_state(path: Path) -> dict[str, torch.Tensor]:
    try:
        if path.suffix == ".safetensors":
            return read_tensors(path)
        state = torch.load(path, map_location="cpu", weights_only=True)
    except CheckpointError as reason:
        raise CheckpointError(f"trunk {reason}") from None
    except (OSError, RuntimeError, EOFError, KeyError, ValueError, pickle.UnpicklingError) as reason:
        first_line = (str(reason).splitlines() or [type(reason).__name__])[0]
        raise CheckpointError(f"trunk {path}: not a readable weights file ({first_line})") from None
    if not isinstance(state, dict) or not all(isinstance(tensor, torch.Tensor) for tensor in state.values()):
        raise CheckpointError(f"trunk {path}: a state dict (tensors by name) was expected")
    return state


def _without_classifier(state: Mapping[str, torch.Tensor], backbone: Backbone) -> dict[str, torch.Tensor]:
    return {name: tensor for name, tensor in state.items() if name not in backbone.classifier_keys}
