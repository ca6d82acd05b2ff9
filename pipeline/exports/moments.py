"""What a result says by frame: segments as frame numbers, and boxes with the actions of their moments."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from a2d.taxonomy import Taxonomy
from pipeline.results import ClipResult, TaggedLabel

TOLERANCE_FRAMES = 0.05  # times in a result are rounded to milliseconds


@dataclass(frozen=True)
class FrameClock:
    """Converts times of a clip into frame numbers.

    A result contains the times of its sampled frames. Between those, frames are assumed to follow at equal distances,
    so that clips of variable frame rate are converted almost as exactly as others.

    Attributes:
        seconds: Known times, ascending, shape (K,).
        frame_index: The frames at these times, from 0, ascending, shape (K,); the last is the number of frames.
    """

    seconds: NDArray[np.float64]
    frame_index: NDArray[np.float64]

    @classmethod
    def of(cls, result: ClipResult) -> Self:
        """Collect the known times of a clip."""
        known = {0.0: 0}
        for actor, timeline in result.timeline.items():
            evidence = result.actors.get(actor)
            if evidence and len(evidence.frames) == len(timeline.seconds):
                known |= dict(zip(timeline.seconds, evidence.frames, strict=True))
        known = {time: index for time, index in known.items() if time < result.duration_seconds}
        known[max(result.duration_seconds, 0.0)] = result.frames
        rows = sorted(known.items())
        return cls(np.array([time for time, _ in rows]), np.maximum.accumulate([float(index) for _, index in rows]))

    def span(self, start_seconds: float, end_seconds: float) -> tuple[int, int]:
        """Return the first and the last frame, from 0, that begin in a segment; at least one frame."""
        count = int(self.frame_index[-1])
        if self.seconds[-1] <= 0:  # a clip of a single moment
            return 0, max(count - 1, 0)
        start, end = np.interp([start_seconds, end_seconds], self.seconds, self.frame_index)
        first = min(int(np.ceil(start - TOLERANCE_FRAMES)), max(count - 1, 0))
        return first, max(int(np.ceil(end - TOLERANCE_FRAMES)) - 1, first)


@dataclass(frozen=True)
class LabelledBox:
    """The box of an actor in a sampled frame, with one of the actions that the actor performs at this moment.

    Attributes:
        label: The label that is predicted for the clip.
        segment: Index, from 0, of the label's segment that contains the moment.
        frame_index: From 0.
        time_seconds: When the frame is shown.
        corners: x1, y1, x2, y2 in pixels of the frame as displayed.
        score: Probability of the label at this frame, in [0, 1].
    """

    label: TaggedLabel
    segment: int
    frame_index: int
    time_seconds: float
    corners: tuple[float, float, float, float]
    score: float


def labelled_boxes(result: ClipResult, taxonomy: Taxonomy) -> Iterator[LabelledBox]:
    """Yield the boxes of a result once for each action that their actor performs at the moment.

    Boxes of moments for which no action is predicted are left out, and so are all boxes of a result that an earlier
    version wrote without them.

    Args:
        result: Of any status.
        taxonomy: Names the actor of each label.

    Yields:
        Boxes by label, in the order of the labels, and by frame.
    """
    for label in result.labels:
        actor = taxonomy.label(label.label).actor
        evidence, timeline = result.actors.get(actor), result.timeline.get(actor)
        if not evidence or not timeline or not len(evidence.boxes) == len(evidence.frames) == len(timeline.seconds):
            continue
        scores = timeline.scores.get(label.label, (label.score,) * len(timeline.seconds))
        for row, (frame_index, seconds) in enumerate(zip(evidence.frames, timeline.seconds, strict=True)):
            segment = _find_segment(label, seconds)
            if segment is not None and len(evidence.boxes[row]) == 4:
                x1, y1, x2, y2 = evidence.boxes[row]
                yield LabelledBox(label, segment, frame_index, seconds, (x1, y1, x2, y2), scores[row])


def _find_segment(label: TaggedLabel, seconds: float) -> int | None:
    return next((index for index, (start, end) in enumerate(label.segments) if start <= seconds < end), None)
