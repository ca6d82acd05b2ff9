"""PyTorch files of unknown origin: checked against limits before anything is allocated, loaded without running code.

A PyTorch file is a pickle beside raw tensors. `torch.load(weights_only=True)` refuses pickles that name a function of
which it does not know that it is harmless, but it believes what a pickle claims about sizes, and it calls the
constructors of the classes that it allows. So the opcodes are examined first, without executing them.
"""

import io
import math
import pickletools
import zipfile
import zlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from common.errors import UserError

MAX_PICKLE_BYTES = 8 << 20
MAX_TENSOR_BYTES = 1 << 30
MAX_DIMENSIONS = 8
LEGACY_PICKLES = 5  # of files from before PyTorch 1.6: magic number, protocol, system, content, keys of the storages
ZIP_MAGIC = b"PK\x03\x04"

CALLS = {
    *("torch._utils._rebuild_tensor", "torch._utils._rebuild_tensor_v2", "torch._utils._rebuild_parameter"),
    *("torch.Size", "torch.device", "collections.OrderedDict", "collections.Counter", "builtins.set"),
    "_codecs.encode",
}
"""Functions that a pickle of tensors calls; their results are no larger than their arguments."""
MODEL_CALLS = {
    *("builtins.getattr", "numpy.dtype", "numpy.core.multiarray.scalar", "numpy._core.multiarray.scalar"),
    *(f"{module}.{name}Path" for module in ("pathlib", "pathlib._local") for name in ("Posix", "Windows")),
}
"""What a pickled model calls besides; Ultralytics' restricted loader replaces `getattr` by a harmless function."""
DATA = {"torch.Tensor", "torch.nn.parameter.Parameter", "torch.float16", "torch.bfloat16", "torch.float32"}
"""What a pickle may name but not call."""
ELEMENT_BYTES = {
    **dict.fromkeys(("Byte", "Char", "Bool", "Untyped"), 1),
    **dict.fromkeys(("Half", "BFloat16", "Short"), 2),
    **dict.fromkeys(("Float", "Int"), 4),
    **dict.fromkeys(("Double", "Long", "ComplexFloat"), 8),
}
CONSTANTS = {"NONE", "NEWTRUE", "NEWFALSE", "EMPTY_DICT", "EMPTY_LIST", "EMPTY_SET", "BINFLOAT"}
VALUES = {"BININT", "BININT1", "BININT2", "LONG1", "BINUNICODE", "SHORT_BINSTRING"}
TUPLES = {"EMPTY_TUPLE": 0, "TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}
POPS = {"APPEND": 1, "SETITEM": 2, "BUILD": 1}
TO_MARK = {"APPENDS", "SETITEMS", "ADDITEMS"}


_MALFORMED = (
    *(OSError, EOFError, ValueError, LookupError, TypeError, AttributeError, MemoryError, NotImplementedError),
    *(zipfile.BadZipFile, zlib.error),
)
"""What a malformed archive or pickle leads to."""


class _RefusedError(Exception):
    """Why a file is not loaded."""


@dataclass(frozen=True)
class _Global:
    name: str


@dataclass(frozen=True)
class _Storage:
    elements: int
    element_bytes: int


@dataclass
class _Screen:
    """Follows the opcodes of a pickle with stand-ins for its objects.

    Attributes:
        calls: Names of the functions that may be called.
        is_layer: Whether a class, by its full name, may be instantiated, without a call of its constructor.
        stored_bytes: Returns the size of the storage with a key, or raises `_RefusedError`.
    """

    calls: Iterable[str]
    is_layer: Callable[[str], bool]
    stored_bytes: Callable[[str], int]
    tensor_bytes: int = 0  # of all tensors
    storage_bytes: dict[str, int] = field(default_factory=dict)  # by key
    stack: list[Any] = field(default_factory=list)
    marks: list[int] = field(default_factory=list)
    memo: dict[int, Any] = field(default_factory=dict)

    def run(self, pickle: IO[bytes]) -> None:
        """Follow one pickle to its end."""
        self.stack, self.marks, self.memo = [], [], {}
        for opcode, argument, _ in pickletools.genops(pickle):
            if not self._push(opcode.name, argument) and not self._combine(opcode.name, argument):
                raise _RefusedError(f"it uses the pickle opcode {opcode.name}, which tensors do not need")

    def _push(self, opcode: str, argument: Any) -> bool:
        """Follow an opcode that pushes something; return whether it is one."""
        if opcode in CONSTANTS:
            self.stack.append(None)
        elif opcode in VALUES:
            self.stack.append(argument)
        elif opcode in ("BINGET", "LONG_BINGET"):
            self.stack.append(self.memo[argument])
        elif opcode == "GLOBAL":
            self.stack.append(_Global(self._name(argument)))
        elif opcode == "MARK":
            self.marks.append(len(self.stack))
        else:
            return opcode in ("PROTO", "STOP")
        return True

    def _combine(self, opcode: str, argument: Any) -> bool:
        """Follow an opcode that uses what is on the stack; return whether it is one."""
        if opcode in ("BINPUT", "LONG_BINPUT"):
            self.memo[argument] = self.stack[-1]
        elif opcode in TO_MARK:
            del self.stack[self.marks.pop() :]
        elif opcode in POPS:
            del self.stack[len(self.stack) - POPS[opcode] :]
        elif opcode == "TUPLE" or opcode in TUPLES:
            start = self.marks.pop() if opcode == "TUPLE" else len(self.stack) - TUPLES[opcode]
            self.stack[start:] = [tuple(self.stack[start:])]
        elif opcode in ("REDUCE", "NEWOBJ"):
            arguments, function = self.stack.pop(), self.stack.pop()
            self._check_call(opcode, function, arguments)
            self.stack.append(None)
        elif opcode == "BINPERSID":
            self.stack.append(self._storage(self.stack.pop()))
        else:
            return False
        return True

    def _name(self, argument: str) -> str:
        module, _, name = argument.rpartition(" ")
        full = f"{module.replace('__builtin__', 'builtins')}.{name}"
        is_storage = module == "torch" and name.removesuffix("Storage") in ELEMENT_BYTES
        known = is_storage or full in self.calls or full in DATA or self.is_layer(full)
        if not known:
            raise _RefusedError(f"it names {full[:80]}, which could run code")
        return full

    def _check_call(self, opcode: str, function: Any, arguments: Any) -> None:
        name = function.name if isinstance(function, _Global) else "a value"
        if opcode == "NEWOBJ" and self.is_layer(name) and arguments == ():
            return
        if opcode == "NEWOBJ" or name not in self.calls:
            raise _RefusedError(f"it calls {name}")
        if name.startswith("torch._utils._rebuild_tensor"):
            self._check_tensor(arguments)

    def _check_tensor(self, arguments: Any) -> None:
        """Check that a tensor lies inside its storage, which PyTorch would enlarge otherwise."""
        storage, offset, size, stride = arguments[:4]
        numbers = (offset, *size, *stride)
        if len(size) != len(stride) or len(size) > MAX_DIMENSIONS or not all(_is_count(number) for number in numbers):
            raise _RefusedError("a tensor's shape is invalid")
        elements = math.prod(size)
        last = offset + sum((length - 1) * step for length, step in zip(size, stride, strict=True))
        if elements > storage.elements or (elements and last >= storage.elements):
            raise _RefusedError(f"a tensor of {elements} elements lies outside its storage of {storage.elements}")
        self.tensor_bytes += elements * storage.element_bytes
        if self.tensor_bytes > MAX_TENSOR_BYTES:
            raise _RefusedError(f"its tensors have more than {MAX_TENSOR_BYTES >> 20} MiB")

    def _storage(self, persistent_id: Any) -> _Storage:
        kind, storage_type, key, _, elements = persistent_id[:5]
        size = ELEMENT_BYTES.get(storage_type.name.removeprefix("torch.").removesuffix("Storage"))
        if kind != "storage" or size is None or not isinstance(key, str) or not _is_count(elements):
            raise _RefusedError("a tensor's storage is invalid")
        self.storage_bytes[key] = elements * size
        if elements * size > self.stored_bytes(key):
            raise _RefusedError(
                f"a storage of {elements * size} bytes is claimed, the file has {self.stored_bytes(key)}"
            )
        return _Storage(elements, size)


def _is_count(value: object) -> bool:
    return type(value) is int and value >= 0


def check_torch_file(
    path: Path, error: Callable[[str], UserError], is_layer: Callable[[str], bool] | None = None
) -> None:
    """Check a PyTorch file without loading it: what its pickle calls, and that all sizes in it are true.

    Args:
        path: A file.
        error: Creates the error to raise from the reason.
        is_layer: Whether the file may contain objects of a class, by its full name. None allows tensors only.

    Raises:
        UserError: If the file is damaged, or it must not be loaded.
    """
    calls = CALLS | MODEL_CALLS if is_layer else CALLS
    try:
        with path.open("rb") as file:
            is_zip = file.read(len(ZIP_MAGIC)) == ZIP_MAGIC
            file.seek(0)
            if is_zip:
                _check_zip(file, _Screen(calls, is_layer or _no_layer, _no_storage))
            elif is_layer:
                raise _RefusedError("not a zip archive, as PyTorch writes it")
            else:
                _check_legacy(io.BytesIO(file.read(MAX_PICKLE_BYTES)), path.stat().st_size)
    except _RefusedError as reason:
        raise error(str(reason)) from None
    except _MALFORMED:
        raise error("not a PyTorch file, or damaged") from None


def _check_zip(file: IO[bytes], screen: _Screen) -> None:
    with zipfile.ZipFile(file) as archive:
        entries = {entry.filename.lower(): entry for entry in archive.infolist()}
        if len(entries) != len(archive.infolist()):
            raise _RefusedError("two of its members have the same name")
        if any(entry.compress_type != zipfile.ZIP_STORED or entry.flag_bits & 1 for entry in entries.values()):
            raise _RefusedError("its members are compressed or encrypted, which PyTorch never does")
        if sum(entry.file_size for entry in entries.values()) > file.seek(0, 2):
            raise _RefusedError("its members claim to be larger than the file")
        if any(name.endswith("/constants.pkl") or "/code/" in name for name in entries):
            raise _RefusedError("it is a TorchScript archive, which contains code")
        pickles = [name for name in entries if name.endswith(".pkl")]
        if len(pickles) != 1 or pickles[0].count("/") != 1 or not pickles[0].endswith("/data.pkl"):
            raise _RefusedError("one pickle, data.pkl, was expected in it")
        root = pickles[0].removesuffix("data.pkl")
        if any(not name.startswith(root) for name in entries):
            raise _RefusedError("its members are not all in one folder")
        if entries[pickles[0]].file_size > MAX_PICKLE_BYTES:
            raise _RefusedError(f"its pickle has more than {MAX_PICKLE_BYTES >> 20} MiB")
        screen.stored_bytes = lambda key: entries[f"{root}data/{key}"].file_size
        with archive.open(entries[pickles[0]]) as pickle:
            screen.run(pickle)


def _check_legacy(file: IO[bytes], size: int) -> None:
    screen = _Screen(CALLS, _no_layer, lambda key: size)
    for _ in range(LEGACY_PICKLES):
        screen.run(file)
    if sum(screen.storage_bytes.values()) > size - file.tell():
        raise _RefusedError("its tensors claim to be larger than the file")


def _no_layer(name: str) -> bool:
    return False


def _no_storage(key: str) -> int:
    raise _RefusedError("it refers to data outside of it")


def load_torch_file(path: Path, error: Callable[[str], UserError], device: str = "cpu") -> Any:
    """Load a file of tensors, in whatever dictionaries and lists they are, without running code from it.

    Args:
        path: A file that `torch.save` wrote.
        error: Creates the error to raise from the reason.
        device: Where to place the tensors.

    Returns:
        The content.

    Raises:
        UserError: If the file is damaged, contains anything else, or claims sizes that it does not have.
    """
    import pickle

    import torch

    check_torch_file(path, error)
    try:
        return torch.load(path, map_location=device, weights_only=True)
    except (OSError, RuntimeError, EOFError, LookupError, ValueError, TypeError, pickle.UnpicklingError) as reason:
        first_line = (str(reason).splitlines() or [type(reason).__name__])[0]
        raise error(first_line) from None
