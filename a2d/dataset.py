"""Readers of labelled data: the official A2D release, the layout of its 2020 challenge, and anybody's clips in a CSV.

`read_samples` tells the three apart by what lies in the folder:

- official release: `videoset.csv`, `clips320H/<vid>.mp4`, `Annotations/mat/<vid>/<frame>.mat`;
- course layout: `list/{train,val,test}.txt`, `pngs320H/<vid>/<frame>.png` and the same `Annotations/mat`;
- a CSV with the columns `file`, `labels` (names between spaces) and `split`, one row a clip; other columns are free.

A folder with both `list` and `videoset.csv` is read as the course layout, because only that one has lists.
"""

import csv
import io
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tqdm import tqdm

from a2d.errors import DatasetError, TaxonomyError
from a2d.files import nearest
from a2d.labels import Label, Taxonomy

CSV_COLUMNS = ("file", "labels", "split")
COURSE_SPLITS = ("train", "val", "test")
RELEASE_SPLITS = {"0": "train", "1": "test"}
RELEASE_COLUMNS = 9


@dataclass(frozen=True)
class Sample:
    """One thing with labels: a frame of a clip, or a whole clip.

    Attributes:
        clip: The video file, or a folder of PNG frames named `%05d.png` from 1.
        frame_index: The frame that the labels speak of, from 0; None when they speak of the whole clip.
        labels: Label names in vector order, none twice; empty for an annotated frame where nothing is labelled.
        split: For example `train`.
        group: What must stay together in cross-validation: the CSV's `source`, else the clip's own name.
    """

    clip: Path
    frame_index: int | None
    labels: tuple[str, ...]
    split: str
    group: str


def read_samples(data: Path, split: str, taxonomy: Taxonomy) -> list[Sample]:
    """Read one split of a labelled data set.

    Every row of every split must be well formed; that the files exist and the labels are known is checked for the
    asked split alone, so a download of one split can be used.

    Args:
        data: A folder in one of the three layouts (the release may lie in its subfolder `Release`), or a CSV file.
        split: The split's name, one of `split_names(data)`.
        taxonomy: What the labels mean.

    Returns:
        At least one sample, in the order of the data set's list; the frames of a clip in time order.

    Raises:
        DatasetError: If the data cannot be used. The message names the file, and the line where there is one.
    """
    index = _open_index(data)
    if split not in index.splits:
        raise DatasetError(f"{index.path}: unknown split {split!r}; {nearest(split, index.splits)}")
    rows = [row for row in index.rows if row.split == split]
    if not rows:
        raise DatasetError(f"{index.path}: the split {split!r} is empty")
    progress = tqdm(rows, desc=f"reading {split}", unit="row", leave=False, disable=None)  # None: silent when piped
    return [sample for row in progress for sample in row.samples(taxonomy)]


def split_names(data: Path) -> tuple[str, ...]:
    """Say which splits a labelled data set has.

    Args:
        data: As for `read_samples`.

    Returns:
        Their names: train, val, test for A2D's two layouts, in the order of the file for a CSV.

    Raises:
        DatasetError: If the layout is unknown or a row is malformed.
    """
    return _open_index(data).splits


def clip_labels(samples: Iterable[Sample]) -> dict[Path, tuple[str, ...]]:
    """Gather what is labelled anywhere in each clip, as tuning the gates needs it.

    A presence ratio speaks of a whole video, so it is held against the frames' "annotations compressed into all present
    actors per video" (the method's report, on its threshold search).

    Args:
        samples: Of frames or of clips, in any order.

    Returns:
        Label names by clip, none twice; clips and labels in the order in which they are first seen.
    """
    names: dict[Path, dict[str, None]] = {}
    for sample in samples:
        names.setdefault(sample.clip, {}).update(dict.fromkeys(sample.labels))
    return {clip: tuple(labels) for clip, labels in names.items()}


@dataclass(frozen=True)
class _Row(ABC):
    """One line of a data set's list, before the files that it names are looked at.

    Attributes:
        where: `<file>:<line>`, for messages.
        split: The split's name.
        clip: Where the clip should be.
    """

    where: str
    split: str
    clip: Path

    @abstractmethod
    def samples(self, taxonomy: Taxonomy) -> list[Sample]:
        """Look at the files and give the row's samples, at least one."""


@dataclass(frozen=True)
class _Index:
    """What a data set's lists say.

    Attributes:
        path: The list, or the folder of lists, for messages.
        splits: Names of the splits.
        rows: The rows of all splits, in file order.
    """

    path: Path
    splits: tuple[str, ...]
    rows: Sequence[_Row]


def _open_index(data: Path) -> _Index:
    """Recognise the layout and read its lists."""
    if data.is_file():
        return _read_csv(data)
    if not data.is_dir():
        raise DatasetError(f"{data}: no such file or folder")
    for root in (data, data / "Release"):
        if any(_course_list(root, split).is_file() for split in COURSE_SPLITS):
            return _read_course(root)
        if (root / "videoset.csv").is_file():
            return _read_release(root)
    return _read_csv(_find_csv(data))


# --- A CSV of clips ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _ClipRow(_Row):
    """A whole clip and its labels, as the CSV's cell has them."""

    group: str
    label_cell: str

    def samples(self, taxonomy: Taxonomy) -> list[Sample]:
        _check_exists(self.clip, self.where)
        if not self.label_cell:
            raise DatasetError(f"{self.where}: the cell 'labels' is empty; one label at least was expected")
        try:
            labels = _in_vector_order(taxonomy.label(name) for name in self.label_cell.split())
        except TaxonomyError as reason:
            raise DatasetError(f"{self.where}: {reason}") from None
        return [Sample(self.clip, None, labels, self.split, self.group)]


def _find_csv(folder: Path) -> Path:
    """Find the one CSV of a folder that lists labelled clips."""
    found = [path for path in sorted(folder.glob("*.csv")) if _lists_clips(path)]
    if not found:
        raise DatasetError(
            f"{folder}: no labelled data found; looked for videoset.csv (official A2D release, here or in Release), "
            f"list/train.txt, val.txt or test.txt (course layout), and a CSV with the columns {', '.join(CSV_COLUMNS)}"
        )
    if len(found) > 1:
        raise DatasetError(f"{folder}: several CSVs list clips, name one: {', '.join(path.name for path in found)}")
    return found[0]


def _lists_clips(path: Path) -> bool:
    """Say whether a file's first line is the header of a list of clips; another CSV may be anything at all."""
    try:
        with path.open(encoding="utf-8-sig") as file:
            header = file.readline().split(",")
    except (OSError, UnicodeDecodeError):
        return False
    return set(CSV_COLUMNS) <= {name.strip(' "\n') for name in header}


def _read_csv(path: Path) -> _Index:
    (_, header), *lines = _read_table(path) or [(0, [])]
    for column in CSV_COLUMNS:
        if column not in header:
            raise DatasetError(f"{path}: the column {column!r} is missing; the header has: {', '.join(header)}")
    rows = [_parse_clip_row(path, number, header, cells) for number, cells in lines]
    if not rows:
        raise DatasetError(f"{path}: there is no row below the header")
    seen: dict[Path, str] = {}
    for row in rows:  # Listed in two splits, a clip would be tested on what it trained.
        if row.clip in seen:
            raise DatasetError(f"{row.where}: {row.clip} is listed twice, before at {seen[row.clip]}")
        seen[row.clip] = row.where
    return _Index(path, tuple(dict.fromkeys(row.split for row in rows)), rows)


def _parse_clip_row(path: Path, number: int, header: list[str], cells: list[str]) -> _ClipRow:
    where = f"{path}:{number}"
    if len(cells) != len(header):
        raise DatasetError(f"{where}: {len(header)} cells were expected, as in the header, found {len(cells)}")
    row = dict(zip(header, cells, strict=True))
    for column in ("file", "split"):
        if not row[column]:
            raise DatasetError(f"{where}: the cell {column!r} is empty")
    clip = path.parent / row["file"]
    return _ClipRow(where, row["split"], clip, row.get("source") or clip.name, row["labels"])


# --- The official release ---------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _ReleaseRow(_Row):
    """A clip of the release, with an annotation file for each of its labelled frames."""

    annotations: Path

    def samples(self, taxonomy: Taxonomy) -> list[Sample]:
        _check_exists(self.clip, self.where)
        mats = sorted(self.annotations.glob("[0-9]*.mat"))
        if not mats:
            raise DatasetError(f"{self.where}: no annotation (.mat file) in {self.annotations}")
        return [
            Sample(
                self.clip,
                _parse_frame_index(mat.stem, str(mat)),
                _read_mat_labels(mat, taxonomy, self.where),
                self.split,
                group=self.clip.stem,
            )
            for mat in mats
        ]


def _read_release(root: Path) -> _Index:
    path = root / "videoset.csv"
    rows = [_parse_release_row(path, number, cells) for number, cells in _read_table(path)]
    if not rows:
        raise DatasetError(f"{path}: the file is empty")
    present = {row.split for row in rows}
    return _Index(path, tuple(split for split in RELEASE_SPLITS.values() if split in present), rows)


def _parse_release_row(path: Path, number: int, cells: list[str]) -> _ReleaseRow:
    where = f"{path}:{number}"
    if len(cells) != RELEASE_COLUMNS:
        raise DatasetError(f"{where}: {RELEASE_COLUMNS} cells were expected, found {len(cells)}")
    vid, flag = cells[0], cells[-1]
    if not vid:
        raise DatasetError(f"{where}: the first cell, the clip's name, is empty")
    if flag not in RELEASE_SPLITS:
        raise DatasetError(f"{where}: the last cell, the split, must be 0 (train) or 1 (test), found {flag!r}")
    clip = path.parent / "clips320H" / f"{vid}.mp4"
    return _ReleaseRow(where, RELEASE_SPLITS[flag], clip, path.parent / "Annotations" / "mat" / vid)


# --- The course layout ------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _FrameRow(_Row):
    """One labelled frame of a clip that is a folder of PNG files; the frame counts from 0."""

    frame_index: int
    annotation: Path

    def samples(self, taxonomy: Taxonomy) -> list[Sample]:
        _check_exists(self.clip / f"{self.frame_index + 1:05d}.png", self.where)
        if self.split == "test" and not self.annotation.exists():
            raise DatasetError(
                f"{self.where}: no annotation {self.annotation}; "
                "the challenge withheld the labels of its test split, so score val instead"
            )
        labels = _read_mat_labels(self.annotation, taxonomy, self.where)
        return [Sample(self.clip, self.frame_index, labels, self.split, group=self.clip.name)]


def _course_list(root: Path, split: str) -> Path:
    return root / "list" / f"{split}.txt"


def _read_course(root: Path) -> _Index:
    splits = tuple(split for split in COURSE_SPLITS if _course_list(root, split).is_file())
    rows = [
        _parse_frame_row(root, split, number, line.strip())
        for split in splits
        for number, line in enumerate(_read_text(_course_list(root, split)).split("\n"), start=1)
        if line.strip()
    ]
    return _Index(root / "list", splits, rows)


def _parse_frame_row(root: Path, split: str, number: int, line: str) -> _FrameRow:
    where = f"{_course_list(root, split)}:{number}"
    vid, _, frame = line.rpartition("/")
    if not vid:
        raise DatasetError(f"{where}: <vid>/<frame> was expected, found {line!r}")
    index = _parse_frame_index(frame, where)
    mat = root / "Annotations" / "mat" / vid / f"{index + 1:05d}.mat"
    return _FrameRow(where, split, root / "pngs320H" / vid, index, mat)


# --- What the layouts share -------------------------------------------------------------------------------------------


def _read_mat_labels(mat: Path, taxonomy: Taxonomy, where: str) -> tuple[str, ...]:
    """Read which labels one annotated frame has.

    Args:
        mat: A MATLAB 7.3 file, which is HDF5. Its `reS_id` holds a label id for every pixel, 0 for background.
        taxonomy: What the ids mean.
        where: The place in the list that asks for the file, for messages.

    Returns:
        Label names in vector order.

    Raises:
        DatasetError: If the file is missing, unreadable, without `reS_id`, or has an id that is no label's.
    """
    import h5py  # only A2D's own annotations need it

    try:
        with h5py.File(mat, "r") as file:
            ids = np.unique(file["reS_id"][()])  # transposed by MATLAB's column order, which a set does not feel
    except FileNotFoundError:
        raise DatasetError(f"{where}: no annotation {mat}") from None
    except KeyError:
        raise DatasetError(f"{where}: {mat}: not an A2D annotation (no readable 'reS_id')") from None
    except (OSError, RuntimeError, TypeError) as reason:
        text = " ".join(str(reason).split())
        raise DatasetError(f"{where}: {mat}: not a readable MATLAB 7.3 (HDF5) file ({text})") from None
    try:
        return _in_vector_order(taxonomy.label_from_id(int(label_id)) for label_id in ids if label_id != 0)
    except TaxonomyError as reason:
        raise DatasetError(f"{where}: {mat}: {reason}") from None


def _in_vector_order(labels: Iterable[Label]) -> tuple[str, ...]:
    return tuple(label.name for label in sorted(set(labels), key=lambda label: label.index))


def _parse_frame_index(number: str, where: str) -> int:
    """Turn A2D's frame number, from 1, into an index from 0."""
    if not (number.isascii() and number.isdigit() and int(number) > 0):
        raise DatasetError(f"{where}: a frame number from 1 was expected, found {number!r}")
    return int(number) - 1


def _check_exists(path: Path, where: str) -> None:
    if not path.exists():
        raise DatasetError(f"{where}: no such file: {path}")


def _read_text(path: Path) -> str:
    """Read a text file; spreadsheets begin theirs with a byte order mark, which is dropped."""
    try:
        return path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as reason:
        raise DatasetError(f"{path}: not a readable text file ({reason})") from None


def _read_table(path: Path) -> list[tuple[int, list[str]]]:
    """Read a CSV's lines that are not blank: the line number, from 1, and the cells without outer spaces."""
    reader = csv.reader(io.StringIO(_read_text(path)), skipinitialspace=True, strict=True)
    try:
        return [(reader.line_num, [cell.strip() for cell in cells]) for cells in reader if cells]
    except csv.Error as reason:
        raise DatasetError(f"{path}:{reader.line_num}: not a readable CSV ({reason})") from None
