"""PyTorch files: what is loaded, and what is refused before anything is allocated or run."""

import pickle
import struct
from pathlib import Path

import payloads
import pytest
import torch

from common.errors import CheckpointError, UserError
from common.torch_files import check_torch_file, load_torch_file


@pytest.mark.parametrize("is_legacy", [False, True], ids=["zip", "legacy"])
def test_tensors_are_loaded(tmp_path: Path, is_legacy: bool) -> None:
    network = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4))
    optimizer = torch.optim.AdamW(network.parameters())
    network(torch.zeros(1, 3, 8, 8)).sum().backward()
    optimizer.step()
    content = {
        "network": network.state_dict(),
        "optimizer": optimizer.state_dict(),
        "others": [torch.zeros(0), torch.tensor(1.5), torch.arange(6).view(2, 3).T, torch.zeros(2, dtype=torch.bool)],
        "half": torch.ones(3, dtype=torch.bfloat16),
        "parameter": torch.nn.Parameter(torch.ones(2)),
        "epoch": 3,
    }
    torch.save(content, tmp_path / "state.pt", _use_new_zipfile_serialization=not is_legacy)
    loaded = load_torch_file(tmp_path / "state.pt", CheckpointError)
    torch.testing.assert_close(loaded["network"], content["network"])
    torch.testing.assert_close(loaded["others"], content["others"])
    assert loaded["optimizer"]["param_groups"] == content["optimizer"]["param_groups"]
    assert loaded["epoch"] == 3


@pytest.mark.parametrize("payload", payloads.PAYLOADS)
def test_payload_in_a_state_dict_never_runs(tmp_path: Path, payload: str) -> None:
    marker = tmp_path / "marker"
    content = payloads.PAYLOADS[payload](marker)
    for container, wrap in payloads.CONTAINERS.items():
        (tmp_path / "state.pt").write_bytes(wrap(content))
        with pytest.raises(CheckpointError) as caught:
            load_torch_file(tmp_path / "state.pt", CheckpointError)
        assert not marker.exists(), container
        assert "\n" not in str(caught.value)


def storage(elements: int, kind: str = "FloatStorage", key: str = "0") -> bytes:
    """Return the opcodes that push a storage."""
    return (
        b"(" + payloads.text("storage") + f"ctorch\n{kind}\n".encode() + payloads.text(key) + payloads.text("cpu")
    ) + (integer(elements) + b"tQ")


def integer(value: int) -> bytes:
    """Return the opcode that pushes a number."""
    content = pickle.encode_long(value)
    return b"\x8a" + struct.pack("B", len(content)) + content


def tensor(elements: int, shape: tuple[int, ...], stride: tuple[int, ...], offset: int = 0) -> bytes:
    """Return a pickle of a tensor in the first storage."""
    sizes = [b"(" + b"".join(map(integer, numbers)) + b"t" for numbers in (shape, stride)]
    arguments = [storage(elements), integer(offset), *sizes, b"\x89", payloads.call("collections", "OrderedDict")]
    return payloads.PROTO2 + payloads.call("torch._utils", "_rebuild_tensor_v2", *arguments) + b"."


def zip_with(pickled: bytes, **members: bytes) -> bytes:
    """Return a PyTorch file with a storage of 16 bytes."""
    content = {"a/data.pkl": pickled, "a/version": b"3\n", "a/byteorder": b"little", "a/data/0": bytes(16)}
    return payloads.zip_of(content | {f"a/{name}": data for name, data in members.items()})


def test_the_crafted_tensor_is_valid(tmp_path: Path) -> None:
    (tmp_path / "x.pt").write_bytes(zip_with(tensor(4, (2, 2), (2, 1))))
    assert load_torch_file(tmp_path / "x.pt", CheckpointError).tolist() == [[0, 0], [0, 0]]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        pytest.param(b"", "not a PyTorch file, or damaged", id="empty"),
        pytest.param(b"PK\x03\x04", "not a PyTorch file, or damaged", id="start of a zip"),
        pytest.param(b"text\n" * 100, "pickle opcode|damaged", id="text"),
        pytest.param(zip_with(tensor(10**12, (4,), (1,))), "a storage of 4000000000000 bytes is claimed", id="storage"),
        pytest.param(zip_with(tensor(4, (10**12,), (1,))), "lies outside its storage of 4", id="shape"),
        pytest.param(zip_with(tensor(4, (10**6, 10**6), (0, 0))), "lies outside its storage of 4", id="expanded"),
        pytest.param(zip_with(tensor(4, (2,), (10**9,))), "lies outside its storage", id="stride"),
        pytest.param(zip_with(tensor(4, (2,), (1,), 10**9)), "lies outside its storage", id="offset"),
        pytest.param(zip_with(tensor(4, (2,), (-1,))), "shape is invalid", id="negative stride"),
        pytest.param(zip_with(tensor(4, (1,) * 9, (1,) * 9)), "shape is invalid", id="nine dimensions"),
        pytest.param(zip_with(tensor(4, (2,), (1, 1))), "shape is invalid", id="strides missing"),
        pytest.param(zip_with(payloads.PROTO2 + storage(1, key="9") + b"."), "damaged", id="no such storage"),
        pytest.param(
            zip_with(payloads.PROTO2 + storage(1, "PrivateStorage") + b"."), "could run code", id="storage type"
        ),
        pytest.param(
            zip_with(payloads.PROTO2 + payloads.call("torch", "Tensor", integer(10**11)) + b"."),
            "it calls torch.Tensor",
            id="allocation by a constructor",
        ),
        pytest.param(
            zip_with(payloads.PROTO2 + payloads.call("builtins", "bytearray", integer(10**12)) + b"."),
            "could run code",
            id="bytearray",
        ),
        pytest.param(zip_with(payloads.PROTO2), "damaged", id="no end"),
        pytest.param(zip_with(payloads.PROTO2 + b"R."), "damaged", id="empty stack"),
        pytest.param(zip_with(payloads.PROTO2 + b"X\xff\xff\xff\x7fabc."), "damaged", id="text longer than the file"),
        pytest.param(payloads.PROTO4 + b"\x8d" + b"\xff" * 7 + b"\x3f.", "damaged", id="8-byte length"),
        pytest.param(zip_with(tensor(4, (2,), (1,)), **{"DATA/0": b"x"}), "same name", id="names that differ in case"),
        pytest.param(
            payloads.zip_of({"a/data.pkl": bytes(9 << 20), "a/version": b"3\n"}), "more than 8 MiB", id="large pickle"
        ),
    ],
)
def test_false_claims_are_refused(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "x.pt").write_bytes(content)
    with pytest.raises(CheckpointError, match=message) as caught:
        load_torch_file(tmp_path / "x.pt", CheckpointError)
    assert "\n" not in str(caught.value)


def test_tensors_that_share_a_storage_are_limited_together(tmp_path: Path) -> None:
    """A model in half precision is converted tensor by tensor, and thus needs more memory than its file."""
    one = tensor(1 << 18, (1 << 18,), (1,)).removeprefix(payloads.PROTO2).removesuffix(b".")
    pickled = payloads.PROTO2 + b"](" + one * 1025 + b"e."
    (tmp_path / "x.pt").write_bytes(
        payloads.zip_of({"a/data.pkl": pickled, "a/version": b"3\n", "a/data/0": bytes(1 << 20)})
    )
    with pytest.raises(UserError, match="its tensors have more than 1024 MiB"):
        check_torch_file(tmp_path / "x.pt", CheckpointError)
