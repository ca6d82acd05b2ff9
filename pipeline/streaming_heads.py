"""The heads at work while a clip is decoded: each gets one frame per interval that shows its actor; none is stored."""

from collections import defaultdict, deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from a2d.taxonomy import Taxonomy
from action_heads.prediction import ActionHeads
from actor_detector.detections import FrameBoxes
from pipeline.actor_predictions import ActorPredictions
from pipeline.frame_sampling import interval_indices
from video.frames import Frame

MAX_PENDING_FRAMES = 8  # submitted to the heads and not collected yet


@dataclass
class StreamingHeads:
    """Passes frames of one clip to the heads as they are decoded.

    Attributes:
        heads: Stage 2.
        taxonomy: Whose actors.
        confidence: Minimum confidence of a box, in [0, 1].
        every_seconds: Length of the intervals; an actor's head is given the first frame of each that shows the actor.
    """

    heads: ActionHeads
    taxonomy: Taxonomy
    confidence: float
    every_seconds: float
    _sampled: set[tuple[int, int]] = field(default_factory=set)
    _pending: deque[tuple[int, float, Callable[[], dict[str, NDArray[np.float32]]]]] = field(default_factory=deque)
    _logits: dict[str, list[tuple[int, float, NDArray[np.float32]]]] = field(default_factory=lambda: defaultdict(list))

    def on_frames(self, frames: Sequence[Frame], found: FrameBoxes) -> None:
        """Submit those frames that show an actor for the first time in an interval.

        Args:
            frames: The next frames of the clip, in order.
            found: The boxes in them.
        """
        confident = found.confidence >= self.confidence
        intervals = interval_indices(np.array([frame.time_seconds for frame in frames]), self.every_seconds)
        boxes_by_row: dict[int, dict[str, NDArray[np.float32]]] = defaultdict(dict)
        # By frame, and an actor's most confident box first.
        for index in np.lexsort((-found.confidence, found.frame_row)):
            row, actor = int(found.frame_row[index]), int(found.actor_index[index])
            if confident[index] and (actor, int(intervals[row])) not in self._sampled:
                self._sampled.add((actor, int(intervals[row])))
                boxes_by_row[row][self.taxonomy.actor_names[actor]] = found.boxes[index]
        for row, boxes in boxes_by_row.items():
            self.submit(frames[row].index, frames[row].time_seconds, frames[row].image(), boxes)

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
        self._pending.append((frame_index, time_seconds, self.heads.submit_frame(image, boxes)))
        self._collect(MAX_PENDING_FRAMES)

    def predictions(self) -> dict[str, ActorPredictions]:
        """Wait for all submitted frames and return the predictions by actor, motion not yet added to the logits."""
        self._collect(0)
        return {
            name: ActorPredictions(
                np.array([frame_index for frame_index, _, _ in rows], dtype=np.int64),
                np.array([time_seconds for _, time_seconds, _ in rows], dtype=np.float64),
                np.stack([logits for _, _, logits in rows]),
            )
            for name, rows in self._logits.items()
        }

    def _collect(self, max_pending: int) -> None:
        while len(self._pending) > max_pending:
            frame_index, time_seconds, wait = self._pending.popleft()
            for name, logits in wait().items():
                self._logits[name].append((frame_index, time_seconds, logits))
