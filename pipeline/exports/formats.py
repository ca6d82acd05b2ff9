"""The formats of other tools: to add one, write a module with a function `write`, and add a line here."""

import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import cast

from a2d.taxonomy import Taxonomy
from common.errors import UserError
from pipeline.exports.export import Export, Exporter
from pipeline.results import ClipResult


@dataclass(frozen=True)
class Format:
    """A format of another tool.

    Attributes:
        description: What is written, for help texts.
        suffix: Of the file; empty if a folder is written.
    """

    description: str
    suffix: str = ""


FORMATS = {
    "coco": Format("COCO detection JSON: boxes in sampled frames", ".json"),
    "cvat": Format("CVAT for video 1.1: an XML file of tracks for each clip"),
    "elan": Format("ELAN: an annotation file for each clip, a tier for each label"),
    "fiftyone": Format("FiftyOne: a dataset with labels, segments and boxes"),
    "label-studio": Format("Label Studio: tasks with predictions, and the labelling configuration"),
    "parquet": Format("Parquet: a table with a row for each clip", ".parquet"),
    "praat": Format("Praat: a TextGrid for each clip, a tier for each label"),
    "webvtt": Format("WebVTT: chapters for each clip"),
}
"""By name; the module of a format is the one of the same name in this package."""


def default_path(folder: Path, name: str) -> Path:
    """Return where an export of the results in a folder is written if nothing else is said."""
    return folder / f"export-{name}{FORMATS[name].suffix}"


def write_export(results: Iterable[ClipResult], name: str, out: Path, taxonomy: Taxonomy) -> Export:
    """Write results in the format of another tool; `out` is complete, or is not written at all.

    Args:
        results: They are read one by one, while they are written.
        name: One of `FORMATS`.
        out: A file, which is replaced, or a folder, which must be new or empty.
        taxonomy: With which the clips were tagged.

    Returns:
        What was written, and what had to be left out.

    Raises:
        UserError: If the folder is not empty, a label is not in the taxonomy, or the format needs a library that is not
            installed.
        OSError: If it cannot be written.
    """
    module = cast(Exporter, import_module(f"pipeline.exports.{name.replace('-', '_')}"))
    with nullcontext(out) if FORMATS[name].suffix else _new_folder(out) as place:
        export = Export(place, taxonomy)
        module.write(results, export)
    export.out = out
    return export


@contextmanager
def _new_folder(out: Path) -> Iterator[Path]:
    """Create a folder that gets its name when it is complete.

    Raises:
        UserError: If the name is taken by anything but an empty folder.
        OSError: If it cannot be written.
    """
    if out.exists() and not (out.is_dir() and not any(out.iterdir())):
        raise UserError(f"{out}: is not an empty folder; name another --out, or delete it")
    out.parent.mkdir(parents=True, exist_ok=True)
    temporary = out.absolute().with_name(f".{out.absolute().name[:16]}.{os.getpid()}.tmp")
    temporary.mkdir()
    try:
        yield temporary
        temporary.replace(out.absolute())
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
