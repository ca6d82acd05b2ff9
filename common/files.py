"""File utilities: hashes, atomic writes, strict YAML and checks of mappings read from files."""

import difflib
import hashlib
import itertools
import os
import reprlib
import stat
from collections.abc import Hashable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import yaml

from common.errors import UserError

MAX_YAML_BYTES = 256 << 10
MAX_YAML_NODES = 50_000  # with each alias counted as often as it is used
MAX_YAML_DEPTH = 32
MAX_SHOWN = 80  # characters of a value in a message
_SHORT = reprlib.Repr()
_SHORT.maxstring = _SHORT.maxother = _SHORT.maxlong = MAX_SHOWN
_serial = itertools.count()


def sha256_file(path: Path) -> str:
    """Compute the SHA-256 of a file.

    Args:
        path: An existing file.

    Returns:
        64 hexadecimal digits.

    Raises:
        OSError: If the file cannot be read.
    """
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_atomically(path: Path, content: str | bytes) -> None:
    """Write a file atomically: a reader finds the old or the new contents, even if this process is killed.

    Args:
        path: Where to write; missing folders are created.
        content: Text (written as UTF-8) or bytes.

    Raises:
        OSError: If it cannot be written, for example because the disk is full; it names the file.
    """
    with open_atomically(path) as file:
        # File names that are not valid Unicode contain lone surrogates, which strict UTF-8 refuses.
        file.write(content.encode(errors="backslashreplace") if isinstance(content, str) else content)


@contextmanager
def open_atomically(path: Path) -> Iterator[BinaryIO]:
    """Open a file to be written atomically, part by part: it replaces the old one when the block ends without an error.

    Args:
        path: Where to write; missing folders are created.

    Yields:
        The new file, which has another name until it is complete.

    Raises:
        OSError: If it cannot be written, for example because the disk is full; it names the file.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    # The name is short, since the file's own may be as long as the file system allows, and new in every call: neither
    # another thread nor a link that somebody else has put there is written to.
    temporary = path.with_name(f".{path.name[:16]}.{os.getpid()}.{next(_serial)}.tmp")
    try:
        with temporary.open("xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as reason:
        if reason.filename not in (None, str(temporary)):  # of another file, which the block reads
            raise
        raise OSError(reason.errno, reason.strerror, str(path)) from None
    finally:
        temporary.unlink(missing_ok=True)


class _StrictLoader(yaml.SafeLoader):
    """Rejects duplicate keys, of which YAML readers otherwise silently take the last, and what is far too large."""

    depth = 0

    def get_single_node(self) -> yaml.Node | None:
        node: yaml.Node | None = super().get_single_node()
        if node is not None and _count_nodes(node, {}) > MAX_YAML_NODES:
            raise yaml.YAMLError(f"it expands to more than {MAX_YAML_NODES} values")
        return node

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        self.depth += 1
        if self.depth > MAX_YAML_DEPTH:
            raise yaml.YAMLError(f"it is nested more than {MAX_YAML_DEPTH} deep")
        node: yaml.Node | None = super().compose_node(parent, index)
        self.depth -= 1
        return node

    def construct_yaml_int(self, node: yaml.ScalarNode) -> int:
        if len(node.value) > MAX_SHOWN:
            raise yaml.constructor.ConstructorError(None, None, "a number has too many digits", node.start_mark)
        number: int = super().construct_yaml_int(node)
        return number

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if isinstance(key, Hashable) and key in seen:
                raise yaml.constructor.ConstructorError(None, None, f"duplicate key {key!r}", node.start_mark)
            seen |= {key} if isinstance(key, Hashable) else set()
        return super().construct_mapping(node, deep)


_StrictLoader.add_constructor("tag:yaml.org,2002:int", _StrictLoader.construct_yaml_int)


def _count_nodes(node: yaml.Node, counted: dict[int, int]) -> int:
    """Count the values in a node, with those of an alias wherever it is used."""
    if isinstance(node, yaml.ScalarNode):
        return 1
    if id(node) not in counted:
        counted[id(node)] = MAX_YAML_NODES + 1  # what an alias inside of its own anchor would find
        items = itertools.chain(*node.value) if isinstance(node, yaml.MappingNode) else node.value
        counted[id(node)] = 1 + sum(_count_nodes(item, counted) for item in items)
    return counted[id(node)]


def read_limited(path: Path, max_bytes: int) -> bytes:
    """Read a small file.

    Args:
        path: The file.
        max_bytes: Maximum size.

    Raises:
        ValueError: If it is larger, or is not a regular file, such as a pipe or a device.
        OSError: If it cannot be read.
    """
    # Without O_NONBLOCK, opening a pipe waits for a writer.
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    with os.fdopen(os.open(path, flags), "rb") as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise ValueError("not a regular file")
        content = file.read(max_bytes + 1)
    if len(content) > max_bytes:
        raise ValueError(f"larger than {max_bytes} bytes")
    return content


def read_yaml(path: Path, error: type[UserError]) -> dict[str, Any]:
    """Read a small YAML file whose top level is a mapping.

    Args:
        path: The file.
        error: The type of error to raise.

    Returns:
        The mapping.

    Raises:
        UserError: Of the given type, if the file does not exist, is not YAML, its top level is not a mapping, or its
            size or depth exceeds the limits.
    """
    try:
        content = yaml.load(read_limited(path, MAX_YAML_BYTES).decode("utf-8"), _StrictLoader)
    except FileNotFoundError:
        raise error(f"{path}: no such file") from None
    except (OSError, ValueError, TypeError, RecursionError, yaml.YAMLError) as reason:
        # ValueError: not UTF-8, or a date like 2024-13-45; TypeError: a key that is a list
        text = " ".join(str(reason).split())
        raise error(f"{path}: not a readable YAML file ({text[: 4 * MAX_SHOWN]})") from None
    if not isinstance(content, dict):
        raise error(f"{path}: a mapping was expected at the top level, found {type(content).__name__}")
    return content


def shorten(value: object) -> str:
    """Format a value that was read from a file for an error message, on one line of limited length.

    >>> shorten([1, "two"]), len(shorten("x" * 10**6))
    ("[1, 'two']", 80)
    """
    text = _SHORT.repr(value)
    return text if len(text) <= 2 * MAX_SHOWN else f"{text[: 2 * MAX_SHOWN]}…"


def nearest(name: object, allowed: Iterable[str]) -> str:
    """Format the allowed names for the end of an error message, with a suggestion if one resembles the given name.

    Args:
        name: The given name.
        allowed: The allowed names.

    Returns:
        A phrase without a full stop.

    >>> nearest("dgo", ["cat", "dog"])
    "did you mean 'dog'? (allowed: cat, dog)"
    >>> nearest("zebra", ["cat", "dog"])
    'allowed: cat, dog'
    """
    names = [str(option) for option in allowed]
    close = difflib.get_close_matches(str(name), names, n=1)
    listed = ", ".join(names)
    return f"did you mean '{close[0]}'? (allowed: {listed})" if close else f"allowed: {listed}"


def check_keys(
    found: object, where: str, error: type[UserError], required: Iterable[str], optional: Iterable[str] = ()
) -> Mapping[str, Any]:
    """Check that a mapping read from a file has all required keys and no unknown ones.

    Args:
        found: The content of the file.
        where: The file, or the file and a key in it, for the message.
        error: The type of error to raise.
        required: Keys that must exist.
        optional: Keys that may exist.

    Returns:
        The same mapping.

    Raises:
        UserError: Of the given type, if the content is not a mapping, a key is missing, or a key is unknown.
    """
    required, optional = list(required), list(optional)
    if not isinstance(found, Mapping):
        raise error(f"{where}: a mapping with {', '.join(required)} was expected, found {shorten(found)}")
    for key in found:
        if key not in required and key not in optional:
            raise error(f"{where}: unknown key {shorten(key)}; {nearest(key, required + optional)}")
    for key in required:
        if key not in found:
            raise error(f"{where}: the key '{key}' is missing")
    return found


def check_fields(found: object, where: str, error: type[UserError], types: Mapping[str, type]) -> dict[str, Any]:
    """Check that a mapping read from a file has exactly some keys, and that each value has its type.

    Args:
        found: The content of the file.
        where: The file, or the file and a key in it, for the message.
        error: The type of error to raise.
        types: The type of each key's value.

    Returns:
        The mapping as a dictionary.

    Raises:
        UserError: Of the given type, if the content is not such a mapping.
    """
    content = dict(check_keys(found, where, error, types))
    for name, kind in types.items():
        if not isinstance(content[name], kind):
            raise error(f"{where}: {name}: {kind.__name__} was expected, found {shorten(content[name])}")
    return content
