"""Safetensors files of unknown origin: their header is checked against limits before anything is allocated.

The format: eight bytes with the header's length, little-endian; the header, JSON that maps each tensor's name to its
`dtype`, `shape` and `data_offsets`, and `__metadata__` to texts by name; then the tensors' bytes without gaps.
"""

import json
import math
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from common.errors import UserError
from common.files import shorten

MAX_HEADER_BYTES = 4 << 20
MAX_TENSOR_BYTES = 1 << 30
MAX_TENSORS = 20_000
MAX_DIMENSIONS = 8
ELEMENT_BYTES = {
    **dict.fromkeys(("BOOL", "U8", "I8"), 1),
    **dict.fromkeys(("U16", "I16", "F16", "BF16"), 2),
    **dict.fromkeys(("U32", "I32", "F32"), 4),
    **dict.fromkeys(("U64", "I64", "F64"), 8),
}
METADATA = "__metadata__"


@dataclass(frozen=True)
class SafetensorsHeader:
    """The header of a safetensors file.

    Attributes:
        metadata: Texts by name.
        shapes: Shape of each tensor by name.
    """

    metadata: Mapping[str, str]
    shapes: Mapping[str, tuple[int, ...]]


def read_safetensors_header(path: Path, error: Callable[[str], UserError]) -> SafetensorsHeader:
    """Read and check the header of a safetensors file.

    Args:
        path: The file.
        error: Creates the error to raise from the reason.

    Raises:
        UserError: If it is not such a file, its size is not what its header claims, or it exceeds the limits.
    """
    try:
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            length = int.from_bytes(file.read(8), "little")
            if size < 10 or length > size - 8:
                raise ValueError(f"its header claims {length} bytes, the file has {size}")
            if length > MAX_HEADER_BYTES:
                raise ValueError(f"its header has {length} bytes, at most {MAX_HEADER_BYTES} are allowed")
            header = parse_json(file.read(length))
        return _check_header(header, size - 8 - length)
    except (OSError, ValueError) as reason:
        raise error(" ".join(str(reason).split())) from None


def parse_json(text: str | bytes) -> Any:
    """Parse JSON strictly: no duplicate keys, no NaN or infinity, limited depth.

    Raises:
        ValueError: If it is not such JSON.

    >>> parse_json('{"a": [1, 2.5, null]}')
    {'a': [1, 2.5, None]}
    """
    try:
        text = text.decode("utf-8") if isinstance(text, bytes) else text  # never UTF-16, which json would accept
        return json.loads(text, object_pairs_hook=_unique, parse_constant=_refuse_constant)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key occurs twice")
    return found


def _refuse_constant(text: str) -> float:
    raise ValueError(f"{text} is not a number")


def _check_header(header: object, data_bytes: int) -> SafetensorsHeader:
    if not isinstance(header, dict):
        raise ValueError("its header is not a JSON object")
    metadata = header.pop(METADATA, {})
    if not isinstance(metadata, dict) or not all(isinstance(text, str) for text in metadata.values()):
        raise ValueError("its metadata are not texts by name")
    if len(header) > MAX_TENSORS:
        raise ValueError(f"it has {len(header)} tensors, at most {MAX_TENSORS} are allowed")
    if data_bytes > MAX_TENSOR_BYTES:
        raise ValueError(f"its tensors have {data_bytes} bytes, at most {MAX_TENSOR_BYTES} are allowed")
    shapes, spans = {}, []
    for name, tensor in header.items():
        shape, begin, end = _check_tensor(name, tensor)
        shapes[name] = shape
        spans.append((begin, end))
    position = 0
    for begin, end in sorted(spans):
        if begin != position:
            raise ValueError(f"its tensors overlap or leave a gap at byte {min(begin, position)}")
        position = end
    if position != data_bytes:
        raise ValueError(f"its tensors claim {position} bytes, the file has {data_bytes}")
    return SafetensorsHeader(metadata, shapes)


def _check_tensor(name: str, tensor: object) -> tuple[tuple[int, ...], int, int]:
    """Return a tensor's shape, and where its bytes begin and end."""
    match tensor:
        case {"dtype": str(dtype), "shape": list(shape), "data_offsets": [int(begin), int(end)], **others} if (
            not others
        ):
            pass
        case _:
            raise ValueError(f"tensor {shorten(name)}: dtype, shape and data_offsets were expected")
    if dtype not in ELEMENT_BYTES:
        raise ValueError(f"tensor {shorten(name)}: dtype {shorten(dtype)} is not supported")
    if len(shape) > MAX_DIMENSIONS or not all(type(length) is int and 0 <= length < 1 << 48 for length in shape):
        raise ValueError(f"tensor {shorten(name)}: the shape {shorten(shape)} is invalid")
    if not 0 <= begin <= end or end - begin != math.prod(shape) * ELEMENT_BYTES[dtype]:
        raise ValueError(f"tensor {shorten(name)}: {end - begin} bytes do not fit the shape {shorten(shape)}")
    return tuple(shape), begin, end
