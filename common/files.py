"""File utilities: hashes, atomic writes, strict YAML and checks of mappings read from files."""

import difflib
import hashlib
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml

from common.errors import UserError


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
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as file:
            # File names that are not valid Unicode contain lone surrogates, which strict UTF-8 refuses.
            file.write(content.encode(errors="backslashreplace") if isinstance(content, str) else content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


class _StrictLoader(yaml.SafeLoader):
    """Rejects duplicate keys, of which YAML readers otherwise silently take the last."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        for index, key in enumerate(keys):
            if key in keys[:index]:
                raise yaml.constructor.ConstructorError(None, None, f"duplicate key {key!r}", node.start_mark)
        return super().construct_mapping(node, deep)


def read_yaml(path: Path, error: type[UserError]) -> dict[str, Any]:
    """Read a YAML file whose top level is a mapping.

    Args:
        path: The file.
        error: The type of error to raise.

    Returns:
        The mapping.

    Raises:
        UserError: Of the given type, if the file does not exist, is not YAML, or its top level is not a mapping.
    """
    try:
        content = yaml.load(path.read_text(encoding="utf-8"), _StrictLoader)
    except FileNotFoundError:
        raise error(f"{path}: no such file") from None
    except (OSError, ValueError, yaml.YAMLError) as reason:  # ValueError: not UTF-8, or a date like 2024-13-45
        raise error(f"{path}: not a readable YAML file ({' '.join(str(reason).split())})") from None
    if not isinstance(content, dict):
        raise error(f"{path}: a mapping was expected at the top level, found {type(content).__name__}")
    return content


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
        raise error(f"{where}: a mapping with {', '.join(required)} was expected, found {found!r}")
    for key in found:
        if key not in required and key not in optional:
            raise error(f"{where}: unknown key {key!r}; {nearest(key, required + optional)}")
    for key in required:
        if key not in found:
            raise error(f"{where}: the key '{key}' is missing")
    return found
