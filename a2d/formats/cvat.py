"""CVAT for video 1.1 (https://docs.cvat.ai/docs/manual/advanced/xml_format/): XML files of one task or several.

A clip's labels are those of its task's tracks and tags; a task without any is a clip in which no actor is. The clip is
the task's `source`, relative to the file's folder, and its split the task's subset, `train` if it has none.
"""

from dataclasses import dataclass, field
from pathlib import Path
from xml.parsers import expat

from a2d.formats.base import DatasetIndex
from a2d.formats.whole_clips import ClipRow, NamedLabel, clip_index, split_named
from common.errors import DatasetError
from common.text_files import read_start

ROOT = "annotations"
MAX_DEPTH = 32
MAX_TEXT = 1 << 16  # characters of one element
LABELLED = ("track", "tag", "box", "polygon", "polyline", "points", "ellipse", "cuboid", "mask", "skeleton")
"""Elements with a label; a shape has its own only outside of tracks, and the parts of a skeleton do not count."""


def find_files(folder: Path) -> list[Path]:
    """Return the files in a folder that CVAT, or our export, has written, sorted by name."""
    return [path for path in sorted(folder.glob("*.xml")) if f"<{ROOT}>" in _start_of(path)]


def _start_of(path: Path) -> str:
    try:
        return read_start(path)
    except OSError:
        return ""


def read_cvat(path: Path, files: list[Path]) -> DatasetIndex:
    """Read XML files.

    Args:
        path: The file, or the folder of files, for messages.
        files: At least one.

    Returns:
        One row per task.

    Raises:
        DatasetError: If a file is not such an XML file, a task names no video, or two name the same.
    """
    return clip_index(path, [row for file in files for row in _read_file(file)])


def _read_file(path: Path) -> list[ClipRow]:
    handler = _Handler(path)
    if not path.is_file():
        raise DatasetError(f"{path}: not a regular file")
    try:
        with path.open("rb") as file:
            handler.parser.ParseFile(file)
    except expat.ExpatError as reason:
        raise DatasetError(f"{path}:{reason.lineno}: not readable XML ({expat.ErrorString(reason.code)})") from None
    except OSError as reason:
        raise DatasetError(f"{path}: {(reason.strerror or str(reason)).lower()}") from None
    return handler.rows()


@dataclass
class _Task:
    """A task, or a job of one.

    Attributes:
        line: On which it begins.
        texts: The text of its children, by name.
        labels: Where each label was found first.
    """

    line: int
    texts: dict[str, str] = field(default_factory=dict)
    labels: dict[str, str] = field(default_factory=dict)


class _Handler:
    """Collects tasks and labels while a file is parsed; nothing else of it is kept."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._stack: list[str] = []
        self._text = ""
        self._tasks: list[_Task] = []
        self._of_task: dict[str | None, dict[str, str]] = {}  # labels, by the task's number, None where none is named
        self.parser = expat.ParserCreate()
        self.parser.buffer_text = True
        self.parser.StartElementHandler = self._start
        self.parser.EndElementHandler = self._end
        self.parser.CharacterDataHandler = self._characters
        self.parser.StartDoctypeDeclHandler = self._refuse  # its entities could expand to any size

    @property
    def _where(self) -> str:
        return f"{self._path}:{self.parser.CurrentLineNumber}"

    def _refuse(self, *_: object) -> None:
        raise DatasetError(f"{self._where}: a document type was found, which CVAT does not write")

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        if not self._stack and name != ROOT:
            raise DatasetError(f"{self._where}: <{ROOT}> of CVAT was expected, found <{name[:80]}>")
        if len(self._stack) == MAX_DEPTH:
            raise DatasetError(f"{self._where}: nested more than {MAX_DEPTH} deep")
        if name in ("task", "job"):
            self._tasks.append(_Task(self.parser.CurrentLineNumber))
        elif name in LABELLED and "label" in attributes and not {"meta", "skeleton"} & set(self._stack):
            labels = self._of_task.setdefault(attributes.get("task_id"), {})
            labels.setdefault(attributes["label"], self._where)
        self._stack.append(name)
        self._text = ""

    def _characters(self, text: str) -> None:
        self._text = (self._text + text)[:MAX_TEXT]

    def _end(self, name: str) -> None:
        self._stack.pop()
        if self._stack and self._stack[-1] in ("task", "job") and self._tasks:
            self._tasks[-1].texts[name] = self._text.strip()
        self._text = ""

    def rows(self) -> list[ClipRow]:
        """Return a row for each task, after the file was parsed.

        Raises:
            DatasetError: If there is none, one names no video, or labels belong to no task.
        """
        if not self._tasks:
            raise DatasetError(f"{self._path}: no <task> was found in its <meta>")
        by_number = {task.texts.get("id"): task for task in self._tasks}
        for number, labels in self._of_task.items():
            task = self._tasks[0] if len(self._tasks) == 1 else by_number.get(number)
            if task is None or (number is None and len(self._tasks) > 1):
                where = next(iter(labels.values()))
                raise DatasetError(f"{where}: belongs to no task of this file (task_id {number!r})")
            task.labels |= {name: where for name, where in labels.items() if name not in task.labels}
        return [self._row(task) for task in self._tasks]

    def _row(self, task: _Task) -> ClipRow:
        where = f"{self._path}:{task.line}"
        source = task.texts.get("source")
        if not source:
            raise DatasetError(f"{where}: its <source>, the video, is missing; tasks of images cannot be read")
        clip = self._path.parent / source
        labels = [NamedLabel(name, place) for name, place in task.labels.items()]
        return ClipRow(where, split_named(task.texts.get("subset", "")), clip, clip.name, labels)
