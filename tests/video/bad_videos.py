"""A corpus of difficult, damaged and hostile video files, and what reading each must result in.

`build_corpus` writes it within seconds; every file is small. The kinds are listed in three modules: what is no video
(`bad_videos_foreign`), what is cut or damaged (`bad_videos_damaged`), and unusual videos (`bad_videos_unusual`).
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

OK, TRUNCATED, ERROR = "ok", "truncated", "error"


@dataclass(frozen=True)
class BadVideo:
    """A file of the corpus.

    Attributes:
        name: Its kind.
        path: Where it is.
        status: `ok`, `truncated` or `error`, as in a row of results; the alternatives, separated by `|`, where only
            the decoder's version decides.
        frames: How many frames it has; None if that depends on the version of FFmpeg.
        size: Width and height of its last frame as displayed, pixels; None where it does not matter.
    """

    name: str
    path: Path
    status: str
    frames: int | None = None
    size: tuple[int, int] | None = None


@dataclass(frozen=True)
class Kind:
    """A kind of file: its name, how it is made, and what must come out, see `BadVideo`."""

    name: str
    status: str
    make: Callable[[Path], object]
    frames: int | None = None
    size: tuple[int, int] | None = None


def all_kinds(work: Path) -> Iterator[Kind]:
    """List all kinds; intact clips that others are made from are written to a work folder."""
    import bad_videos_damaged
    import bad_videos_foreign
    import bad_videos_unusual

    for module in (bad_videos_foreign, bad_videos_damaged, bad_videos_unusual):
        yield from module.kinds(work)


def build_corpus(folder: Path) -> list[BadVideo]:
    """Write the corpus.

    Args:
        folder: Where to; created if necessary. A folder `.work` in it contains intact clips.

    Returns:
        The files, one of every kind.
    """
    work = folder / ".work"
    work.mkdir(parents=True, exist_ok=True)
    corpus = []
    for kind in all_kinds(work):
        path = folder / kind.name
        kind.make(path)
        corpus.append(BadVideo(kind.name, path, kind.status, kind.frames, kind.size))
    return corpus
