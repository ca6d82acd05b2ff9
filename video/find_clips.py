"""Expansion of command-line arguments (files, folders, globs and lists) into clips, in a stable order."""

import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from common.errors import ClipError
from video.clips import is_frame_folder

VIDEO_SUFFIXES = frozenset(
    {".3gp", ".asf", ".avi", ".flv", ".m2ts", ".m4v", ".mkv", ".mov", ".mp4"}
    | {".mpeg", ".mpg", ".mts", ".mxf", ".ogv", ".ts", ".vob", ".webm", ".wmv"}
)
"""Suffixes of videos when folders are searched; a file given explicitly may have any suffix."""

_WILDCARD = re.compile(r"[*?\[]")


def find_clips(arguments: Iterable[str]) -> list[Path]:
    """Expand command-line arguments into clips.

    Args:
        arguments: Each is one of
            a video file with any suffix (a missing file is only reported when it is read);
            a folder, searched recursively for videos and for folders of `%05d.png` frames, each of which is a clip;
            a glob, including `**`, for shells that do not expand it;
            `@list.txt`, a text file with a file, folder or glob on each line, relative to the text file's folder;
            blank lines and lines that start with `#` are skipped.

    Returns:
        The clips without duplicates, in the order of the arguments, sorted within a folder or glob.

    Raises:
        ClipError: If an argument is empty, a folder or a glob contains no video, or a list is missing or empty.
    """
    clips: dict[Path, Path] = {}
    for argument in arguments:
        for clip in _expand(argument):
            # Only the folder is resolved, not the file: two links to one file are two clips.
            clips.setdefault(clip.parent.resolve() / clip.name, clip)
    return list(clips.values())


def _expand(argument: str) -> list[Path]:
    if not argument.strip():
        raise ClipError(f"{argument!r} is no clip; a video, a folder, a glob or @list.txt was expected")
    path = Path(argument)
    if path.is_dir():
        return _search(path)
    if not path.exists():
        if argument.startswith("@"):
            return _read_list(Path(argument[1:]))
        if _WILDCARD.search(argument):
            return _match(path)
    return [path]


def _search(folder: Path) -> list[Path]:
    if is_frame_folder(folder):
        return [folder]
    clips = sorted(path for path in folder.rglob("*") if _is_clip(path, VIDEO_SUFFIXES))
    if not clips:
        raise ClipError(f"{folder}: a folder without videos; searched for {' '.join(sorted(VIDEO_SUFFIXES))}")
    return clips


def _match(pattern: Path) -> list[Path]:
    """Expand a glob; it only matches videos, unless the pattern contains another suffix literally."""
    parts = pattern.parts
    first = next(index for index, part in enumerate(parts) if _WILDCARD.search(part))
    literal_suffix = set() if _WILDCARD.search(pattern.suffix) else {pattern.suffix.lower()} - {""}
    found = Path(*parts[:first]).glob("/".join(parts[first:]))
    clips = sorted({path for path in found if _is_clip(path, VIDEO_SUFFIXES | literal_suffix)})
    if not clips:
        raise ClipError(f"{pattern}: no video matches")
    return clips


def _is_clip(path: Path, suffixes: frozenset[str]) -> bool:
    # Hidden files are excluded: macOS creates a "._clip.mp4", which is not a video, next to each clip that it copies.
    if path.name.startswith("."):
        return False
    return is_frame_folder(path) if path.is_dir() else path.suffix.lower() in suffixes


def _read_list(path: Path) -> list[Path]:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise ClipError(f"{path}: no such list of clips") from None
    except (OSError, UnicodeDecodeError) as reason:
        raise ClipError(f"{path}: not a readable list of clips ({reason})") from None
    clips = [clip for line in _list_entries(text) for clip in _expand(str(path.parent / line))]
    if not clips:
        raise ClipError(f"{path}: the list contains no clip; one path per line was expected")
    return clips


def _list_entries(text: str) -> Iterator[str]:
    for line in text.split("\n"):
        entry = line.strip()
        if entry and not entry.startswith("#"):
            yield entry
