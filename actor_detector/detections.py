"""What stage 1 says of one clip: every box of every frame, and from them how much of the clip each actor is in."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class FrameDetections:
    """The actors in one frame, as parallel arrays. A frame without actors has arrays of length 0.

    Attributes:
        boxes: Corners x1 y1 x2 y2 in pixels of the frame, shape (N, 4), float32.
        confidence: In [0, 1], shape (N,), float32.
        actor_index: Place of the actor in the taxonomy, from 0, shape (N,), int64.
    """

    boxes: NDArray[np.float32]
    confidence: NDArray[np.float32]
    actor_index: NDArray[np.int64]

    def __post_init__(self) -> None:
        """Check that the arrays are parallel."""
        count = len(self.boxes)
        if self.boxes.shape != (count, 4) or self.confidence.shape != (count,) or self.actor_index.shape != (count,):
            raise ValueError(
                f"parallel arrays (N, 4), (N,), (N,) were expected, found {self.boxes.shape = }, "
                f"{self.confidence.shape = }, {self.actor_index.shape = }"
            )


@dataclass(frozen=True)
class FrameBoxes:
    """The actors in some frames, as parallel arrays over all boxes.

    Attributes:
        frames: How many frames were looked at.
        frame_row: The frame that each box is in, from 0, rising, shape (N,), int64.
        boxes: Corners x1 y1 x2 y2 in pixels of the frame, shape (N, 4), float32.
        confidence: In [0, 1], shape (N,), float32.
        actor_index: Place of the actor in the taxonomy, from 0, shape (N,), int64.
    """

    frames: int
    frame_row: NDArray[np.int64]
    boxes: NDArray[np.float32]
    confidence: NDArray[np.float32]
    actor_index: NDArray[np.int64]

    def __post_init__(self) -> None:
        """Check that the arrays are parallel."""
        count = len(self.boxes)
        shapes = (self.frame_row.shape, self.confidence.shape, self.actor_index.shape)
        if self.boxes.shape != (count, 4) or shapes != ((count,),) * 3:
            raise ValueError(f"{self.boxes.shape = } does not fit the other arrays' shapes {shapes}")

    def take(self, rows: NDArray[np.int64]) -> "FrameBoxes":
        """Give some of the frames, by row, in any order, repeats allowed."""
        firsts = np.searchsorted(self.frame_row, rows)
        counts = np.searchsorted(self.frame_row, rows, side="right") - firsts
        into = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
        places = np.repeat(firsts, counts) + into
        new_rows = np.repeat(np.arange(len(rows)), counts)
        return FrameBoxes(len(rows), new_rows, self.boxes[places], self.confidence[places], self.actor_index[places])

    def split(self) -> list[FrameDetections]:
        """Give one entry a frame, in order."""
        ends = np.searchsorted(self.frame_row, np.arange(1, self.frames))
        parts = (np.split(array, ends) for array in (self.boxes, self.confidence, self.actor_index))
        return [FrameDetections(*arrays) for arrays in zip(*parts, strict=True)]


@dataclass(frozen=True)
class ClipDetections:
    """The actors in every frame of one clip. Frames without a box stay: they are the denominator.

    Attributes:
        frame_index: Number of each frame that was looked at, from 0, shape (F,), int64.
        time_seconds: Time of each since the clip's first frame, shape (F,), float64.
        frame_row: The frame that each box is in, as a row of `frame_index`, from 0, shape (N,), int64.
        boxes: Corners x1 y1 x2 y2 in pixels, shape (N, 4), float32.
        confidence: In [0, 1], shape (N,), float32.
        actor_index: Place of the actor in the taxonomy, from 0, shape (N,), int64.
        duration_seconds: From the first frame's start to the last one's end.
        truncated: Why the clip could not be decoded to its end, or an empty string.
        stride: Every how manieth decoded frame was looked at.
        decoded: Number of frames decoded; None where all were looked at.
        camera: How far the picture has moved to the right and down since the first frame, in pixels, for each frame
            that was looked at, shape (F, 2), float32; see `actor_detector.motion.camera`. None where nobody looked.
    """

    frame_index: NDArray[np.int64]
    time_seconds: NDArray[np.float64]
    frame_row: NDArray[np.int64]
    boxes: NDArray[np.float32]
    confidence: NDArray[np.float32]
    actor_index: NDArray[np.int64]
    duration_seconds: float
    truncated: str = ""
    stride: int = 1
    decoded: int | None = None
    camera: NDArray[np.float32] | None = None

    def __post_init__(self) -> None:
        """Check that the arrays are parallel."""
        frames, count = len(self.frame_index), len(self.boxes)
        shapes = (self.time_seconds.shape, self.frame_row.shape, self.confidence.shape, self.actor_index.shape)
        if shapes != ((frames,), (count,), (count,), (count,)) or self.boxes.shape != (count, 4):
            raise ValueError(f"{frames = } and {count = } boxes do not fit the arrays' shapes {shapes}")
        if self.camera is not None and self.camera.shape != (frames, 2):
            raise ValueError(f"{self.camera.shape = } does not fit {frames = }")
        if self.decoded is not None and -(-self.decoded // self.stride) != frames:
            raise ValueError(f"{frames = } were looked at, {self.decoded = } and {self.stride = } give another number")

    @property
    def frames(self) -> int:
        """Number of frames decoded."""
        return len(self.frame_index) if self.decoded is None else self.decoded

    @property
    def fps(self) -> float:
        """Average frames a second; 0 where the clip has no duration."""
        return self.frames / self.duration_seconds if self.duration_seconds > 0 else 0.0

    def presence_ratios(self, actors: int) -> NDArray[np.float64]:
        """Give the share of the decoded frames that each actor is in, however many of its boxes a frame has.

        A frame that was looked at stands for those after it that were skipped.

        Args:
            actors: Number of actors in the taxonomy.

        Returns:
            Shape (actors,), in [0, 1]. The A2D challenge report calls it the percent of the video (section 3.1).
        """
        pairs = np.unique(np.stack([self.frame_row, self.actor_index]), axis=1)
        stands_for = np.full(len(self.frame_index), self.stride)
        stands_for[-1:] = self.frames - self.stride * (len(self.frame_index) - 1)
        return np.bincount(pairs[1], stands_for[pairs[0]], minlength=actors) / max(self.frames, 1)

    def frames_with(self, actor_index: int) -> NDArray[np.int64]:
        """List the numbers of the frames that show an actor, rising, from 0, shape (K,)."""
        return self.frame_index[np.unique(self.frame_row[self.actor_index == actor_index])]

    def at_confidence(self, confidence: float) -> "ClipDetections":
        """Leave out the boxes below a confidence in [0, 1]; every frame stays."""
        return self.take_boxes(self.confidence >= confidence)

    def take_boxes(self, kept: NDArray[np.bool_] | NDArray[np.integer]) -> "ClipDetections":
        """Keep some of the boxes, by place or by a mask (N,); every frame stays."""
        return replace(
            self,
            frame_row=self.frame_row[kept],
            boxes=self.boxes[kept],
            confidence=self.confidence[kept],
            actor_index=self.actor_index[kept],
        )

    def near(self, frame_index: int, seconds: float) -> "ClipDetections":
        """Leave out the frames that are shown more than so many seconds before or after one of them.

        Args:
            frame_index: Number of the frame, from 0.
            seconds: How far the others may be; the nearest frame that was looked at always stays.

        Returns:
            Detections of that stretch; each frame stands for itself.
        """
        place = int(np.abs(self.frame_index - frame_index).argmin())
        kept = np.abs(self.time_seconds - self.time_seconds[place]) <= seconds
        new_row = np.cumsum(kept) - 1
        boxes = kept[self.frame_row]
        times = self.time_seconds[kept]
        return ClipDetections(
            frame_index=self.frame_index[kept],
            time_seconds=times,
            frame_row=new_row[self.frame_row[boxes]],
            boxes=self.boxes[boxes],
            confidence=self.confidence[boxes],
            actor_index=self.actor_index[boxes],
            duration_seconds=float(times[-1] - times[0]),
            truncated=self.truncated,
            camera=None if self.camera is None else self.camera[kept],
        )

    def best_boxes(
        self, actor_index: int, frame_indices: Sequence[int], within_seconds: float = 0.0
    ) -> NDArray[np.float32]:
        """Give an actor's most confident box in each of some frames.

        Args:
            actor_index: Place of the actor in the taxonomy, from 0.
            frame_indices: Numbers of frames, from 0.
            within_seconds: For a frame without a box of the actor, take that of the nearest frame, if it is so near.

        Returns:
            Corners x1 y1 x2 y2 in pixels, shape (K, 4), float32; NaN where there is none.
        """
        found = np.full((len(frame_indices), 4), np.nan, np.float32)
        own = np.flatnonzero(self.actor_index == actor_index)
        if not len(own):
            return found
        times = self.time_seconds[self.frame_row[own]]
        for place, number in enumerate(frame_indices):
            row = np.flatnonzero(self.frame_index == number)
            if not len(row):
                continue
            away = np.abs(times - self.time_seconds[row[0]])
            if away.min() <= within_seconds:
                nearest = own[away == away.min()]
                found[place] = self.boxes[nearest[self.confidence[nearest].argmax()]]
        return found


def join_batches(
    batches: Sequence[FrameBoxes],
    frame_index: NDArray[np.int64],
    time_seconds: NDArray[np.float64],
    *,
    seen_as: NDArray[np.int64] | None = None,
    camera: NDArray[np.float32] | None = None,
    stride: int = 1,
    decoded: int | None = None,
    duration_seconds: float,
    truncated: str = "",
) -> ClipDetections:
    """Join the batches of one clip.

    Args:
        batches: In order.
        frame_index: Numbers of the frames that were looked at, from 0, shape (F,).
        time_seconds: Their times, shape (F,).
        seen_as: Which of the batches' frames, from 0, stands for each, rising, shape (F,); each for itself, if not
            given.
        camera: How far the picture has moved by each, shape (F, 2).
        stride: How many frames each of them stands for.
        decoded: How many frames the clip has; as many as were looked at, if not given.
        duration_seconds: Of the whole clip.
        truncated: Why the clip could not be decoded to its end, or an empty string.

    Returns:
        The clip's detections.
    """
    firsts = np.cumsum([0, *(batch.frames for batch in batches)])
    rows = [batch.frame_row + first for batch, first in zip(batches, firsts[:-1], strict=True)]
    found = FrameBoxes(
        int(firsts[-1]),
        np.concatenate([np.zeros(0, np.int64), *rows]),
        np.concatenate([np.zeros((0, 4), np.float32), *(batch.boxes for batch in batches)]),
        np.concatenate([np.zeros(0, np.float32), *(batch.confidence for batch in batches)]),
        np.concatenate([np.zeros(0, np.int64), *(batch.actor_index for batch in batches)]),
    )
    if seen_as is not None and len(seen_as) != found.frames:
        found = found.take(seen_as)
    return ClipDetections(
        frame_index=frame_index,
        time_seconds=time_seconds,
        frame_row=found.frame_row,
        boxes=found.boxes,
        confidence=found.confidence,
        actor_index=found.actor_index,
        duration_seconds=duration_seconds,
        truncated=truncated,
        stride=stride,
        decoded=len(frame_index) if decoded is None else decoded,
        camera=camera,
    )
