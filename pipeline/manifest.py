"""The manifest of the files that the project ships: for every file in `models/` its sha256 and what made it.

`actor-action manifest` adds a file, or updates its entry.
"""

import datetime
import fnmatch
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import yaml

from common.errors import ManifestError
from common.files import check_keys, read_yaml, sha256_file, shorten, write_atomically
from common.paths import MODELS

MANIFEST_FILE = MODELS / "manifest.yaml"

HEADER = """\
# What the project ships: each file's sha256, checked when it is loaded, and what made it.
# Written by actor-action manifest.
"""


@dataclass(frozen=True)
class ManifestEntry:
    """What is recorded about one file.

    Attributes:
        sha256: Of its contents, 64 hexadecimal digits.
        bytes: Its size.
        made_by: The command that made it.
        data: Summary of the data that it was made from.
        seed: Of the command.
        date: When it was recorded, as YYYY-MM-DD.
        source: Licence, and what it derives from; may be empty.
    """

    sha256: str
    bytes: int
    made_by: str
    data: str
    seed: int
    date: str
    source: str


@dataclass(frozen=True)
class Manifest:
    """The files that the project ships.

    Attributes:
        file: The manifest's own path; paths in it are relative to the folder above its own.
        entries: By path.
    """

    file: Path
    entries: Mapping[str, ManifestEntry]

    @property
    def root(self) -> Path:
        """What the listed paths are relative to."""
        return self.file.resolve().parent.parent

    def listed(self, path: Path) -> str | None:
        """Return a file's path as the manifest lists it, or None."""
        try:
            name = path.resolve().relative_to(self.root).as_posix()
        except ValueError:
            return None
        return name if name in self.entries else None

    def verify(self, path: Path, sha256: str | None = None) -> None:
        """Check that a listed file exists and is unchanged; files that are not listed are not checked.

        Args:
            path: A file that is about to be loaded.
            sha256: Of its contents, if already known.

        Raises:
            ManifestError: If it is missing, damaged or changed; names both hashes and what to do.
        """
        name = self.listed(path)
        if name is None:
            return
        expected = self.entries[name]
        if not path.is_file():
            raise ManifestError(f"{path}: missing, though {self.file.name} lists it; {_restore(name)}")
        found = sha256 or sha256_file(path)
        if found != expected.sha256:
            size = path.stat().st_size
            raise ManifestError(
                f"{path}: damaged or changed: {size} bytes with sha256 {found[:8]}…, {self.file.name} says "
                f"{expected.bytes} and {expected.sha256[:8]}…; {_restore(name)}, "
                "or put your own files into another folder"
            )

    def verify_matching(self, pattern: str) -> None:
        """Check every listed file whose path matches a pattern like `models/heads/*`.

        Raises:
            ManifestError: As `verify`.
        """
        for name in fnmatch.filter(self.entries, pattern):
            self.verify(self.root / name)

    def record(self, path: Path, *, made_by: str, data: str, seed: int, source: str = "") -> "Manifest":
        """Return a manifest that lists a file as it is now, with today's date.

        Raises:
            ManifestError: If the file is missing, or outside the manifest's root.
        """
        if not path.is_file():
            raise ManifestError(f"{path}: no such file")
        if not path.resolve().is_relative_to(self.root):
            raise ManifestError(f"{path}: only files below {self.root} can be listed")
        name = path.resolve().relative_to(self.root).as_posix()
        today = datetime.date.today().isoformat()
        entry = ManifestEntry(sha256_file(path), path.stat().st_size, made_by, data, seed, today, source)
        return Manifest(self.file, dict(sorted({**self.entries, name: entry}.items())))

    def save(self) -> None:
        """Write the manifest."""
        content = {"files": {name: asdict(entry) for name, entry in self.entries.items()}}
        write_atomically(self.file, HEADER + yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=120))


def load_manifest(file: Path = MANIFEST_FILE) -> Manifest:
    """Read a manifest; if the file does not exist, nothing is listed.

    Raises:
        ManifestError: If it is not readable, a key is missing or unknown, or a value has the wrong type.
    """
    if not file.exists():
        return Manifest(file, {})
    content = check_keys(read_yaml(file, ManifestError), str(file), ManifestError, ["files"])["files"]
    if not isinstance(content, dict):
        raise ManifestError(f"{file}: files: a mapping by path was expected, found {shorten(content)}")
    return Manifest(file, {str(name): _read_entry(entry, f"{file}: {name}") for name, entry in content.items()})


def _read_entry(found: object, where: str) -> ManifestEntry:
    content: Mapping[str, Any] = check_keys(found, where, ManifestError, [f.name for f in fields(ManifestEntry)])
    for field in fields(ManifestEntry):
        if type(content[field.name]) is not field.type:
            raise ManifestError(
                f"{where}: {field.name}: {getattr(field.type, '__name__', field.type)} was expected, "
                f"found {shorten(content[field.name])}"
            )
    if len(content["sha256"]) != 64 or not set(content["sha256"]) <= set("0123456789abcdef"):
        raise ManifestError(f"{where}: sha256: 64 lower-case hexadecimal digits were expected")
    return ManifestEntry(**content)


def _restore(name: str) -> str:
    return f"restore it with git checkout -- {name}, or install the package again"
