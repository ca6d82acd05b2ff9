"""What the formats that label whole clips share: a clip has labels, and is listed once."""

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from a2d.formats.base import DatasetIndex, Row, Sample, in_vector_order
from a2d.skipped_samples import SkippedSamples
from a2d.taxonomy import Taxonomy
from common.errors import DatasetError, TaxonomyError

DEFAULT_SPLIT = "train"
"""Of clips in the files of tools that know no splits, or if none was chosen there."""
TODO_SPLIT = "todo"
"""Of clips that nobody has labelled yet: their labels are predictions."""
SPLIT_NAMES = {"validation": "val"}
"""Other tools' names of splits, in lower case, where they differ from ours."""


class NamedLabel(NamedTuple):
    """A label that may not exist, and where it was found: the file, and the line or the entry in it."""

    name: str
    where: str


@dataclass(frozen=True)
class ClipRow(Row):
    """A whole clip with its labels.

    Attributes:
        group: What must stay together in cross-validation.
        labels: As they are in the file.
    """

    group: str
    labels: Sequence[NamedLabel]

    def samples(self, taxonomy: Taxonomy, skipped: SkippedSamples) -> list[Sample]:
        """Return the clip as one sample.

        Raises:
            DatasetError: If a label is unknown.
        """
        found = []
        for name, where in self.labels:
            try:
                found.append(taxonomy.label(name))
            except TaxonomyError as reason:
                raise DatasetError(f"{where}: {reason}") from None
        if not self.has_clip(skipped):
            return []
        return [Sample(self.clip, None, in_vector_order(found), self.split, self.group, self.where)]


def clip_index(path: Path, rows: Sequence[Row]) -> DatasetIndex:
    """Collect the clips of a data set.

    Args:
        path: The list, or the folder of lists.
        rows: At least one.

    Raises:
        DatasetError: If a clip is listed twice, under whatever path: it could be tested on its training.
    """
    _check_listed_once(rows)
    return DatasetIndex(path, tuple(dict.fromkeys(row.split for row in rows)), rows)


def split_named(name: str) -> str:
    """Return our name of a split of another tool.

    >>> split_named("Validation"), split_named(" Train"), split_named("")
    ('val', 'train', 'train')
    """
    folded = name.strip().casefold()
    return SPLIT_NAMES.get(folded, folded) or DEFAULT_SPLIT


def _check_listed_once(rows: Iterable[Row]) -> None:
    identity_of = _Identities()
    seen: dict[object, Row] = {}
    for row in rows:
        first = seen.setdefault(identity_of(row.clip), row)
        if first is not row:
            spelling = "" if first.clip == row.clip else f", as {first.clip}"
            splits = "" if first.split == row.split else f"; its splits are {first.split!r} and {row.split!r}"
            raise DatasetError(f"{row.where}: {row.clip} is listed twice, before at {first.where}{spelling}{splits}")


class _Identities:
    """Tells what two paths of one file have in common: the file's number, or the resolved path if there is no file."""

    def __init__(self) -> None:
        self._resolved: dict[Path, str] = {}

    def __call__(self, clip: Path) -> object:
        try:
            status = clip.stat()
        except (OSError, ValueError):
            status = None
        if status and status.st_ino:
            return status.st_dev, status.st_ino
        if clip.parent not in self._resolved:
            self._resolved[clip.parent] = os.path.realpath(clip.parent)
        return self._resolved[clip.parent], clip.name
