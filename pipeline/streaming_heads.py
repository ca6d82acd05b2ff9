"""The heads, and the confirmation of boxes, at work while a clip is decoded.

For each actor, they are given one frame per interval that shows it; no frame is stored.
"""

from collections import defaultdict, deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from operator import itemgetter
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from a2d.taxonomy import Taxonomy
from action_heads.confirmation import Confirmer
from action_heads.frame_views import FrameViews
from action_heads.prediction import ActionHeads
from actor_detector.detections import ClipDetections, FrameBoxes
from pipeline.actor_predictions import ActorPredictions
from pipeline.box_confirmation import BoxJudgements
from pipeline.frame_sampling import interval_indices
from video.clips import read_frames_at
from video.frames import Frame

FRAMES_PER_READ = 32
Outputs = Callable[[], dict[str, NDArray[np.float32]]]
"""Waits for the outputs for one frame, and returns them by actor."""
MAX_PENDING_FRAMES = 8  # submitted to the heads and not collected yet


@dataclass(frozen=True)
class _PendingFrame:
    """A submitted frame."""

    index: int
    time_seconds: float
    logits: Outputs
    judgements: Outputs


@dataclass
class StreamingHeads:
    """Passes frames of one clip to the heads as they are decoded.

    Attributes:
        heads: Stage 2; None if boxes are only to be confirmed.
        taxonomy: Whose actors.
        confidence: Minimum confidence of a box, in [0, 1].
        every_seconds: Length of the intervals; an actor's head is given the first frame of each that shows the actor.
        confirmer: Judges the boxes in the same frames; None if they are not to be confirmed.
    """

    heads: ActionHeads | None
    taxonomy: Taxonomy
    confidence: float
    every_seconds: float
    confirmer: Confirmer | None = None
    _sampled: dict[tuple[int, int], int] = field(default_factory=dict)  # frame by actor and interval
    _pending: deque[_PendingFrame] = field(default_factory=deque)
    _logits: dict[str, list[tuple[int, float, NDArray[np.float32]]]] = field(default_factory=lambda: defaultdict(list))
    _judgements: dict[str, list[tuple[int, NDArray[np.float32]]]] = field(default_factory=lambda: defaultdict(list))

    def on_frames(self, frames: Sequence[Frame], found: FrameBoxes, actors: NDArray[np.int64] | None = None) -> bool:
        """Submit those frames that show an actor earlier in an interval than any frame before.

        Args:
            frames: The next frames of the clip, in order; or the next ones that were looked at, which may lie between.
                Frames may come again.
            found: The boxes in them.
            actors: Indices of those whose boxes count; None: all.

        Returns:
            Whether there was such a frame.
        """
        confident = found.confidence >= self.confidence
        if actors is not None:
            confident &= np.isin(found.actor_index, actors)
        intervals = interval_indices(np.array([frame.time_seconds for frame in frames]), self.every_seconds)
        boxes_by_row: dict[int, dict[str, NDArray[np.float32]]] = defaultdict(dict)
        # By frame, and an actor's most confident box first.
        for index in np.lexsort((-found.confidence, found.frame_row)):
            row, actor = int(found.frame_row[index]), int(found.actor_index[index])
            interval, frame_index = (actor, int(intervals[row])), frames[row].index
            if confident[index] and frame_index < self._sampled.get(interval, frame_index + 1):
                self._sampled[interval] = frame_index
                boxes_by_row[row][self.taxonomy.actor_names[actor]] = found.boxes[index]
        for row, boxes in boxes_by_row.items():
            self.submit(frames[row].index, frames[row].time_seconds, frames[row].image(), boxes)
        return bool(boxes_by_row)

    def submit(
        self, frame_index: int, time_seconds: float, image: NDArray[np.uint8], boxes: Mapping[str, NDArray[np.float32]]
    ) -> None:
        """Submit a frame to the heads of some actors.

        Args:
            frame_index: From 0.
            time_seconds: When the frame is shown.
            image: The whole frame (H, W, 3), uint8, BGR.
            boxes: By actor, its box in the frame, corners in pixels, shape (4,); NaN if there is none.
        """
        views = FrameViews(image)
        judgements = self.confirmer.submit_frame(views, boxes) if self.confirmer else dict
        logits = self.heads.submit_frame(views, boxes) if self.heads else dict
        self._pending.append(_PendingFrame(frame_index, time_seconds, logits, judgements))
        self._collect(MAX_PENDING_FRAMES)

    def submit_again(
        self,
        clip: Path,
        detections: ClipDetections,
        frames: Mapping[str, Sequence[int]],
        box_within_seconds: float = 0.0,
        loop_filter: bool = True,
    ) -> None:
        """Decode frames of a clip again and submit them, a few at a time.

        Args:
            clip: The clip.
            detections: Of the clip; an actor's most confident box in a frame is submitted.
            frames: Frame indices, from 0, ascending, by actor.
            box_within_seconds: If a frame has no box of the actor, its box in a frame this near is used.
            loop_filter: As for `video.clips.decode_frames`.

        Raises:
            ClipError: If a frame cannot be read.
        """
        boxes: dict[int, dict[str, NDArray[np.float32]]] = defaultdict(dict)
        for name, wanted in frames.items():
            best = detections.best_boxes(self.taxonomy.actor(name).index, wanted, box_within_seconds)
            for frame_index, box in zip(wanted, best, strict=True):
                boxes[frame_index][name] = box
        indices = sorted(boxes)
        for start in range(0, len(indices), FRAMES_PER_READ):
            some = indices[start : start + FRAMES_PER_READ]
            batch = read_frames_at(clip, some, loop_filter, detections.intact_frames)
            for frame_index, time_seconds, image in zip(some, batch.time_seconds, batch.images, strict=True):
                self.submit(frame_index, float(time_seconds), image, boxes[frame_index])

    def predictions(self) -> dict[str, ActorPredictions]:
        """Wait for all submitted frames and return the predictions by actor, motion not yet added to the logits."""
        self._collect(0)
        by_actor = {name: sorted(rows, key=itemgetter(0)) for name, rows in self._logits.items()}
        return {
            name: ActorPredictions(
                np.array([frame_index for frame_index, _, _ in rows], dtype=np.int64),
                np.array([time_seconds for _, time_seconds, _ in rows], dtype=np.float64),
                np.stack([logits for _, _, logits in rows]),
            )
            for name, rows in by_actor.items()
        }

    def judgements(self) -> dict[str, BoxJudgements]:
        """Wait for all submitted frames and return what was made of the boxes in them, by actor."""
        self._collect(0)
        by_actor = {name: sorted(rows, key=itemgetter(0)) for name, rows in self._judgements.items()}
        return {
            name: BoxJudgements(
                np.array([frame_index for frame_index, _ in rows], dtype=np.int64),
                np.stack([logits for _, logits in rows]),
            )
            for name, rows in by_actor.items()
        }

    def _collect(self, max_pending: int) -> None:
        while len(self._pending) > max_pending:
            frame = self._pending.popleft()
            for name, logits in frame.logits().items():
                self._logits[name].append((frame.index, frame.time_seconds, logits))
            for name, logits in frame.judgements().items():
                self._judgements[name].append((frame.index, logits))
