"""Frames kept while a clip is decoded, so that nobody decodes it again: few for each actor, spread over the clip."""

from collections import defaultdict
from dataclasses import dataclass, field

import numpy as np

from a2d.frames import Frame
from actor_detector.detections import FrameBoxes


@dataclass
class FrameReservoir:
    """Keeps, for each actor, every 2^k-th frame that shows it: as many as fit, with k as small as that allows.

    What is kept does not depend on how the frames come in batches, and is what `a2d.sampling.thinning_step` says of the
    whole clip, however long it is.

    Attributes:
        capacity: Most frames for each actor, from 1.
        confidence: From which confidence a box counts, in [0, 1].
    """

    capacity: int
    confidence: float
    _kept: dict[int, list[Frame]] = field(default_factory=lambda: defaultdict(list))
    _step: dict[int, int] = field(default_factory=lambda: defaultdict(lambda: 1))
    _seen: dict[int, int] = field(default_factory=lambda: defaultdict(int))

    def offer(self, frames: list[Frame], found: FrameBoxes) -> None:
        """Look at frames, in order, and at the boxes in them."""
        sure = found.confidence >= self.confidence
        for row, actor in np.unique(np.stack([found.frame_row[sure], found.actor_index[sure]]), axis=1).T.tolist():
            if self._seen[actor] % self._step[actor] == 0:
                self._kept[actor].append(frames[row])
                if len(self._kept[actor]) > self.capacity:
                    del self._kept[actor][1::2]
                    self._step[actor] *= 2
            self._seen[actor] += 1

    def frames(self) -> dict[int, Frame]:
        """Give all that is kept, by frame index."""
        return {frame.index: frame for kept in self._kept.values() for frame in kept}
