"""Files of trained systems: safetensors with a header that says what they are, how and on what they were trained."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from common.errors import CheckpointError, UserError
from common.files import check_fields, shorten
from networks.tensor_files import read_header, read_tensors, write_tensors
from rivals.recipes import NetworkSettings
from rivals.registry import find_system
from rivals.system import Build

if TYPE_CHECKING:
    from torch import nn

FORMAT = "actor-action-rival/1"
HEADER_TYPES = {
    "system": str,
    **dict.fromkeys(("settings", "recipe", "weights", "data", "fitted", "scores"), dict),
    "labels": list,
    "seed": int,
}


@dataclass(frozen=True)
class SystemHeader:
    """Description of a trained system, stored in its file.

    Attributes:
        system: Its name.
        labels: Label names in output order.
        settings: Fields of `rivals.recipes.NetworkSettings`.
        recipe: Fields of `rivals.recipes.Recipe`: how it was trained.
        seed: Of the training.
        weights: What its backbones started from, by their names in the network.
        data: Summary of the training data.
        fitted: What was fitted after the last phase, see `rivals.system.System`.
        scores: Measured after the training, by split.
    """

    system: str
    labels: tuple[str, ...]
    settings: dict[str, Any]
    recipe: dict[str, Any]
    seed: int
    weights: Mapping[str, str]
    data: dict[str, Any]
    fitted: dict[str, Any]
    scores: dict[str, Any]


def save_system(path: Path, network: "nn.Module", header: SystemHeader) -> None:
    """Write a trained system atomically; the same weights and header give the same bytes."""
    from networks.tensors import network_tensors

    path.parent.mkdir(parents=True, exist_ok=True)
    write_tensors(path, network_tensors(network), {"format": FORMAT, **asdict(header)})


def read_system_header(path: Path) -> SystemHeader:
    """Read a file's header, without its weights.

    Raises:
        CheckpointError: If it does not exist, or is not the file of a trained system.
    """
    if not path.is_file():
        raise CheckpointError(f"{path}: no such file; train it with actor-action train-rival")
    header = read_header(path, FORMAT, "trained system's", "train it again with actor-action train-rival")
    content = check_fields(header, f"{path}: header", CheckpointError, HEADER_TYPES)
    if not content["labels"] or not all(isinstance(label, str) for label in content["labels"]):
        raise CheckpointError(f"{path}: header: labels: texts were expected, found {shorten(content['labels'])}")
    return SystemHeader(**{**content, "labels": tuple(content["labels"])})


def load_network(path: Path, header: SystemHeader) -> "tuple[nn.Module, NetworkSettings]":
    """Build the network of a file, whose tensors must fit exactly.

    Returns:
        The network in evaluation mode, and its settings.

    Raises:
        CheckpointError: If the file does not fit its header; the message names both sides.
    """
    from networks.tensors import check_tensors, network_tensors

    settings = NetworkSettings.from_dict(header.settings, f"{path}: header: settings")
    system = find_system(header.system, f"{path}: header")
    try:
        network = system.build(Build(settings, header.labels, None, header.fitted))
    except UserError as reason:
        raise CheckpointError(f"{path}: header: {reason}") from None
    except (KeyError, TypeError, ValueError) as reason:  # options of a damaged header, or of another version
        raise CheckpointError(f"{path}: header: not settings of {header.system} ({reason})") from None
    state = read_tensors(path)
    check_tensors(str(path), state, network_tensors(network), header.system)
    network.load_state_dict(state, strict=False)  # only the step counters of normalization layers are missing
    return network.requires_grad_(False).eval(), settings
