"""Parquet (https://parquet.apache.org/docs/): a table with a row for each clip, with those that could not be read.

The columns are the keys of a row of results, without `timing`, which differs between runs, and `version`. What is
a mapping there is a list of entries here, which have their key as `actor` or `label`, so that every reader can unnest
them. Frames are counted from 0, times are in seconds, boxes in pixels.
"""

from collections.abc import Iterable
from itertools import islice
from typing import TYPE_CHECKING, Any

from common.errors import UserError
from common.files import open_atomically
from pipeline.exports.export import Export
from pipeline.exports.text import clean
from pipeline.results import ClipResult

if TYPE_CHECKING:
    import pyarrow

ROWS_PER_GROUP = 1000  # which are in memory at a time


def write(results: Iterable[ClipResult], export: Export) -> None:
    """Write one file of all clips, group by group.

    Raises:
        UserError: If pyarrow is not installed.
    """
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError:
        text = "the format 'parquet' needs pyarrow, which is not installed with the project: pip install pyarrow"
        raise UserError(text) from None

    schema, rows = _schema(), map(_row, results)
    with open_atomically(export.out) as file, pq.ParquetWriter(file, schema, compression="zstd") as writer:
        while group := list(islice(rows, ROWS_PER_GROUP)):
            export.written += len(group)
            writer.write_table(pa.Table.from_pylist(group, schema=schema))


def _row(result: ClipResult) -> dict[str, Any]:
    return {
        "video": clean(result.video),
        "path": clean(result.path),
        "sha256": result.sha256,
        "status": result.status,
        "error": None if result.error is None else clean(result.error),
        "frames": result.frames,
        "fps": result.fps,
        "duration_seconds": result.duration_seconds,
        "actors": [
            {"actor": name, **vars(evidence), "windows": _spans(evidence.windows)}
            for name, evidence in result.actors.items()
        ],
        "labels": [{**vars(label), "segments": _spans(label.segments)} for label in result.labels],
        "scores": [{"label": name, "score": score} for name, score in result.scores.items()],
        "timeline": [
            {
                "actor": name,
                "seconds": timeline.seconds,
                "scores": [{"label": label, "scores": scores} for label, scores in timeline.scores.items()],
            }
            for name, timeline in result.timeline.items()
        ],
        "looks": vars(result.looks) if result.looks else None,
        "weights": {
            "detector": result.weights.detector,
            "thresholds": result.weights.thresholds,
            "heads": [{"actor": name, "sha256": digest} for name, digest in result.weights.heads.items()],
        },
    }


def _spans(spans: Iterable[tuple[float, float]]) -> list[dict[str, float]]:
    return [{"start_seconds": start, "end_seconds": end} for start, end in spans]


def _schema() -> "pyarrow.Schema":
    import pyarrow as pa

    def struct(**fields: pa.DataType) -> pa.DataType:
        return pa.struct(list(fields.items()))

    text, number, count = pa.string(), pa.float64(), pa.int64()
    spans = pa.list_(struct(start_seconds=number, end_seconds=number))
    evidence = struct(
        actor=text,
        presence=number,
        detected=number,
        gate=number,
        present=pa.bool_(),
        margin=number,
        frames=pa.list_(count),
        boxes=pa.list_(pa.list_(number)),
        windows=spans,
        interval=pa.list_(number),
    )
    curve = struct(label=text, scores=pa.list_(number))
    columns = {
        **{name: text for name in ("video", "path", "sha256", "status", "error")},
        "frames": count,
        "fps": number,
        "duration_seconds": number,
        "actors": pa.list_(evidence),
        "labels": pa.list_(struct(label=text, id=count, score=number, segments=spans)),
        "scores": pa.list_(struct(label=text, score=number)),
        "timeline": pa.list_(struct(actor=text, seconds=pa.list_(number), scores=pa.list_(curve))),
        "looks": struct(frames=count, error=number),
        "weights": struct(detector=text, thresholds=text, heads=pa.list_(struct(actor=text, sha256=text))),
    }
    return pa.schema(list(columns.items()))
