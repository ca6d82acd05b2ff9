"""Names for files that are written about other files, all in one folder."""

import os
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass, field

MAX_NAME_BYTES = 255  # of common file systems


@dataclass
class FileNames:
    """Names files `<stem><suffix>`, numbered where several would have the same name, shortened where one is too long.

    Names that differ in case only are the same on some systems.

    Attributes:
        suffix: The end of every name.
        taken: Names that are not to be used.

    >>> names = FileNames(".vtt")
    >>> names.name("dog"), names.name("Dog"), names.name("cat")
    ('dog.vtt', 'Dog-2.vtt', 'cat.vtt')
    """

    suffix: str
    taken: Iterable[str] = ()
    _numbers: dict[str, int] = field(default_factory=dict)  # the last one, by folded stem

    def __post_init__(self) -> None:
        """Fold the names that are taken."""
        self._taken = {_folded(name) for name in self.taken}

    def name(self, stem: str) -> str:
        """Return a name that no other file has."""
        number = self._numbers.get(_folded(stem), 0)
        while (name := self._numbered(stem, number := number + 1)) and _folded(name) in self._taken:
            pass
        self._numbers[_folded(stem)] = number
        self._taken.add(_folded(name))
        return name

    def _numbered(self, stem: str, number: int) -> str:
        end = self.suffix if number == 1 else f"-{number}{self.suffix}"
        while len(os.fsencode(stem + end)) > MAX_NAME_BYTES:
            stem = stem[:-1]
        return stem + end


def _folded(name: str) -> str:
    return unicodedata.normalize("NFC", name).casefold()
