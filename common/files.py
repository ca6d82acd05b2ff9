"""Small habits that every file of the project shares: hashes, atomic writes, strict YAML."""

import difflib
import hashlib
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml

from common.errors import UserError


def sha256_file(path: Path) -> str:
    """Hash a file's contents.

    Args:
        path: An existing file.

    Returns:
        The SHA-256 as 64 hexadecimal digits.

    Raises:
        OSError: If the file cannot be read.
    """
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_atomically(path: Path, content: str | bytes) -> None:
    """Write a file so that a reader, or a run killed half-way, sees the old contents or the new ones and no mixture.

    Args:
        path: Where to write; missing folders are made.
        content: Text (written as UTF-8) or bytes.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as file:
            # File names that are no Unicode come as lone surrogates, which UTF-8 alone refuses.
            file.write(content.encode(errors="backslashreplace") if isinstance(content, str) else content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


class _StrictLoader(yaml.SafeLoader):
    """Refuses a key that comes twice, of which YAML readers otherwise keep the last without a word."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        for place, key in enumerate(keys):
            if key in keys[:place]:
                raise yaml.constructor.ConstructorError(None, None, f"the key {key!r} comes twice", node.start_mark)
        return super().construct_mapping(node, deep)


def read_yaml(path: Path, error: type[UserError]) -> dict[str, Any]:
    """Read a YAML file whose top level is a mapping.

    Args:
        path: The file.
        error: The error type to raise, the caller's own.

    Returns:
        The mapping.

    Raises:
        UserError: Of the given type, if there is no such file, it is no YAML, or its top level is no mapping.
    """
    try:
        content = yaml.load(path.read_text(encoding="utf-8"), _StrictLoader)
    except FileNotFoundError:
        raise error(f"{path}: no such file") from None
    except (OSError, ValueError, yaml.YAMLError) as reason:  # ValueError: no UTF-8, or a date like 2024-13-45
        raise error(f"{path}: not a readable YAML file ({' '.join(str(reason).split())})") from None
    if not isinstance(content, dict):
        raise error(f"{path}: a mapping was expected at the top level, found {type(content).__name__}")
    return content


def nearest(name: object, allowed: Iterable[str]) -> str:
    """Say which names were allowed, the nearest first where one is near.

    Args:
        name: What was given.
        allowed: What may be given.

    Returns:
        A phrase to end an error message with.

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
    """Check that a mapping read from a file has the keys that it must have and none that nobody reads.

    Args:
        found: What was read.
        where: The place, for the message: a file, or a file and a key in it.
        error: The error type to raise, the caller's own.
        required: Keys that must be there.
        optional: Keys that may be there.

    Returns:
        The same mapping.

    Raises:
        UserError: Of the given type, naming the missing key, or the unknown one and its nearest neighbour.
    """
    required, optional = list(required), list(optional)
    if not isinstance(found, Mapping):
        raise error(f"{where}: a mapping with {', '.join(required)} was expected, found {found!r}")
    for key in found:
        if key not in required and key not in optional:
            raise error(f"{where}: unknown key {key!r}; {nearest(key, required + optional)}")
    for key in required:
        if key not in found:
            raise error(f"{where}: the key '{key}' is missing")
    return found
