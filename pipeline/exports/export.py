"""One export: the results that it contains, and what had to be left out."""

from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from a2d.taxonomy import Taxonomy
from common.errors import ClipError, TaxonomyError, UserError
from pipeline.exports.moments import LabelledBox, labelled_boxes
from pipeline.results import ClipResult
from video.clips import decode_frames


@dataclass
class Export:
    """What is written where, and what had to be left out so far.

    Attributes:
        out: The file or folder; a folder exists, and has another name until it is complete, beside the final one.
        taxonomy: Of the labels.
        written: Number of clips that were written.
        failed: Number of clips that were left out because they could not be read when they were tagged.
        without_size: Number of clips whose boxes were left out because the clip, which has the size of the frame, is
            not there any more.
    """

    out: Path
    taxonomy: Taxonomy
    written: int = 0
    failed: int = 0
    without_size: int = 0

    def tagged(self, results: Iterable[ClipResult]) -> Iterator[ClipResult]:
        """Yield the results with labels, or that say that there is none; those of clips that failed are counted.

        Raises:
            UserError: If a result has a label that the taxonomy has not.
        """
        for result in results:
            if result.status == "error":
                self.failed += 1
                continue
            self.check(result)
            self.written += 1
            yield result

    def check(self, result: ClipResult) -> None:
        """Check that the taxonomy has all labels of a result.

        Raises:
            UserError: If it has not.
        """
        try:
            for label in result.labels:
                self.taxonomy.label(label.label)
        except TaxonomyError as reason:
            text = f"{result.video}: {reason}; give the --taxonomy with which the clips were tagged"
            raise UserError(text) from None

    def boxes(self, result: ClipResult) -> tuple[list[LabelledBox], tuple[int, int]]:
        """Return the boxes of a clip, see `labelled_boxes`, and the size of its frames, for formats that need both.

        Returns:
            Boxes within the frame, and its width and height in pixels; no boxes, and a size of 0, if the size is not
            known, which is counted.
        """
        boxes = list(labelled_boxes(result, self.taxonomy))
        size = frame_size(result) if boxes else None
        if size is None:
            self.without_size += bool(boxes)
            return [], (0, 0)
        return [replace(box, corners=_within(box.corners, size)) for box in boxes], size


class Exporter(Protocol):
    """A module of a format."""

    def write(self, results: Iterable[ClipResult], export: Export) -> None:
        """Write results, which are read while they are written."""


def frame_size(result: ClipResult) -> tuple[int, int] | None:
    """Return the width and the height of a clip's frames, as displayed, in pixels.

    They are read from the clip, since results do not contain them.

    Returns:
        None if the clip has moved, or is another one now because boxes exceed its frames.
    """
    try:
        with closing(decode_frames(Path(result.path))) as frames:
            width, height = next(frames).size
    except (ClipError, OSError, ValueError):  # ValueError: a name with a zero byte
        return None
    corners = [box for evidence in result.actors.values() for box in evidence.boxes if len(box) == 4]
    if any(box[2] > width + 1 or box[3] > height + 1 for box in corners):
        return None
    return width, height


def _within(corners: tuple[float, float, float, float], size: tuple[int, int]) -> tuple[float, float, float, float]:
    """Return the part of a box that is in the frame."""
    x1, x2 = (min(max(x, 0.0), size[0]) for x in corners[::2])
    y1, y2 = (min(max(y, 0.0), size[1]) for y in corners[1::2])
    return x1, y1, x2, y2
