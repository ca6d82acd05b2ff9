"""The heads at work while a clip is decoded: a look at each actor in every stretch that shows it, and nothing kept."""

from collections import defaultdict, deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from a2d.taxonomy import Taxonomy
from action_heads.prediction import ActionHeads
from actor_detector.detections import FrameBoxes
from pipeline.frame_sampling import time_bins
from video.frames import Frame

IN_FLIGHT = 8  # looks that the heads were given


@dataclass(frozen=True)
class ActorPredictions:
    """What one actor's head made of a clip, look by look.

    Attributes:
        frame_index: Frames looked at, from 0, rising, shape (K,), int64.
        time_seconds: When each is shown, shape (K,).
        logits: Shape (K, outputs), see `action_heads.prediction.ActionHeads.look`.
    """

    frame_index: NDArray[np.int64]
    time_seconds: NDArray[np.float64]
    logits: NDArray[np.float32]


@dataclass
class StreamingHeads:
    """Shows frames to the heads as they come.

    Attributes:
        heads: Stage 2.
        taxonomy: Whose actors.
        confidence: From which confidence a box counts, in [0, 1].
        every_seconds: How long the stretches are of which each gets one look an actor.
    """

    heads: ActionHeads
    taxonomy: Taxonomy
    confidence: float
    every_seconds: float
    _taken: set[tuple[int, int]] = field(default_factory=set)
    _waiting: deque[tuple[int, float, Callable[[], dict[str, NDArray[np.float32]]]]] = field(default_factory=deque)
    _said: dict[str, list[tuple[int, float, NDArray[np.float32]]]] = field(default_factory=lambda: defaultdict(list))

    def offer(self, frames: Sequence[Frame], found: FrameBoxes) -> None:
        """Look at those of some frames, in order, that show an actor for the first time in a stretch.

        Args:
            frames: Some frames.
            found: The boxes in them.
        """
        sure = found.confidence >= self.confidence
        bins = time_bins(np.array([frame.time_seconds for frame in frames]), self.every_seconds)
        wanted: dict[int, dict[str, NDArray[np.float32]]] = defaultdict(dict)
        # By frame, and the most confident box of an actor first.
        for place in np.lexsort((-found.confidence, found.frame_row)):
            row, actor = int(found.frame_row[place]), int(found.actor_index[place])
            name = self.taxonomy.actor_names[actor]
            if sure[place] and (actor, int(bins[row])) not in self._taken:
                self._taken.add((actor, int(bins[row])))
                wanted[row][name] = found.boxes[place]
        for row, boxes in wanted.items():
            self.look(frames[row].index, frames[row].time_seconds, frames[row].image(), boxes)

    def look(
        self, index: int, time_seconds: float, image: NDArray[np.uint8], boxes: Mapping[str, NDArray[np.float32]]
    ) -> None:
        """Show a frame to the heads of some actors.

        Args:
            index: The frame's number, from 0.
            time_seconds: When it is shown.
            image: The whole frame (H, W, 3), uint8, BGR.
            boxes: By actor, its box in it, corners in pixels, shape (4,); NaN where there is none.
        """
        self._waiting.append((index, time_seconds, self.heads.look(image, boxes)))
        self._collect(IN_FLIGHT)

    def looks(self) -> dict[str, ActorPredictions]:
        """Give all that the heads said, by actor."""
        self._collect(0)
        return {
            name: ActorPredictions(
                np.array([index for index, _, _ in said], dtype=np.int64),
                np.array([time for _, time, _ in said], dtype=np.float64),
                np.stack([logits for _, _, logits in said]),
            )
            for name, said in self._said.items()
        }

    def _collect(self, waiting: int) -> None:
        while len(self._waiting) > waiting:
            index, time_seconds, answer = self._waiting.popleft()
            for name, logits in answer().items():
                self._said[name].append((index, time_seconds, logits))
