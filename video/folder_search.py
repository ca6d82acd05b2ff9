"""Search of a folder and its subfolders for clips, without opening any file."""

import os
import stat
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from video.image_folder import NUMBERED_FRAME
from video.video_suffixes import VIDEO_SUFFIXES

MAX_ENDING_LENGTH = 10
_KINDS = {stat.S_IFIFO: "named pipes", stat.S_IFSOCK: "sockets", stat.S_IFCHR: "devices", stat.S_IFBLK: "devices"}


@dataclass
class FolderSearch:
    """Finds the clips of a folder: videos, and folders of frames.

    Files and folders whose name starts with a dot are left out: macOS creates a `._clip.mp4`, which is not a video,
    next to each clip that it copies, and `.Trash-1000` holds what was deleted.

    Attributes:
        follow_links: Whether to search linked folders; links to files and to folders of frames are always clips.
        suffixes: Endings of videos, in lower case.
        not_taken: Number of files that are no clips, by ending or kind.
        linked_folders: Number of linked folders that were not searched.
        problems: One line for each folder that could not be searched.
    """

    follow_links: bool = False
    suffixes: frozenset[str] = VIDEO_SUFFIXES
    not_taken: Counter[str] = field(default_factory=Counter)
    linked_folders: int = 0
    problems: list[str] = field(default_factory=list)

    def run(self, folder: Path) -> list[Path]:
        """Search a folder, and return the clips in it, sorted."""
        clips: list[Path] = []
        seen = set[tuple[int, int]]()
        # Links wait until all real folders were searched, so that a folder is found under its own name.
        pending, links = [folder], list[Path]()
        while pending or links:
            current = pending.pop() if pending else links.pop(0)
            if not _is_new(current, seen):
                continue
            try:
                with os.scandir(current) as found:
                    entries = sorted((entry for entry in found if entry.name[:1] != "."), key=lambda entry: entry.name)
            except OSError as reason:
                self.problems.append(f"{_one_line(current)}: not searched ({(reason.strerror or 'error').lower()})")
                continue
            is_frames = any(NUMBERED_FRAME.fullmatch(entry.name) for entry in entries)
            if is_frames:
                clips.append(current)
            for entry in entries:
                path = current / entry.name
                if entry.is_dir(follow_symlinks=False):
                    pending.append(path)
                elif _is_folder(path, entry):
                    self._add_link(path, clips, links)
                elif is_frames and NUMBERED_FRAME.fullmatch(entry.name):
                    continue
                elif self._takes_ending(path) if entry.is_file(follow_symlinks=False) else self.takes(path):
                    clips.append(path)
        return sorted(set(clips))

    def _add_link(self, path: Path, clips: list[Path], links: list[Path]) -> None:
        if _has_frames(path):
            clips.append(path)
        elif self.follow_links:
            links.append(path)
        else:
            self.linked_folders += 1

    def takes(self, path: Path) -> bool:
        """Return whether a path is a clip by its kind and ending; a file that is not is counted."""
        try:
            mode = path.stat().st_mode
        except OSError:
            self.not_taken["broken links" if path.is_symlink() else "unreadable files"] += 1
            return False
        if stat.S_ISDIR(mode):
            return _has_frames(path)
        if not stat.S_ISREG(mode):  # opening a named pipe would wait for its writer
            self.not_taken[_KINDS.get(stat.S_IFMT(mode), "special files")] += 1
            return False
        return self._takes_ending(path)

    def _takes_ending(self, path: Path) -> bool:
        suffix = path.suffix.lower()
        if suffix in self.suffixes:
            return True
        self.not_taken[describe_ending(suffix)] += 1
        return False


def describe_ending(suffix: str) -> str:
    """Describe the ending of a file that is not taken, for the user."""
    if not suffix:
        return "without ending"
    is_plain = suffix.isprintable() and " " not in suffix and len(suffix) <= MAX_ENDING_LENGTH
    return suffix if is_plain else "odd endings"


def _is_new(folder: Path, seen: set[tuple[int, int]]) -> bool:
    """Return whether a folder was not searched before, under whatever path, and note it."""
    try:
        status = folder.stat()
    except OSError:
        return True  # the search of it will say why
    key = status.st_dev, status.st_ino
    if key in seen and status.st_ino:
        return False
    seen.add(key)
    return True


def _is_folder(path: Path, entry: "os.DirEntry[str]") -> bool:
    try:
        return entry.is_symlink() and path.is_dir()
    except OSError:
        return False


def _has_frames(folder: Path) -> bool:
    """Return whether a folder holds numbered frames."""
    try:
        with os.scandir(folder) as entries:
            return any(NUMBERED_FRAME.fullmatch(entry.name) for entry in entries)
    except OSError:
        return False


def _one_line(path: Path) -> str:
    return str(path).replace("\n", "\\n").replace("\r", "\\r")
