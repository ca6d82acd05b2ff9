"""ELAN annotation files, for annotators (https://www.mpi.nl/tools/elan/EAF_Annotation_Format_3.0_and_ELAN.pdf).

A tier for each label of a clip, since annotations of a tier must not overlap, with an annotation for each of its
segments. Times are in milliseconds.
"""

import mimetypes
import os
from collections.abc import Iterable
from pathlib import Path
from urllib.parse import quote

from common.file_names import FileNames
from common.files import write_atomically
from common.remote_files import is_address
from pipeline.exports.export import Export
from pipeline.exports.text import file_url, xml
from pipeline.results import ClipResult, TaggedLabel

DATE = "1970-01-01T00:00:00+00:00"  # required; a fixed one, so that the same results give the same files
SCHEMA = "http://www.mpi.nl/tools/elan/EAFv3.0.xsd"
TIER_TYPE = "action"


def write(results: Iterable[ClipResult], export: Export) -> None:
    """Write a file for each clip into the folder."""
    names = FileNames(".eaf")
    for result in export.tagged(results):
        relative = os.path.relpath(result.path, export.out)
        path_url = quote(f"./{relative}".encode(errors="surrogateescape"))
        content = _format(result, result.path if is_address(result.path) else path_url)
        write_atomically(export.out / names.name(Path(result.path).stem), content)


def _format(result: ClipResult, path_url: str) -> str:
    kind = mimetypes.MimeTypes().guess_type(result.path, strict=False)[0] or "unknown"  # of the system, nothing is read
    slots: list[str] = []
    tiers = "".join(_format_tier(label, slots) for label in result.labels)
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        f'<ANNOTATION_DOCUMENT AUTHOR="actor-action" DATE="{DATE}" FORMAT="3.0" VERSION="3.0"'
        f' xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xsi:noNamespaceSchemaLocation="{SCHEMA}">\n'
        '<HEADER MEDIA_FILE="" TIME_UNITS="milliseconds">\n'
        f'<MEDIA_DESCRIPTOR MEDIA_URL="{xml(file_url(result.path))}" MIME_TYPE="{xml(kind)}"'
        f' RELATIVE_MEDIA_URL="{xml(path_url)}"/>\n'
        f'<PROPERTY NAME="lastUsedAnnotationId">{len(slots) // 2}</PROPERTY>\n</HEADER>\n'
        f"<TIME_ORDER>\n{''.join(slots)}</TIME_ORDER>\n{tiers}"
        f'<LINGUISTIC_TYPE GRAPHIC_REFERENCES="false" LINGUISTIC_TYPE_ID="{TIER_TYPE}" TIME_ALIGNABLE="true"/>\n'
        "</ANNOTATION_DOCUMENT>\n"
    )


def _format_tier(label: TaggedLabel, slots: list[str]) -> str:
    """Format the tier of a label, and add the times that it refers to."""
    lines = [f'<TIER LINGUISTIC_TYPE_REF="{TIER_TYPE}" TIER_ID="{xml(label.label)}">\n']
    for segment in label.segments:
        first = len(slots) + 1
        slots += [
            f'<TIME_SLOT TIME_SLOT_ID="ts{first + index}" TIME_VALUE="{round(1000 * seconds)}"/>\n'
            for index, seconds in enumerate(segment)
        ]
        lines.append(
            f'<ANNOTATION><ALIGNABLE_ANNOTATION ANNOTATION_ID="a{len(slots) // 2}" TIME_SLOT_REF1="ts{first}"'
            f' TIME_SLOT_REF2="ts{first + 1}"><ANNOTATION_VALUE>{xml(label.label)}</ANNOTATION_VALUE>'
            "</ALIGNABLE_ANNOTATION></ANNOTATION>\n"
        )
    return "".join([*lines, "</TIER>\n"])
