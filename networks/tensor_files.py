"""Weights files: safetensors with a manifest in the header, convolutions in half precision or as 8-bit integers."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from common.errors import CheckpointError
from common.files import shorten, write_atomically
from common.safetensors_files import SafetensorsHeader, parse_json, read_safetensors_header

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

T = TypeVar("T")
SCALE = "@scale"  # suffix of the name of the scale that belongs to a tensor of 8-bit integers


def write_tensors(
    path: Path, tensors: "Mapping[str, Tensor]", manifest: Mapping[str, Any], eight_bits: bool = False
) -> None:
    """Write tensors atomically, so that a file that is being replaced stays intact until the new one is complete.

    Args:
        path: The file.
        tensors: By name; convolution weights (four dimensions) are stored in half precision.
        manifest: Description of the content, including `format`.
        eight_bits: Store convolution weights as integers from -127 to 127 with one scale per output channel.
    """
    import safetensors.torch

    state = {}
    for name, tensor in tensors.items():
        stored = tensor.detach().cpu()
        if stored.ndim == 4 and eight_bits:
            scale = (stored.float().abs().amax(dim=(1, 2, 3), keepdim=True) / 127).clamp(min=1e-12)
            state[name], state[name + SCALE] = (stored / scale).round().char().contiguous(), scale
        else:
            state[name] = (stored.half() if stored.ndim == 4 else stored).contiguous()
    # A single metadata entry: safetensors writes several in no fixed order, but equal weights must give equal bytes.
    write_atomically(path, safetensors.torch.save(state, metadata={"manifest": json.dumps(manifest)}))


def read_tensors(path: Path) -> "dict[str, Tensor]":
    """Read a file's tensors, in single precision.

    Raises:
        CheckpointError: If it is not a safetensors file.
    """
    import safetensors.torch

    state = _load(path, safetensors.torch.load_file)
    scales = {name: state.pop(name) for name in list(state) if name.endswith(SCALE)}
    for name, scale in scales.items():
        tensor = state.get(name.removesuffix(SCALE))
        if tensor is None or tensor.ndim != 4 or scale.shape != (len(tensor), 1, 1, 1):
            raise CheckpointError(f"{path}: '{shorten(name)}' is not the scale of a tensor in the file")
    tensors = {name: tensor.float() * scales.get(name + SCALE, 1.0) for name, tensor in state.items()}
    for name, tensor in tensors.items():
        if not tensor.isfinite().all():
            raise CheckpointError(f"{path}: '{name}' contains values that are not finite")
    return tensors


def read_arrays(path: Path) -> "dict[str, NDArray[np.float32]]":
    """Read the tensors of a small file without PyTorch, in single precision; 8-bit files are not supported.

    Raises:
        CheckpointError: If it is not a safetensors file.
    """
    import numpy as np
    import safetensors.numpy

    arrays = {name: array.astype("float32") for name, array in _load(path, safetensors.numpy.load_file).items()}
    for name, array in arrays.items():
        if not np.isfinite(array).all():
            raise CheckpointError(f"{path}: '{name}' contains values that are not finite")
    return arrays


def _load(path: Path, load_file: Callable[[Path], dict[str, T]]) -> dict[str, T]:
    from safetensors import SafetensorError

    _read_safetensors_header(path)
    try:
        return load_file(path)
    except (SafetensorError, OSError, KeyError, TypeError) as reason:  # KeyError: a dtype that NumPy lacks
        raise CheckpointError(f"{path}: not a readable safetensors file ({reason})") from None


def _read_safetensors_header(path: Path) -> SafetensorsHeader:
    return read_safetensors_header(
        path, lambda reason: CheckpointError(f"{path}: not a readable safetensors file ({reason})")
    )


def read_header(path: Path, expected_format: str, kind: str, remedy: str) -> dict[str, Any]:
    """Read a file's manifest, without its weights.

    Args:
        path: An existing file.
        expected_format: Format that the file must have.
        kind: Kind of file, for error messages.
        remedy: How to obtain a file in the expected format, for error messages.

    Returns:
        The manifest, without `format`.

    Raises:
        CheckpointError: If it is not a safetensors file, has no manifest, or has another format.
    """
    header = _read_safetensors_header(path).metadata
    if "manifest" not in header:
        raise CheckpointError(f"{path}: not a {kind} file: there is no manifest in its header")
    try:
        content = dict(parse_json(header["manifest"]))
    except (ValueError, TypeError) as reason:
        raise CheckpointError(f"{path}: the manifest in its header cannot be read ({reason})") from None
    found = content.pop("format", None)
    if found != expected_format:
        raise CheckpointError(f"{path}: format {shorten(found)} was found, {expected_format!r} was expected; {remedy}")
    return content
