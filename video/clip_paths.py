"""Paths that are no clips, and why: addresses of other machines, and files whose contents cannot be read twice."""

import stat
from pathlib import Path

from common.errors import ClipError
from common.remote_files import scheme_of, without_secrets

OPEN_FILES = ("/dev/stdin", "/dev/fd/", "/proc/self/fd/")
KINDS = (
    (stat.S_ISFIFO, "a named pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
    (stat.S_ISDIR, "a folder"),
)
REMEDY = "a clip is read more than once, so save it to a file, and name that"


def require_local(argument: str) -> None:
    """Check that a clip is something on this machine.

    Raises:
        ClipError: If it is the address of a remote file, or stands for the standard input.
    """
    require_nameable(argument)
    if scheme_of(argument) and not exists(argument):
        shown = without_secrets(argument)
        raise ClipError(f"{shown}: an address, which `actor-action tag` alone takes; download the clip, name the file")


def require_nameable(argument: str) -> None:
    """Check that a command-line argument or a line of a list is a path, or the address of a file in a store.

    Raises:
        ClipError: If it is the address of a file on this machine, or stands for the standard input.
    """
    if argument == "-" and not exists(argument):
        raise ClipError(f"{argument}: the standard input is no clip; {REMEDY}")
    if scheme_of(argument) == "file" and not exists(argument):
        raise ClipError(f"{argument}: an address; name the file by its path, without file://")


def require_regular_file(path: Path) -> None:
    """Check that a path names a file with contents of its own: reading others could take for ever.

    Raises:
        ClipError: If it names a pipe, a socket, a device, or a file that is open already.
        OSError: If it names nothing.
    """
    if is_open_file(path):
        raise ClipError(f"{path}: an open file of this process, such as its standard input; {REMEDY}")
    if kind := kind_of_file(path):
        raise ClipError(f"{path}: {kind}, not a file; {REMEDY}")


def is_open_file(path: Path) -> bool:
    """Return whether a path stands for a file that this process has open, which another process cannot open."""
    return str(path).startswith(OPEN_FILES)


def kind_of_file(path: Path) -> str:
    """Describe what a path names, if it is no file with contents of its own; otherwise return an empty string.

    Raises:
        OSError: If it names nothing.
    """
    mode = path.stat().st_mode
    if stat.S_ISREG(mode):
        return ""
    return next((kind for test, kind in KINDS if test(mode)), "no file")


def exists(path: str) -> bool:
    """Return whether a path of any form and length exists."""
    try:
        return Path(path).exists()
    except (OSError, ValueError):  # too long, as some addresses are, or with a zero byte
        return False
