"""Our own weights files: safetensors with a manifest in the header, convolutions in half precision."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from a2d.errors import CheckpointError
from a2d.files import write_atomically

if TYPE_CHECKING:
    from torch import Tensor


def write_tensors(path: Path, tensors: "Mapping[str, Tensor]", manifest: Mapping[str, Any]) -> None:
    """Write tensors, atomically: a file that is being replaced stays whole until the new one is.

    Args:
        path: Where.
        tensors: By name; convolution weights (four dimensions) are kept in half precision.
        manifest: What the file says about itself, `format` among it.
    """
    import safetensors.torch

    state = {
        name: (tensor.half() if tensor.ndim == 4 else tensor).detach().cpu().contiguous()
        for name, tensor in tensors.items()
    }
    # One entry only: safetensors writes several in no fixed order, and the same weights must give the same bytes.
    write_atomically(path, safetensors.torch.save(state, metadata={"manifest": json.dumps(manifest)}))


def read_tensors(path: Path) -> "dict[str, Tensor]":
    """Read a file's tensors, in single precision.

    Raises:
        CheckpointError: If it is no safetensors file.
    """
    import safetensors.torch
    from safetensors import SafetensorError

    try:
        state = safetensors.torch.load_file(path)
    except (SafetensorError, OSError) as reason:
        raise CheckpointError(f"{path}: not a readable safetensors file ({reason})") from None
    return {name: tensor.float() for name, tensor in state.items()}


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
