"""Expansion of command-line arguments (files, folders, globs and lists) into clips, in a stable order."""

import os
import posixpath
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path

from common.errors import ClipError
from common.remote_files import is_address, read_bytes, without_secrets
from common.text_files import MAX_BYTES, decode_text, read_text_file
from video.clip_list import ClipList
from video.clip_paths import exists, is_open_file, require_local, require_nameable, require_regular_file
from video.clips import is_frame_folder
from video.folder_search import FolderSearch
from video.remote_clips import AnyClip, RemoteClip, find_remote_clips
from video.video_suffixes import COMMON_SUFFIXES, VIDEO_SUFFIXES

_WILDCARD = re.compile(r"[*?\[]")
MAX_ENDINGS = 8


@dataclass
class FoundClips:
    """The clips of command-line arguments, and what was found beside them.

    Attributes:
        clips: Without duplicates, in the order of the arguments, sorted within a folder or glob; some may be in stores.
        not_taken: Number of files that are no videos, by ending or kind.
        linked_folders: Number of linked folders that were not searched.
        problems: One line for each folder that could not be searched.
    """

    clips: ClipList = field(default_factory=ClipList)
    not_taken: Counter[str] = field(default_factory=Counter)
    linked_folders: int = 0
    problems: list[str] = field(default_factory=list)

    def notes(self) -> list[str]:
        """Return one line for each thing that was not taken."""
        lines = []
        if self.not_taken:
            total = self.not_taken.total()
            lines.append(f"{total} {'file was' if total == 1 else 'files were'} not taken ({self._endings()})")
        if self.linked_folders:
            folders = "linked folder was" if self.linked_folders == 1 else "linked folders were"
            lines.append(f"{self.linked_folders} {folders} not searched: --follow-links does that")
        return [*lines, *self.problems]

    def _endings(self) -> str:
        ranked = sorted(self.not_taken.items(), key=lambda item: (-item[1], item[0]))
        listed = [f"{ending} {count}" for ending, count in ranked[:MAX_ENDINGS]]
        others = sum(count for _, count in ranked[MAX_ENDINGS:])
        return ", ".join([*listed, *([f"others {others}"] if others else [])])


def find_clips(arguments: Iterable[str]) -> list[Path]:
    """Expand command-line arguments into clips on this machine, see `search_clips`.

    Returns:
        The clips without duplicates, in the order of the arguments, sorted within a folder or glob.

    Raises:
        ClipError: As for `search_clips`, or if an argument or an entry of a list is an address.
    """
    found = _search(arguments, _Expansion(follow_links=False, takes_addresses=False))
    return [clip for clip in found.clips if isinstance(clip, Path)]


def search_clips(arguments: Iterable[str], follow_links: bool = False) -> FoundClips:
    """Expand command-line arguments into clips.

    Args:
        arguments: Each is one of
            a video file with any suffix (a missing file is only reported when it is read);
            a folder, searched recursively for videos and for folders of `%05d.png` frames, each of which is a clip;
            hidden files and folders (whose name starts with a dot) in it are left out;
            a glob, including `**`, for shells that do not expand it;
            `@list.txt`, a text file with a file, folder, glob or further list on each line, relative to the text file's
            folder, or the address of such a file, `@s3://bucket/list.txt`, relative to its folder there; blank lines
            and lines that start with `#` are skipped;
            the address of a file in a store that fsspec knows, or of a folder, or a glob, if the store can list files.
        follow_links: Whether to search linked folders too, each folder once.

    Returns:
        The clips, and what was not taken.

    Raises:
        ClipError: If an argument is empty or an address of an unknown kind, a folder or a glob contains no video or
            cannot be listed, or a list is missing, empty or contains itself.
    """
    return _search(arguments, _Expansion(follow_links, takes_addresses=True))


def _search(arguments: Iterable[str], expansion: "_Expansion") -> FoundClips:
    clips = expansion.found.clips
    resolved: dict[Path, str] = {}
    for argument in arguments:
        for clip in expansion.expand(argument):
            if isinstance(clip, RemoteClip):
                clips.add(clip.url, clip)
                continue
            # Only the folder is resolved, not the file: two links to one file are two clips.
            if clip.parent not in resolved:
                resolved[clip.parent] = os.path.realpath(clip.parent)
            clips.add(f"{resolved[clip.parent]}/{clip.name}", clip)
    return expansion.found


class _Expansion:
    """Expands arguments one by one, and collects what is not taken."""

    def __init__(self, follow_links: bool, takes_addresses: bool) -> None:
        self.found = FoundClips()
        self._follow_links = follow_links
        self._takes_addresses = takes_addresses

    def expand(self, argument: str) -> Iterable[AnyClip]:
        """Expand an argument, or an entry of a list."""
        if not argument.strip():
            raise ClipError(f"{argument!r} is no clip; a video, a folder, a glob or @list.txt was expected")
        self._check(argument)
        if is_address(argument) and not exists(argument):
            return find_remote_clips(argument, self.found.not_taken, _is_matched)
        path = Path(argument)
        if is_open_file(path):
            require_regular_file(path)
        if _is_folder(path):
            return self._search(path)
        if not _exists(path):
            if argument.startswith("@"):
                if is_address(argument[1:]):
                    return self._read_stored_list(argument[1:])
                return self._read_list(Path(argument[1:]))
            if _WILDCARD.search(argument):
                return self._match(path)
        return [path]

    def _check(self, argument: str) -> None:
        """Check that an argument, or an entry of a list, may be a clip, without asking a store."""
        if not self._takes_addresses:
            require_local(argument)
        require_nameable(argument)

    def _search(self, folder: Path) -> list[Path]:
        if is_frame_folder(folder):
            return [folder]
        before = self.found.not_taken.copy()
        search = FolderSearch(self._follow_links)
        clips = search.run(folder)
        self.found.not_taken += search.not_taken
        self.found.linked_folders += search.linked_folders
        self.found.problems += search.problems
        if not clips:
            beside = FoundClips(not_taken=self.found.not_taken - before, linked_folders=search.linked_folders)
            notes = "".join(f"; {note}" for note in [*beside.notes(), *search.problems])
            others = len(VIDEO_SUFFIXES) - len(COMMON_SUFFIXES)
            searched_for = f"{' '.join(COMMON_SUFFIXES)} and {others} other endings"
            raise ClipError(f"{folder}: a folder without videos; searched for {searched_for}{notes}")
        return clips

    def _match(self, pattern: Path) -> list[Path]:
        """Expand a glob; it only matches videos, unless the pattern contains another suffix literally."""
        parts = pattern.parts
        first = next(index for index, part in enumerate(parts) if _WILDCARD.search(part))
        literal_suffix = set() if _WILDCARD.search(pattern.suffix) else {pattern.suffix.lower()} - {""}
        root = Path(*parts[:first])
        hidden_patterns = [part for part in parts[first:] if part.startswith(".")]
        search = FolderSearch(self._follow_links, VIDEO_SUFFIXES | literal_suffix)
        clips = set()
        for path in root.glob("/".join(parts[first:])):
            names = path.relative_to(root).parts
            if all(_is_matched(name, hidden_patterns) for name in names) and search.takes(path):
                clips.add(path)
        self.found.not_taken += search.not_taken
        if not clips:
            raise ClipError(f"{pattern}: no video matches")
        return sorted(clips)

    def _read_list(self, path: Path, lists: tuple[str, ...] = ()) -> Iterator[AnyClip]:
        """Yield the clips of a list that is an entry of the given lists, whose paths are resolved."""
        resolved = os.path.realpath(path)
        if resolved in lists:
            raise ClipError(f"{path}: the list contains itself")
        try:
            text = read_text_file(path, ClipError, "list of clips")
        except FileNotFoundError:
            raise ClipError(f"{path}: no such list of clips") from None
        number = 0
        for number, entry in _list_entries(text):
            is_file = _exists(path.parent / entry)
            if entry.startswith("@") and not is_file:
                if is_address(entry[1:]):
                    yield from self._read_stored_list(entry[1:])
                else:
                    yield from self._read_list(path.parent / entry[1:], (*lists, resolved))
                continue
            if not is_file:
                try:
                    self._check(entry)
                    if is_address(entry):
                        yield from self.expand(entry)
                        continue
                except ClipError as reason:
                    raise ClipError(f"{path}:{number}: {reason}") from None
            yield from self.expand(str(path.parent / entry))
        if not number:
            raise ClipError(f"{path}: the list contains no clip; one path per line was expected")

    def _read_stored_list(self, address: str, lists: tuple[str, ...] = ()) -> Iterator[AnyClip]:
        """Yield the clips of a list in a store; what it names without an address lies in its folder there."""
        shown = without_secrets(address)
        if address in lists:
            raise ClipError(f"{shown}: the list contains itself")
        self._check(address)
        content = read_bytes(address, MAX_BYTES)
        if content is None:
            raise ClipError(f"{shown}: no such list of clips, or one of more than {MAX_BYTES:,} bytes")
        number = 0
        for number, entry in _list_entries(decode_text(content, shown, ClipError, "list of clips")):
            is_list = entry.startswith("@")
            name = entry.removeprefix("@")
            place = name if is_address(name) else _beside(address, name)
            if is_list:
                yield from self._read_stored_list(place, (*lists, address))
                continue
            try:
                yield from self.expand(place)
            except ClipError as reason:
                raise ClipError(f"{shown}:{number}: {reason}") from None
        if not number:
            raise ClipError(f"{shown}: the list contains no clip; one path per line was expected")


def _is_matched(name: str, hidden_patterns: list[str]) -> bool:
    """Return whether a glob may match a name: as in a shell, a leading dot must be matched by a dot."""
    return not name.startswith(".") or any(fnmatchcase(name, pattern) for pattern in hidden_patterns)


def _beside(address: str, name: str) -> str:
    """Return the address of what has a name in the folder of a file in a store.

    >>> _beside("s3://bucket/lists/all.txt", "../clips/")
    's3://bucket/clips/'
    """
    scheme, _, place = address.partition("?")[0].rpartition("/")[0].partition("://")
    return f"{scheme}://{posixpath.normpath(f'{place}/{name}')}{'/' if name.endswith('/') else ''}"


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except OSError:  # a name that is too long, for example
        return False


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:
        return False


def _list_entries(text: str) -> Iterator[tuple[int, str]]:
    """Yield line number and entry, without a list or a copy of all lines, of which there may be millions."""
    start, number = 0, 0
    while start < len(text):
        end = text.find("\n", start)
        end = len(text) if end < 0 else end
        number += 1
        entry = text[start:end].strip()
        if entry and not entry.startswith("#"):
            yield number, entry
        start = end + 1
