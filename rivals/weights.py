"""What a backbone starts from: its published weights, the embedded ones, a file's, or random ones. Never guessed."""

import sys
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import nn
from tqdm import tqdm

from common.errors import CheckpointError
from common.files import sha256_file
from common.paths import MODELS
from networks.tensors import NUM_BATCHES_TRACKED, check_tensors, network_tensors, read_state
from rivals.backbones import Backbone, find_backbone
from rivals.stages import StagedTrunk

EMBEDDED, RANDOM = "embedded", "random"


def load_trunk(name: str, weights: str | None, keep_classifier: bool = False) -> StagedTrunk:
    """Build a backbone and load its weights; one line on stderr says which.

    Args:
        name: Of the backbone, see `rivals.backbones.find_backbone`.
        weights: `imagenet`, or `kinetics` for a network of clips: the published weights, which are downloaded into the
            weights folder if they are not there; `embedded`: the file that the project ships; `random`; or the path of
            a state dict, safetensors or torch. None: random, and nothing is said, because other tensors follow.
        keep_classifier: Whether to keep the layer that predicted the published classes.

    Raises:
        CheckpointError: If there is no such backbone, or the file is missing, unreadable or another network's.
        DownloadError: If a download fails.
    """
    backbone = find_backbone(name)
    network = backbone.build()
    source = RANDOM
    if weights is not None:
        if weights != RANDOM:
            source = _load_weights(network, backbone, weights, keep_classifier)
        tqdm.write(f"{name}: weights {source}", file=sys.stderr)
    trunk = StagedTrunk(network, backbone.classifier, backbone.mean, backbone.std)
    trunk.source = source
    if not keep_classifier:
        trunk.drop_classifier()
    return trunk


def weight_sources(network: nn.Module) -> dict[str, str]:
    """Return what the weights of each of a network's trunks were at the start, by the trunk's name in it."""
    return {name: module.source for name, module in network.named_modules() if isinstance(module, StagedTrunk)}


def _load_weights(network: nn.Module, backbone: Backbone, weights: str, with_classifier: bool) -> str:
    """Load weights into a network, and return what they are."""
    if weights == backbone.published:
        found = backbone.pretrained()
        path, source = found.path, found.source
        state = found.rename(read_state(path, "weights"))
    else:
        path = _find_file(backbone, weights)
        source, state = weights, read_state(path, "weights")
    expected = network_tensors(network)
    state = {name: tensor for name, tensor in state.items() if not name.endswith(NUM_BATCHES_TRACKED)}
    if not with_classifier:
        expected, state = (_without(tensors, backbone.classifier) for tensors in (expected, state))
    check_tensors(f"weights {path}", state, expected, backbone.name)
    network.load_state_dict(state, strict=False)
    return f"{source}, sha256 {sha256_file(path)}"


def _find_file(backbone: Backbone, weights: str) -> Path:
    path = MODELS / f"trunk_{backbone.name}.safetensors" if weights == EMBEDDED else Path(weights)
    if path.is_file():
        return path
    what = f"there are no embedded weights of {backbone.name}" if weights == EMBEDDED else "no such file"
    allowed = f"{backbone.published}, {EMBEDDED} (efficientnet_lite0, resnet34), {RANDOM}, or a file"
    raise CheckpointError(f"weights {weights!r}: {what} (allowed: {allowed})")


def _without(tensors: Mapping[str, torch.Tensor], classifier: str) -> dict[str, torch.Tensor]:
    return {name: tensor for name, tensor in tensors.items() if not name.startswith(f"{classifier}.")}
