"""Safetensors files: headers that are true, and headers whose claims are refused before anything is allocated."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy

from common.errors import CheckpointError
from common.safetensors_files import MAX_HEADER_BYTES, read_safetensors_header


def file_of(header: object, data: bytes = b"", length: int | None = None) -> bytes:
    """Return a safetensors file with a header, given as an object or as JSON."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return (len(text) if length is None else length).to_bytes(8, "little") + text + data


def tensor(shape: list[object], begin: int, end: int, dtype: object = "F32") -> dict[str, object]:
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}


def test_header_equals_the_library(tmp_path: Path) -> None:
    arrays = {"a": np.zeros((2, 3), np.float16), "b": np.zeros((), np.int64), "c": np.zeros((0, 5), np.uint8)}
    safetensors.numpy.save_file(arrays, tmp_path / "x", metadata={"manifest": "{}", "note": "größe"})
    header = read_safetensors_header(tmp_path / "x", CheckpointError)
    assert header.metadata == {"manifest": "{}", "note": "größe"}
    assert header.shapes == {"a": (2, 3), "b": (), "c": (0, 5)}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        pytest.param(b"", "its header claims", id="empty"),
        pytest.param(b"\xff" * 8 + b"{}", "its header claims 18446744073709551615 bytes, the file has 10", id="length"),
        pytest.param(file_of(b"{}", length=3), "its header claims 3 bytes", id="length off by one"),
        pytest.param(file_of(b" " * (MAX_HEADER_BYTES + 1)), "at most 4194304 are allowed", id="long header"),
        pytest.param(file_of([]), "not a JSON object", id="list"),
        pytest.param(file_of(b"[" * 100_000), "nested too deeply|Expecting", id="nested lists"),
        pytest.param(file_of(b'{"a":' * 100_000), "nested too deeply|Expecting", id="nested objects"),
        pytest.param(file_of(b'{"a": NaN}'), "NaN is not a number", id="NaN"),
        pytest.param(file_of(b'{"a": ' + b"9" * 5000 + b"}"), "limit", id="number of 5,000 digits"),
        pytest.param(file_of(b"\xff\xfe{}"), "decode", id="not UTF-8"),
        pytest.param(file_of({"__metadata__": {"a": {}}}), "metadata are not texts", id="metadata not a text"),
        pytest.param(file_of({"__metadata__": []}), "metadata are not texts", id="metadata a list"),
        pytest.param(file_of(b'{"a": 1, "a": 2}'), "a key occurs twice", id="duplicate key"),
        pytest.param(file_of({"a": 1}), "dtype, shape and data_offsets were expected", id="tensor a number"),
        pytest.param(file_of({"a": tensor([10**6, 10**6], 0, 4)}), "4 bytes do not fit the shape", id="10^12 elements"),
        pytest.param(
            file_of({"a": tensor([10**12], 0, 4 * 10**12)}), "its tensors claim 4000000000000 bytes", id="4 TB"
        ),
        pytest.param(file_of({"a": tensor([2**62, 4], 0, 0)}), "the shape .* is invalid", id="product overflows"),
        pytest.param(file_of({"a": tensor([2**40, 2**40, 2**40], 0, 0)}), "do not fit", id="2^120 elements"),
        pytest.param(file_of({"a": tensor([-1], 0, 4)}), "the shape .* is invalid", id="negative"),
        pytest.param(file_of({"a": tensor([1.0], 0, 4)}, bytes(4)), "the shape .* is invalid", id="fraction"),
        pytest.param(file_of({"a": tensor([True], 0, 4)}, bytes(4)), "the shape .* is invalid", id="truth value"),
        pytest.param(file_of({"a": tensor([1] * 9, 0, 4)}, bytes(4)), "the shape .* is invalid", id="nine dimensions"),
        pytest.param(file_of({"a": tensor([1], 0, 4, "C128")}, bytes(4)), "dtype 'C128' is not", id="unknown dtype"),
        pytest.param(file_of({"a": tensor([1], 0, 4, ["F32"])}, bytes(4)), "were expected", id="dtype a list"),
        pytest.param(file_of({"a": tensor([1], 4, 0)}, bytes(4)), "do not fit", id="offsets reversed"),
        pytest.param(file_of({"a": tensor([1], -4, 0)}, bytes(4)), "do not fit", id="offset negative"),
        pytest.param(
            file_of({"a": tensor([1], 0, 4), "b": tensor([1], 2, 6)}, bytes(6)), "overlap or leave a gap", id="overlap"
        ),
        pytest.param(
            file_of({"a": tensor([1], 0, 4), "b": tensor([1], 8, 12)}, bytes(12)), "overlap or leave a gap", id="gap"
        ),
        pytest.param(
            file_of({"a": tensor([1], 0, 4)}, bytes(5)), "claim 4 bytes, the file has 5", id="bytes left over"
        ),
        pytest.param(file_of({"a": tensor([1], 0, 4)}, bytes(3)), "claim 4 bytes, the file has 3", id="bytes missing"),
        pytest.param(
            file_of({f"t{index}": tensor([0], 0, 0) for index in range(20_001)}), "20001 tensors", id="many tensors"
        ),
    ],
)
def test_false_claims_are_refused(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "x").write_bytes(content)
    with pytest.raises(CheckpointError, match=message) as caught:
        read_safetensors_header(tmp_path / "x", CheckpointError)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 500


def test_true_claim_of_a_sparse_file_is_refused_above_the_limit(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_bytes(file_of({"a": tensor([10**10], 0, 4 * 10**10)}))
    os.truncate(path, path.stat().st_size + 4 * 10**10)  # takes no space
    with pytest.raises(CheckpointError, match="its tensors have 40000000000 bytes, at most 1073741824 are allowed"):
        read_safetensors_header(path, CheckpointError)
