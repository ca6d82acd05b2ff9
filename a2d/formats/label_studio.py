"""Label Studio: the JSON export of a project of videos (https://labelstud.io/guide/export#JSON).

A clip's labels are the choices that were made about it (Choices); without any, those of its segments (TimelineLabels);
without these, those of its boxes. Of several annotations of a task, the one that is marked as ground truth counts,
otherwise the one that was updated last. A task that nobody has annotated is in the split `todo`, with what was
predicted; the split of others is `split` in their data, `train` if there is none, and their group `source`.
"""

import re
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import msgspec

from a2d.formats.base import DatasetIndex
from a2d.formats.json_files import read_json
from a2d.formats.whole_clips import TODO_SPLIT, ClipRow, NamedLabel, clip_index, split_named
from common.errors import DatasetError
from common.files import shorten

TASKS = "tasks.json"
PATH_KEYS = ("path", "file", "video")
LOCAL_FILES = "/data/local-files/"
_UPLOAD_PREFIX = re.compile(r"[0-9a-f]{8}-")  # which Label Studio puts before the names of uploaded files


class _Value(msgspec.Struct):
    choices: list[str] = []
    timelinelabels: list[str] = []
    labels: list[str] = []


class _Region(msgspec.Struct):
    value: _Value = msgspec.field(default_factory=_Value)


class _Annotation(msgspec.Struct):
    result: list[_Region] = []
    was_cancelled: bool = False
    ground_truth: bool = False
    updated_at: str | None = None

    def label_names(self) -> list[str]:
        """Return the labels of the strongest kind that there is."""
        for kind in ("choices", "timelinelabels", "labels"):
            if names := [name for region in self.result for name in getattr(region.value, kind)]:
                return names
        return []


class _Task(msgspec.Struct):
    data: dict[str, Any]
    annotations: list[_Annotation] = []
    predictions: list[_Annotation | int] = []  # a number where an export names them only

    def labelled(self) -> _Annotation | None:
        """Return the annotation that counts, or None if nobody has annotated the task."""
        done = [annotation for annotation in self.annotations if not annotation.was_cancelled]
        return max(done, key=lambda one: (one.ground_truth, one.updated_at or ""), default=None)

    def predicted(self) -> _Annotation | None:
        """Return the last prediction, or None."""
        return next((one for one in reversed(self.predictions) if isinstance(one, _Annotation)), None)


def find_tasks(folder: Path) -> Path | None:
    """Return the file of tasks in a folder that our export has written, or None."""
    path = folder / TASKS
    return path if path.is_file() else None


def read_label_studio(path: Path) -> DatasetIndex:
    """Read an export.

    Args:
        path: A JSON file with a list of tasks. A clip is named by `path`, `file` or `video` in a task's data: relative
            to this file's folder, absolute, or an address, of which the path of a local file or the last part counts.

    Returns:
        One row per task.

    Raises:
        DatasetError: If the file is not such an export, has no tasks, a task names no clip, or two name the same.
    """
    tasks = read_json(path, list[_Task], "the JSON export of a Label Studio project")
    if not tasks:
        raise DatasetError(f"{path}: there is no task")
    return clip_index(path, [_row(path, number, task) for number, task in enumerate(tasks, 1)])


def _row(path: Path, number: int, task: _Task) -> ClipRow:
    where = f"{path}: task {number}"
    name = next((task.data[key] for key in PATH_KEYS if task.data.get(key)), None)
    if not isinstance(name, str):
        keys = ", ".join(PATH_KEYS)
        raise DatasetError(f"{where}: its data names no clip, as one of {keys}: {shorten(task.data)}")
    clip = _find_clip(path.parent, name)
    labelled = task.labelled()
    annotation = labelled or task.predicted() or _Annotation()
    split = split_named(str(task.data.get("split") or "")) if labelled else TODO_SPLIT
    if labelled and split == TODO_SPLIT:
        split = split_named("")
    labels = [NamedLabel(label, where) for label in dict.fromkeys(annotation.label_names())]
    return ClipRow(where, split, clip, str(task.data.get("source") or clip.name), labels)


def _find_clip(folder: Path, name: str) -> Path:
    """Return where the clip of a task is, from its path or address."""
    address = urlsplit(name)
    if address.path == LOCAL_FILES and address.query.startswith("d="):
        relative = unquote(address.query.removeprefix("d=")).lstrip("/")
        absolute = Path("/", relative)
        return absolute if absolute.exists() else folder / relative
    if address.scheme == "file":
        return Path(unquote(address.path))
    is_address = len(address.scheme) > 1 or name.startswith("/data/")  # a single letter is a drive of Windows
    if not is_address or (folder / name).exists():
        return folder / name
    last = unquote(address.path).rpartition("/")[2]
    original = folder / _UPLOAD_PREFIX.sub("", last, count=1)
    return original if original.exists() else folder / last
