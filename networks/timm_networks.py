"""Networks of timm by name: any of those that end in one linear layer.

Their weights are read from the weights folder, as `timm/NAME.safetensors`, or downloaded there from the Hugging Face
Hub by the client that timm uses. Only safetensors are read: they contain numbers and nothing that runs.
"""

import difflib
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import timm
import torch
from timm.layers.squeeze_excite import SEModule
from torch import nn
from tqdm import tqdm

from common.errors import CheckpointError, DownloadError
from common.files import sha256_file
from common.paths import weights_folder
from common.safetensors_files import read_safetensors_header
from common.trusted_files import why_untrusted
from networks.pretrained import PretrainedWeights

HUB_FILE = "model.safetensors"


@dataclass(frozen=True)
class TimmNetwork:
    """One of timm's networks.

    Attributes:
        model: timm's name for it.
        classifier: Name of its last layer, a `nn.Linear`.
        size: Side of its input in pixels.
        mean: Mean of the RGB channels that its weights expect, in [0, 1].
        std: Standard deviation, likewise.
        pretrained: Finds its published weights.
    """

    model: str
    classifier: str
    size: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    pretrained: Callable[[], PretrainedWeights]


def build_timm(model: str, outputs: int) -> nn.Module:
    """Build one of timm's networks, untrained, with a number of outputs."""
    network: nn.Module = timm.create_model(model, pretrained=False, num_classes=outputs)
    return network


def find_timm(model: str, where: str) -> TimmNetwork:
    """Describe one of timm's networks.

    Args:
        model: timm's name, with or without the tag of its weights: `vit_small_patch14_dinov2.lvd142m`.
        where: What names it, for the message.

    Raises:
        CheckpointError: If timm has no such network, or its last layer is not linear.
    """
    if not timm.is_model(model):
        close = difflib.get_close_matches(model, timm.list_models(), n=1)
        remedy = f"did you mean {close[0]!r}?" if close else "timm.list_models() lists those that it has"
        raise CheckpointError(f"{where}: timm has no network {model!r}; {remedy}")
    with torch.device("meta"):
        network: Any = build_timm(model, 2)
    classifier = next((key for key, module in network.named_modules() if module is network.get_classifier()), None)
    if classifier is None or not isinstance(network.get_submodule(classifier), nn.Linear):
        raise CheckpointError(f"{where}: the last layer of {model} is not linear, so that no head can be put there")
    config = network.pretrained_cfg
    return TimmNetwork(
        model=model,
        classifier=classifier,
        size=int(config["input_size"][-1]),
        mean=tuple(config["mean"]),
        std=tuple(config["std"]),
        pretrained=partial(_find_weights, model, config),
    )


def squeeze_blocks(network: nn.Module) -> dict[str, nn.Module]:
    """Return the squeeze-and-excitation blocks of timm's ResNets by name; each has fc1, bn, act, fc2 and gate."""
    return {name: module for name, module in network.named_modules() if isinstance(module, SEModule)}


def weights_path(model: str) -> Path:
    """Return where the weights of one of timm's networks are looked for."""
    return weights_folder() / "timm" / f"{model}.safetensors"


def _find_weights(model: str, config: dict[str, Any]) -> PretrainedWeights:
    """Find the weights in the weights folder, or download them there, and say what they are.

    Raises:
        CheckpointError: If the file is not safetensors, or others could have put it there.
        DownloadError: If they cannot be downloaded.
    """
    path = weights_path(model)
    if not path.is_file():
        _download(model, config, path)
    if reason := why_untrusted(path.parent.stat()) or why_untrusted(path.stat()):
        raise CheckpointError(f"{path}: {reason}; copy it into a folder of your own: ACTOR_ACTION_WEIGHTS")
    read_safetensors_header(path, lambda reason: CheckpointError(f"{path}: not a readable safetensors file ({reason})"))
    tqdm.write(f"{path}: sha256 {sha256_file(path)}", file=sys.stderr)
    licence = str(config.get("license") or "not stated by timm")
    return PretrainedWeights(path, f"timm {model}", licence, partial(_adapt, model, path))


def _download(model: str, config: dict[str, Any], path: Path) -> None:
    """Download a file from the hub.

    Raises:
        DownloadError: If that is not possible.
    """
    repository = config.get("hf_hub_id")
    remedy = f"put the file there as {path}, or choose another --backbone"
    if not repository:
        raise DownloadError(f"timm:{model}: timm names no place from which its weights can be downloaded; {remedy}")
    from huggingface_hub import hf_hub_download

    path.parent.mkdir(parents=True, exist_ok=True)
    tqdm.write(f"downloading {HUB_FILE} of {repository} from the Hugging Face Hub", file=sys.stderr)
    try:
        found = Path(hf_hub_download(repository, HUB_FILE, local_dir=path.parent / f".{model}"))
    except Exception as reason:  # of its client's many kinds of error, all mean the same
        first_line = str(reason).strip().partition("\n")[0] or type(reason).__name__
        raise DownloadError(f"timm:{model}: {repository} cannot be downloaded ({first_line[:200]}); {remedy}") from None
    found.replace(path)


def _adapt(model: str, path: Path, state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Let timm convert what its own and others' files contain to the names of its network.

    Raises:
        CheckpointError: If it cannot.
    """
    del state  # timm reads the file itself
    try:
        network = timm.create_model(model, pretrained=True, pretrained_cfg_overlay={"file": str(path)})
    except (RuntimeError, KeyError, ValueError, TypeError) as reason:
        first_line = str(reason).strip().partition("\n")[0]
        raise CheckpointError(f"{path}: not the weights of timm's {model} ({first_line[:200]})") from None
    return dict(network.state_dict())
