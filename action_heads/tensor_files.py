"""Our own weights files: safetensors with a manifest in the header, convolutions in half precision or in 8 bits."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from common.errors import CheckpointError
from common.files import write_atomically

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

T = TypeVar("T")
SCALE = "@scale"  # ends the name of what a tensor of whole numbers is to be multiplied by


def write_tensors(
    path: Path, tensors: "Mapping[str, Tensor]", manifest: Mapping[str, Any], eight_bits: bool = False
) -> None:
    """Write tensors, atomically: a file that is being replaced stays whole until the new one is.

    Args:
        path: Where.
        tensors: By name; convolution weights (four dimensions) are kept in half precision.
        manifest: What the file says about itself, `format` among it.
        eight_bits: Keep convolution weights as whole numbers from -127 to 127 and a scale for each output channel.
    """
    import safetensors.torch

    state = {}
    for name, tensor in tensors.items():
        kept = tensor.detach().cpu()
        if kept.ndim == 4 and eight_bits:
            scale = (kept.float().abs().amax(dim=(1, 2, 3), keepdim=True) / 127).clamp(min=1e-12)
            state[name], state[name + SCALE] = (kept / scale).round().char().contiguous(), scale
        else:
            state[name] = (kept.half() if kept.ndim == 4 else kept).contiguous()
    # One entry only: safetensors writes several in no fixed order, and the same weights must give the same bytes.
    write_atomically(path, safetensors.torch.save(state, metadata={"manifest": json.dumps(manifest)}))


def read_tensors(path: Path) -> "dict[str, Tensor]":
    """Read a file's tensors, in single precision.

    Raises:
        CheckpointError: If it is no safetensors file.
    """
    import safetensors.torch

    state = _load(path, safetensors.torch.load_file)
    scales = {name: state.pop(name) for name in list(state) if name.endswith(SCALE)}
    return {name: tensor.float() * scales.get(name + SCALE, 1.0) for name, tensor in state.items()}


def read_arrays(path: Path) -> "dict[str, NDArray[np.float32]]":
    """Read a file of a few small tensors without PyTorch, in single precision; none of them in 8 bits.

    Raises:
        CheckpointError: If it is no safetensors file.
    """
    import safetensors.numpy

    return {name: array.astype("float32") for name, array in _load(path, safetensors.numpy.load_file).items()}


def _load(path: Path, load_file: Callable[[Path], dict[str, T]]) -> dict[str, T]:
    from safetensors import SafetensorError

    try:
        return load_file(path)
    except (SafetensorError, OSError) as reason:
        raise CheckpointError(f"{path}: not a readable safetensors file ({reason})") from None


def read_header(path: Path, expected: str, what: str, again: str) -> dict[str, Any]:
    """Read what a file says about itself, without its weights.

    Args:
        path: The file, which exists.
        expected: The format that it must have.
        what: The kind of file, for messages.
        again: How to get one of the expected format, for messages.

    Returns:
        The manifest, without `format`.

    Raises:
        CheckpointError: If it is no safetensors file, has no manifest, or one of another format.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy") as file:
            header = file.metadata() or {}
    except (SafetensorError, OSError) as reason:
        raise CheckpointError(f"{path}: not a readable safetensors file ({reason})") from None
    if "manifest" not in header:
        raise CheckpointError(f"{path}: no {what} of ours: there is no manifest in its header")
    try:
        content = dict(json.loads(header["manifest"]))
    except (ValueError, TypeError) as reason:
        raise CheckpointError(f"{path}: the manifest in its header cannot be read ({reason})") from None
    found = content.pop("format", None)
    if found != expected:
        raise CheckpointError(f"{path}: format {found!r} was found, {expected!r} was expected; {again}")
    return content
