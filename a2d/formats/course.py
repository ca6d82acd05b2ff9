"""The layout of the 2020 challenge: `list/{train,val,test}.txt`, `pngs320H/<vid>/<frame>.png`, `Annotations/mat`."""

from dataclasses import dataclass
from pathlib import Path

from a2d.formats.base import DatasetIndex, Row, Sample, parse_frame_index, read_mat_labels
from a2d.formats.tables import read_text
from a2d.skipped_samples import SkippedSamples
from a2d.taxonomy import Taxonomy
from common.errors import DatasetError

SPLITS = ("train", "val", "test")


@dataclass(frozen=True)
class _FrameRow(Row):
    """One labelled frame, indexed from 0, of a clip stored as a folder of PNG files."""

    frame_index: int
    annotation: Path

    def samples(self, taxonomy: Taxonomy, skipped: SkippedSamples) -> list[Sample]:
        image = self.clip / f"{self.frame_index + 1:05d}.png"
        if not image.is_file():
            skipped.add(self.where, f"no such file: {image}")
            return []
        if self.split == "test" and not self.annotation.exists():
            skipped.add(
                self.where,
                f"no annotation {self.annotation}; "
                "the challenge withheld the labels of its test split, so score val instead",
            )
            return []
        try:
            labels = read_mat_labels(self.annotation, taxonomy, self.where)
        except DatasetError as reason:
            skipped.add(self.where, reason)
            return []
        return [Sample(self.clip, self.frame_index, labels, self.split, group=self.clip.name, where=self.where)]


def list_path(root: Path, split: str) -> Path:
    """Return the path of a split's list, whether the file exists or not."""
    return root / "list" / f"{split}.txt"


def read_course(root: Path) -> DatasetIndex:
    """Read the lists of the course layout.

    Args:
        root: Folder with `list`, `pngs320H` and `Annotations/mat`; lists may be missing.

    Returns:
        One row per labelled frame, and the splits that have a list.

    Raises:
        DatasetError: If a list is unreadable or malformed.
    """
    splits = tuple(split for split in SPLITS if list_path(root, split).is_file())
    rows = [
        _parse_frame_row(root, split, number, line.strip())
        for split in splits
        for number, line in enumerate(read_text(list_path(root, split)).split("\n"), start=1)
        if line.strip()
    ]
    return DatasetIndex(root / "list", splits, rows)


def _parse_frame_row(root: Path, split: str, number: int, line: str) -> _FrameRow:
    where = f"{list_path(root, split)}:{number}"
    vid, _, frame = line.rpartition("/")
    if not vid:
        raise DatasetError(f"{where}: <vid>/<frame> was expected, found {line!r}")
    index = parse_frame_index(frame, where)
    mat = root / "Annotations" / "mat" / vid / f"{index + 1:05d}.mat"
    return _FrameRow(where, split, root / "pngs320H" / vid, index, mat)
