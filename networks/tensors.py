"""The tensors of a network: which determine its outputs, whether they fit a file's, and how they are stored."""

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import nn

from common.errors import CheckpointError
from common.torch_files import load_torch_file
from networks.tensor_files import read_tensors

NUM_BATCHES_TRACKED = "num_batches_tracked"  # step counter of normalization layers, not used here


def network_tensors(network: nn.Module) -> dict[str, torch.Tensor]:
    """Return all tensors that determine a network's outputs, by name: its parameters and running statistics."""
    return {name: tensor for name, tensor in network.state_dict().items() if not name.endswith(NUM_BATCHES_TRACKED)}


def normalization_layers(network: nn.Module) -> dict[str, nn.Module]:
    """Return a network's batch normalization layers, by name."""
    return {
        name: module for name, module in network.named_modules() if isinstance(module, nn.modules.batchnorm._BatchNorm)
    }


def check_tensors(
    where: str, found: Mapping[str, torch.Tensor], expected: Mapping[str, torch.Tensor], network: str
) -> None:
    """Check that a file's tensors have the expected names and shapes.

    Args:
        where: The file, for the message.
        found: Its tensors by name.
        expected: Those of the network.
        network: Name of the network, for the message.

    Raises:
        CheckpointError: If they do not; the message names the first difference.
    """
    for name, tensor in expected.items():
        if name not in found:
            raise CheckpointError(f"{where}: the tensor '{name}' of {network} is missing from the file")
        if found[name].shape != tensor.shape:
            raise CheckpointError(
                f"{where}: '{name}' has shape {tuple(found[name].shape)} in the file, {network} requires "
                f"{tuple(tensor.shape)}"
            )
    for name in found:
        if name not in expected:
            raise CheckpointError(f"{where}: the file has a tensor '{name}' that {network} does not have")


def round_convolutions(network: nn.Module) -> None:
    """Round convolution weights to half precision, as they are stored, so that a network equals its saved version."""
    with torch.no_grad():
        for parameter in network.parameters():
            if parameter.ndim == 4:
                parameter.copy_(parameter.half())


def read_state(path: Path, what: str) -> dict[str, torch.Tensor]:
    """Read a state dict, safetensors or torch, without running code from it.

    Args:
        path: The file.
        what: What it is, for the message, for example `trunk`.

    Raises:
        CheckpointError: If it is not such a file.
    """
    try:
        if path.suffix == ".safetensors":
            return read_tensors(path)
    except CheckpointError as reason:
        raise CheckpointError(f"{what} {reason}") from None
    state = load_torch_file(
        path, lambda reason: CheckpointError(f"{what} {path}: not a readable weights file ({reason})")
    )
    if not isinstance(state, dict) or not all(isinstance(tensor, torch.Tensor) for tensor in state.values()):
        raise CheckpointError(f"{what} {path}: a state dict (tensors by name) was expected")
    return state
