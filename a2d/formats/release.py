"""The official A2D release: `videoset.csv`, `clips320H/<vid>.mp4` and `Annotations/mat/<vid>/<frame>.mat`."""

from dataclasses import dataclass
from pathlib import Path

from a2d.formats.base import DatasetIndex, Row, Sample, parse_frame_index, read_mat_labels
from a2d.formats.tables import TableRow, read_table
from a2d.skipped_samples import SkippedSamples
from a2d.taxonomy import Taxonomy
from common.errors import DatasetError

SPLITS = {"0": "train", "1": "test"}
COLUMNS = 9


@dataclass(frozen=True)
class _ReleaseRow(Row):
    """A clip of the release and the folder with an annotation file for each of its labelled frames."""

    annotations: Path

    def samples(self, taxonomy: Taxonomy, skipped: SkippedSamples) -> list[Sample]:
        if not self.has_clip(skipped):
            return []
        mats = sorted(self.annotations.glob("[0-9]*.mat"))
        if not mats:
            skipped.add(self.where, f"no annotation (.mat file) in {self.annotations}")
        samples = []
        for mat in mats:
            try:
                frame_index = parse_frame_index(mat.stem, str(mat))
                labels = read_mat_labels(mat, taxonomy, self.where)
            except DatasetError as reason:
                skipped.add(self.where, reason)
                continue
            samples.append(Sample(self.clip, frame_index, labels, self.split, self.clip.stem, self.where))
        return samples


def read_release(root: Path) -> DatasetIndex:
    """Read `videoset.csv` of the official release.

    Args:
        root: Folder with `videoset.csv`, `clips320H` and `Annotations/mat`.

    Returns:
        One row per clip, and the splits that have any.

    Raises:
        DatasetError: If the file is unreadable, empty or malformed.
    """
    path = root / "videoset.csv"
    rows = [_parse_release_row(path, row) for row in read_table(path)]
    if not rows:
        raise DatasetError(f"{path}: the file is empty")
    present = {row.split for row in rows}
    return DatasetIndex(path, tuple(split for split in SPLITS.values() if split in present), rows)


def _parse_release_row(path: Path, row: TableRow) -> _ReleaseRow:
    cells = row.cells
    where = f"{path}:{row.number}"
    if len(cells) != COLUMNS:
        raise DatasetError(f"{where}: {COLUMNS} cells were expected, found {len(cells)}")
    vid, flag = cells[0], cells[-1]
    if not vid:
        raise DatasetError(f"{where}: the first cell, the clip's name, is empty")
    if flag not in SPLITS:
        raise DatasetError(f"{where}: the last cell, the split, must be 0 (train) or 1 (test), found {flag!r}")
    clip = path.parent / "clips320H" / f"{vid}.mp4"
    return _ReleaseRow(where, SPLITS[flag], clip, path.parent / "Annotations" / "mat" / vid)
