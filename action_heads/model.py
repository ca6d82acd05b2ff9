"""Networks of action heads, with one output per valid label of the actor, and the trunks that initialize them.

As published (A2D challenge report, section 3.2): torchvision's ResNet-34 with ImageNet weights, its last layer replaced
by a classifier with 4 to 13 outputs and a sigmoid. The trunk is the network without the classifier.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import nn

from action_heads.backbone import Backbone
from action_heads.input_kinds import WHOLE_FRAME
from action_heads.preprocessing import Preprocessing
from action_heads.trunk_files import (
    EMBEDDED,
    SHARED,
    TrunkManifest,
    read_trunk_manifest,
    save_trunk,
    trunk_path,
)
from common.errors import CheckpointError
from common.files import sha256_file
from networks.tensor_files import read_tensors
from networks.tensors import NUM_BATCHES_TRACKED, check_tensors, network_tensors, read_state


@dataclass(frozen=True)
class Trunk:
    """Weights of a network without its classifier, from which heads are initialized.

    Attributes:
        source: Human-readable description: `embedded`, `shared`, `imagenet (…)`, `random` or a file.
        sha256: Of the weights file, or of the random tensors.
        state: Tensors by name, in single precision, without the classifier's.
        backbone: The architecture.
        preprocessing: Preprocessing of the trunk and of the heads initialized from it.
        licence: Of the weights.
    """

    source: str
    sha256: str
    state: dict[str, torch.Tensor]
    backbone: Backbone
    preprocessing: Preprocessing
    licence: str = "not stated"

    @property
    def is_apart(self) -> bool:
        """Whether heads may refer to its file, in the project or beside them, instead of containing its tensors."""
        return self.source in (EMBEDDED, SHARED)

    def to(self, device: str | torch.device) -> "Trunk":
        """Return the same trunk on a device."""
        return replace(self, state={name: tensor.to(device) for name, tensor in self.state.items()})


def load_trunk(spec: str, backbone: Backbone, seed: int = 0) -> Trunk:
    """Load a trunk.

    Args:
        spec: `embedded`, the trunk shipped with the project; `imagenet`, downloaded into `weights_folder()` or taken
            from an installed package; `random`; or the path of a state dict, safetensors or torch.
        backbone: The architecture.
        seed: Of the random weights.

    Returns:
        The trunk.

    Raises:
        CheckpointError: If the file is missing, unreadable or belongs to another architecture.
        DownloadError: If a download fails.
    """
    if spec == EMBEDDED:
        return _embedded_trunk(backbone)
    if spec == "random":
        return _random_trunk(backbone, seed)
    if spec == "imagenet":
        weights = backbone.pretrained()
        state = weights.rename(read_state(weights.path, "trunk"))
        return replace(_make_trunk(weights.path, weights.source, state, backbone), licence=weights.licence)
    path = Path(spec)
    if not path.is_file():
        raise CheckpointError(f"trunk {spec!r}: no such file (allowed: embedded, imagenet, random, or a file)")
    return _make_trunk(path, str(path), read_state(path, "trunk"), backbone)


def load_trunk_file(path: Path, backbone: Backbone, source: str = SHARED) -> Trunk:
    """Load a trunk that several heads refer to.

    Args:
        path: A file that `action_heads.trunk_files.save_trunk` wrote.
        backbone: The architecture.
        source: `embedded` or `shared`.

    Raises:
        CheckpointError: If it is not such a file, or belongs to another architecture.
    """
    manifest = read_trunk_manifest(path)
    if manifest.backbone != backbone.name:
        raise CheckpointError(f"{path}: the file's backbone is '{manifest.backbone}', '{backbone.name}' was expected")
    preprocessing = Preprocessing.from_dict(manifest.preprocessing, f"{path}: manifest: preprocessing")
    return _make_trunk(path, source, read_tensors(path), backbone, preprocessing)


def share_trunk(trunk: Trunk, folder: Path) -> Trunk:
    """Write a trunk into a folder of heads, which will refer to it, unless it is there.

    Args:
        trunk: The trunk.
        folder: Of the heads.

    Returns:
        The trunk of that file, which is rounded.

    Raises:
        CheckpointError: If the folder contains heads that refer to another trunk of this backbone.
    """
    path = trunk_path(trunk.backbone.name, folder)
    source = f"{trunk.source}, sha256 {trunk.sha256}"
    manifest = TrunkManifest(trunk.backbone.name, trunk.preprocessing.to_dict(), source, trunk.licence)
    if path.is_file():
        if read_trunk_manifest(path).source != source:
            raise CheckpointError(
                f"{path}: the heads there refer to a trunk from {read_trunk_manifest(path).source}; choose another "
                "--out, or the same --trunk"
            )
    else:
        save_trunk(path, trunk.state, manifest)
    return load_trunk_file(path, trunk.backbone)


def initialize_from_trunk(network: nn.Module, trunk: Trunk) -> None:
    """Copy a trunk's weights into a head; the classifier remains unchanged."""
    network.load_state_dict(trunk.state, strict=False)


def assemble(
    backbone: Backbone, outputs: int, tensors: Mapping[str, torch.Tensor], input_kind: str = WHOLE_FRAME
) -> nn.Module:
    """Build a head from existing tensors without copying them.

    Args:
        backbone: The architecture.
        outputs: Number of outputs.
        tensors: All tensors of the network, see `network_tensors`.
        input_kind: See `Backbone.build_head`.

    Returns:
        The network, in evaluation mode.
    """
    with torch.device("meta"):
        network = backbone.build_head(outputs, input_kind)
    counters = {
        name: torch.zeros((), dtype=torch.long) for name in network.state_dict() if name.endswith(NUM_BATCHES_TRACKED)
    }
    state = {**tensors, **counters}
    network.load_state_dict(state, assign=True)
    if any(buffer.is_meta for buffer in network.buffers()):  # some networks compute buffers that they do not save
        network = backbone.build_head(outputs, input_kind)
        network.load_state_dict(state, assign=True)
    return network.eval()


def feature_extractor(trunk: Trunk) -> nn.Module:
    """Build a trunk's network without the classifier: from (B, 3, S, S) to pooled features (B, D)."""
    backbone = trunk.backbone
    with torch.device("meta"):
        unused = backbone.build(1).state_dict()
    classifier = {name: torch.zeros(unused[name].shape) for name in backbone.classifier_keys}
    network = assemble(backbone, 1, {**trunk.state, **classifier})
    network.set_submodule(backbone.classifier, nn.Identity())
    return network


def _embedded_trunk(backbone: Backbone) -> Trunk:
    path = trunk_path(backbone.name)
    if not path.is_file():
        raise CheckpointError(
            f"{path}: there is no embedded trunk of {backbone.name} here: use --trunk imagenet, create the file "
            "(actor-action export-trunk, or distil-trunk), or use another --backbone"
        )
    return load_trunk_file(path, backbone, EMBEDDED)


def _random_trunk(backbone: Backbone, seed: int) -> Trunk:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        state = _without_classifier(network_tensors(backbone.build(1)), backbone)
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
        expected = _without_classifier(network_tensors(backbone.build(1)), backbone)
    counters = {name for name in state if name.endswith(NUM_BATCHES_TRACKED)}
    found = _without_classifier({name: state[name] for name in state if name not in counters}, backbone)
    check_tensors(f"trunk {path}", found, expected, backbone.name)
    tensors = {name: tensor.float() for name, tensor in found.items()}
    return Trunk(source, sha256_file(path), tensors, backbone, preprocessing or backbone.preprocessing)


def _without_classifier(state: Mapping[str, torch.Tensor], backbone: Backbone) -> dict[str, torch.Tensor]:
    return {name: tensor for name, tensor in state.items() if name not in backbone.classifier_keys}
