"""Lines of `results.jsonl`: how a result is written, and how it is read, no further than it is asked for."""

import json
import os
from hashlib import blake2b
from typing import Any, TypeVar

import msgspec

from common.errors import UserError
from pipeline.results import SCHEMA, ClipResult, absolute_path, recorded_path


class _LabelName(msgspec.Struct, gc=False):
    label: str


class _Presence(msgspec.Struct, gc=False):
    presence: float


class RowHead(msgspec.Struct, kw_only=True, gc=False):
    """What a row is found by."""

    schema: int
    video: str
    sha256: str | None
    status: str
    error: str | None
    path: str | None = None
    version: str | None = None

    def find_path(self) -> tuple[str, bool]:
        """Return the absolute path that identifies the clip, and whether it does not depend on the current folder.

        Rows of earlier versions have no path, and a relative `video` of theirs refers to the current folder.
        """
        if path := recorded_path(self.video, self.path):
            return path, True
        return (path := absolute_path(self.video)), path == self.video or os.path.isabs(self.video)  # noqa: PTH117 - ten times as fast


class RowSummary(RowHead, kw_only=True, forbid_unknown_fields=True, gc=False):
    """What a row is found by, and what the spreadsheet contains of it; the rest is only checked to be there.

    The keys are those of `pipeline.results.COLUMNS` and `OPTIONAL_COLUMNS`.
    """

    frames: int
    fps: float
    duration_seconds: float
    actors: dict[str, _Presence]
    labels: list[_LabelName]
    scores: msgspec.Raw
    timeline: msgspec.Raw
    weights: msgspec.Raw
    timing: msgspec.Raw
    looks: msgspec.Raw = msgspec.Raw(b"null")  # which earlier rows lack


AnyHead = TypeVar("AnyHead", bound=RowHead)

_START = b'{"schema": '
_HEAD, _SUMMARY = msgspec.json.Decoder(RowHead), msgspec.json.Decoder(RowSummary)


class StoredResult(ClipResult):
    """A result in `results.jsonl`, which is equal to any other result of the same values.

    Only `video`, `path`, `sha256`, `status`, `error` and `version` are known at first; the row is parsed when
    anything else is asked for.

    Args:
        line: The row.
        head: The row, as far as it has been parsed.
    """

    line: bytes

    def __init__(self, line: bytes, head: RowHead) -> None:
        self.__dict__.update(
            video=head.video,
            path=head.find_path()[0],
            sha256=head.sha256,
            status=head.status,
            error=head.error,
            version=head.version,
            line=line,
        )

    def __getattribute__(self, name: str) -> Any:
        """Parse the row first, when a field that is not known yet is read."""
        if name in _PARSED_LATER:
            self.load()
        return object.__getattribute__(self, name)

    def __eq__(self, other: object) -> bool:
        self.load()
        return self == other  # which is the comparison of ClipResult now

    __hash__ = ClipResult.__hash__

    def load(self) -> None:
        """Parse the row, and become an ordinary result.

        Raises:
            UserError: If it is not a row of results.
        """
        try:
            parsed = ClipResult.from_dict(_decode(self.line))
        except ValueError as reason:
            raise UserError(f"{self.video}: its row of results is damaged ({reason}); name another --out") from None
        self.__dict__.update(vars(parsed))
        object.__setattr__(self, "__class__", ClipResult)
        del self.__dict__["line"]


_PARSED_LATER = frozenset(ClipResult.__dataclass_fields__) - {
    *("video", "path", "sha256", "status", "error", "version"),
}


def encode_row(result: ClipResult) -> bytes:
    """Format a result as a line, without its end."""
    # ASCII only: some characters of file names count as line breaks elsewhere, and some cannot be encoded at all.
    return json.dumps(result.to_dict()).encode("ascii")


def decode_head(line: bytes) -> RowHead:
    """Parse a row as far as searching requires; the rest of it is believed.

    Raises:
        ValueError: If it is not a row of results.
    """
    return _decode_with(_HEAD, line)


def decode_summary(line: bytes) -> RowSummary:
    """Parse a line as far as searching and the spreadsheet require.

    Raises:
        ValueError: If it is not a row of results.
    """
    return _decode_with(_SUMMARY, line)


def _decode_with(decoder: "msgspec.json.Decoder[AnyHead]", line: bytes) -> AnyHead:
    try:
        head = decoder.decode(line)
    except (msgspec.DecodeError, RecursionError):  # among others, for a file name that is not valid Unicode
        try:
            head = msgspec.convert(_without_raw(_decode(line)), decoder.type)
        except msgspec.ValidationError as reason:
            raise ValueError(str(reason)) from None
    if head.schema != SCHEMA:
        raise ValueError(f"schema {head.schema!r} was found, {SCHEMA} was expected")
    return head


def looks_torn(line: bytes) -> bool:
    """Whether a last line without an end, and not a row, can be the beginning of one, which a kill or crash left."""
    start = line.strip(b"\0")  # after a power failure, a file may be longer than what was written to it
    return _START.startswith(start[: len(_START)])


def key_of(path: str) -> bytes:
    """Return a short key for a clip's path; that two paths have the same one is as good as impossible."""
    return blake2b(path.encode(errors="surrogatepass"), digest_size=16).digest()


def _decode(line: bytes) -> dict[str, Any]:
    try:
        row = json.loads(line)
    except RecursionError:
        raise ValueError("nested too deep") from None
    if not isinstance(row, dict):
        raise ValueError("a JSON object was expected")
    return row


def _without_raw(row: dict[str, Any]) -> dict[str, Any]:
    """Replace the parts that are not looked into, which `msgspec.convert` refuses as they are."""
    raw = ("scores", "timeline", "weights", "timing", "looks")
    return {key: msgspec.Raw(b"") if key in raw else value for key, value in row.items()}
