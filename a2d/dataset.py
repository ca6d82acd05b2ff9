"""Labelled data: `read_samples` recognises the layout of a data set and reads one of its splits.

- official A2D release: `videoset.csv`, see `a2d.formats.release`;
- course layout of the 2020 challenge: `list/{train,val,test}.txt`, see `a2d.formats.course`;
- a CSV file with the columns `file`, `labels` and `split`, see `a2d.formats.csv_clips`;
- the exports of annotation tools: `a2d.formats.label_studio`, `cvat` and `fiftyone`.

A folder with both `list` and `videoset.csv` is read as the course layout, because only that one has lists. To add a
format, write a module in `a2d/formats` that returns a `DatasetIndex`, and recognise it in `_open_index`.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path

from tqdm import tqdm

from a2d.formats import course, csv_clips, cvat, fiftyone, label_studio, release
from a2d.formats.base import DatasetIndex, Row, Sample
from a2d.skipped_samples import SkippedSamples
from a2d.taxonomy import Taxonomy
from common.errors import DatasetError
from common.files import nearest

HELD_OUT_SPLITS = ("val", "test")  # the challenge's layout has both, and withholds the labels of its test split


def read_samples(data: Path, split: str, taxonomy: Taxonomy, skipped: SkippedSamples | None = None) -> list[Sample]:
    """Read one split of a labelled data set.

    Every row of every split must be well formed; that files exist and labels are known is checked for the requested
    split only, so a download of one split can be used.

    Args:
        data: A folder in one of the layouts (the release may lie in its subfolder `Release`), or a CSV file, a JSON
            export of Label Studio, or an XML export of CVAT.
        split: The split's name, one of `split_names(data)`.
        taxonomy: What the labels mean.
        skipped: Collects the samples whose files are missing or broken; None raises an error for the first.

    Returns:
        At least one sample, in the order of the data set's list; the frames of a clip in time order.

    Raises:
        DatasetError: If the data cannot be used, or no sample of the split can. The message names the file, and the
            line where there is one.
    """
    skipped = SkippedSamples(strict=True) if skipped is None else skipped
    index = _open_index(data)
    if split not in index.splits:
        raise DatasetError(f"{index.path}: unknown split {split!r}; {nearest(split, index.splits)}")
    rows = [row for row in index.rows if row.split == split]
    if not rows:
        raise DatasetError(f"{index.path}: the split {split!r} is empty")
    return _open_rows(rows, split, taxonomy, skipped)


def read_stills(path: Path, split: str, taxonomy: Taxonomy, skipped: SkippedSamples | None = None) -> list[Sample]:
    """Read a list of labelled images, each of which is a clip of one frame.

    Args:
        path: A CSV file with the columns `file` and `labels`, and optionally `split` and `source`.
        split: Which images to read, besides those of which no split is named.
        taxonomy: What the labels mean.
        skipped: Collects the images that are missing; None raises an error for the first.

    Returns:
        At least one sample, in the order of the file.

    Raises:
        DatasetError: If the file is not such a list, or no image of it can be used.
    """
    skipped = SkippedSamples(strict=True) if skipped is None else skipped
    rows = [row for row in csv_clips.read_csv(path, split).rows if row.split == split]
    if not rows:
        raise DatasetError(f"{path}: no row is of the split {split!r}")
    return _open_rows(rows, split, taxonomy, skipped)


def _open_rows(rows: Sequence[Row], split: str, taxonomy: Taxonomy, skipped: SkippedSamples) -> list[Sample]:
    """Open the files of a split's rows.

    Raises:
        DatasetError: If none can be used.
    """
    progress = tqdm(rows, desc=f"reading {split}", unit="row", leave=False, disable=None)  # None: silent when piped
    before = len(skipped)
    samples = [sample for row in progress for sample in row.samples(taxonomy, skipped)]
    if not samples:
        raise DatasetError(none_usable(skipped.reasons[before:], split))
    return samples


def none_usable(reasons: Sequence[str], split: str) -> str:
    """Return an error message for a split of which no sample can be used, given the reasons."""
    return reasons[0] + (f"; all {len(reasons)} samples of split {split!r} are unusable" if len(reasons) > 1 else "")


def split_names(data: Path) -> tuple[str, ...]:
    """Return the names of a labelled data set's splits.

    Args:
        data: As for `read_samples`.

    Returns:
        train, val, test for A2D's two layouts; in file order for the others.

    Raises:
        DatasetError: If the layout is unknown or a row is malformed.
    """
    return _open_index(data).splits


def find_held_out_split(data: Path, split: str, wanted: str | None) -> str | None:
    """Find the split to report on beside the one that something is trained or tuned on.

    Args:
        data: As for `read_samples`.
        split: What is trained or tuned on.
        wanted: The requested split; None selects the first of `HELD_OUT_SPLITS` that exists.

    Returns:
        A name other than `split`, or None if there is no such split.

    Raises:
        DatasetError: If the requested split does not exist, or is the one that is trained or tuned on.
    """
    others = [name for name in split_names(data) if name != split]
    if wanted is None:
        return next((name for name in HELD_OUT_SPLITS if name in others), None)
    if wanted not in others:
        raise DatasetError(f"{data}: cannot hold out split {wanted!r}; {nearest(wanted, others)}")
    return wanted


def clip_labels(samples: Iterable[Sample]) -> dict[Path, tuple[str, ...]]:
    """Collect everything that is labelled anywhere in each clip, as tuning the gates requires.

    A presence ratio describes a whole video, so it is compared with the frames' "annotations compressed into all
    present actors per video" (A2D challenge report, section 3.1, on its threshold search).

    Args:
        samples: Of frames or of clips, in any order.

    Returns:
        Label names by clip, without duplicates; clips and labels in order of first appearance.
    """
    names: dict[Path, dict[str, None]] = {}
    for sample in samples:
        names.setdefault(sample.clip, {}).update(dict.fromkeys(sample.labels))
    return {clip: tuple(labels) for clip, labels in names.items()}


def _open_index(data: Path) -> DatasetIndex:
    """Recognise the layout and read its lists."""
    if data.is_file():
        return _open_file(data)
    if not data.is_dir():
        found = "neither a file nor a folder" if data.exists() else "no such file or folder"
        raise DatasetError(f"{data}: {found}")
    for root in (data, data / "Release"):
        if any(course.list_path(root, split).is_file() for split in course.SPLITS):
            return course.read_course(root)
        if (root / "videoset.csv").is_file():
            return release.read_release(root)
    found_csv = csv_clips.find_csv(data)
    return csv_clips.read_csv(found_csv) if found_csv else _open_export(data)


def _open_file(data: Path) -> DatasetIndex:
    """Read a list of clips, or the file that an annotation tool has exported."""
    if data.suffix.lower() == ".json":
        return label_studio.read_label_studio(data)
    if data.suffix.lower() == ".xml":
        return cvat.read_cvat(data, [data])
    return csv_clips.read_csv(data)


def _open_export(folder: Path) -> DatasetIndex:
    """Recognise what an annotation tool has exported to a folder."""
    if fiftyone.is_dataset(folder):
        return fiftyone.read_fiftyone(folder)
    if tasks := label_studio.find_tasks(folder):
        return label_studio.read_label_studio(tasks)
    if files := cvat.find_files(folder):
        return cvat.read_cvat(folder, files)
    raise DatasetError(
        f"{folder}: no labelled data found; looked for videoset.csv (official A2D release, here or in Release), "
        f"list/train.txt, val.txt or test.txt (course layout), a CSV with the columns "
        f"{', '.join(csv_clips.CSV_COLUMNS)}, samples.json or manifest.json (FiftyOne), tasks.json (Label Studio), and "
        "*.xml (CVAT)"
    )
