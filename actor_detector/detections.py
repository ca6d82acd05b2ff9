"""The detections of stage 1: the boxes in the frames of a clip, and the presence ratios that follow from them."""

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
        actor_index: Index of the actor in the taxonomy, from 0, shape (N,), int64.
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

    def take_boxes(self, selected: NDArray[np.bool_]) -> "FrameDetections":
        """Select boxes by a mask (N,)."""
        return FrameDetections(self.boxes[selected], self.confidence[selected], self.actor_index[selected])


@dataclass(frozen=True)
class FrameBoxes:
    """The actors in several frames, as parallel arrays over all boxes.

    Attributes:
        frames: Number of frames, including those without boxes.
        frame_row: The frame of each box, from 0, ascending, shape (N,), int64.
        boxes: Corners x1 y1 x2 y2 in pixels of the frame, shape (N, 4), float32.
        confidence: In [0, 1], shape (N,), float32.
        actor_index: Index of the actor in the taxonomy, from 0, shape (N,), int64.
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

    @classmethod
    def concatenate(cls, batches: Sequence["FrameBoxes"]) -> "FrameBoxes":
        """Concatenate batches of frames, in order."""
        first_rows = np.cumsum([0, *(batch.frames for batch in batches)])
        rows = [batch.frame_row + first for batch, first in zip(batches, first_rows[:-1], strict=True)]
        return cls(
            int(first_rows[-1]),
            np.concatenate([np.zeros(0, np.int64), *rows]),
            np.concatenate([np.zeros((0, 4), np.float32), *(batch.boxes for batch in batches)]),
            np.concatenate([np.zeros(0, np.float32), *(batch.confidence for batch in batches)]),
            np.concatenate([np.zeros(0, np.int64), *(batch.actor_index for batch in batches)]),
        )

    def take(self, rows: NDArray[np.int64]) -> "FrameBoxes":
        """Select frames by row, in any order, repeats allowed."""
        first_box = np.searchsorted(self.frame_row, rows)
        counts = np.searchsorted(self.frame_row, rows, side="right") - first_box
        offset_in_frame = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
        selected = np.repeat(first_box, counts) + offset_in_frame
        new_rows = np.repeat(np.arange(len(rows)), counts)
        return FrameBoxes(
            len(rows), new_rows, self.boxes[selected], self.confidence[selected], self.actor_index[selected]
        )

    def split(self) -> list[FrameDetections]:
        """Split into one entry per frame, in order."""
        ends = np.searchsorted(self.frame_row, np.arange(1, self.frames))
        parts = (np.split(array, ends) for array in (self.boxes, self.confidence, self.actor_index))
        return [FrameDetections(*arrays) for arrays in zip(*parts, strict=True)]


@dataclass(frozen=True)
class ClipDetections:
    """The actors in the processed frames of one clip. Frames without boxes are included: presence ratios count them.

    Attributes:
        frame_index: Index of each processed frame in the clip, from 0, shape (F,), int64.
        time_seconds: Time of each processed frame since the clip's first frame, shape (F,), float64.
        frame_row: The frame of each box, as a row of `frame_index`, from 0, shape (N,), int64.
        boxes: Corners x1 y1 x2 y2 in pixels, shape (N, 4), float32.
        confidence: In [0, 1], shape (N,), float32.
        actor_index: Index of the actor in the taxonomy, from 0, shape (N,), int64.
        duration_seconds: From the start of the first frame to the end of the last.
        truncated: Why the clip could not be decoded to its end, or an empty string.
        stride: Every Nth decoded frame was processed.
        decoded: Number of decoded frames; None if all were processed.
        camera: How far the image content has shifted to the right and down since the first frame, in pixels, at each
            processed frame, shape (F, 2), float32; see `actor_detector.motion.camera`. None if it was not estimated.
        represented: Number of decoded frames that each processed one stands for, shape (F,), int64; None if that is the
            stride for all. See `actor_detector.looks`.
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
    represented: NDArray[np.int64] | None = None

    def __post_init__(self) -> None:
        """Check that the arrays are parallel."""
        frames, count = len(self.frame_index), len(self.boxes)
        shapes = (self.time_seconds.shape, self.frame_row.shape, self.confidence.shape, self.actor_index.shape)
        if shapes != ((frames,), (count,), (count,), (count,)) or self.boxes.shape != (count, 4):
            raise ValueError(f"{frames = } and {count = } boxes do not fit the arrays' shapes {shapes}")
        if self.camera is not None and self.camera.shape != (frames, 2):
            raise ValueError(f"{self.camera.shape = } does not fit {frames = }")
        if self.represented is not None and self.represented.shape != (frames,):
            raise ValueError(f"{self.represented.shape = } does not fit {frames = }")
        if self.represented is None and self.decoded is not None and -(-self.decoded // self.stride) != frames:
            raise ValueError(f"{frames = } were processed, which does not fit {self.decoded = } and {self.stride = }")

    @property
    def frames(self) -> int:
        """Number of decoded frames."""
        if self.represented is not None:
            return int(self.represented.sum())
        return len(self.frame_index) if self.decoded is None else self.decoded

    @property
    def intact_frames(self) -> int:
        """Number of decoded frames, 0 if the clip is truncated or damaged, see `video.clips.read_frames_at`."""
        return 0 if self.truncated else self.frames

    @property
    def fps(self) -> float:
        """Average number of frames per second; 0 if the clip has no duration."""
        return self.frames / self.duration_seconds if self.duration_seconds > 0 else 0.0

    def presence_ratios(self, actors: int) -> NDArray[np.float64]:
        """Compute the share of the decoded frames in which each actor is present, with one box or several.

        A processed frame also represents the skipped frames after it.

        Args:
            actors: Number of actors in the taxonomy.

        Returns:
            Shape (actors,), in [0, 1]. The A2D challenge report calls it the percent of the video (section 3.1).
        """
        ratios: NDArray[np.float64] = self.presence_ratios_by_part(np.zeros(1, np.int64), actors)[0]
        return ratios

    def presence_ratios_by_part(self, first_row: NDArray[np.int64], actors: int) -> NDArray[np.float64]:
        """Compute the presence ratios in each of several parts of the clip, see `presence_ratios`.

        Args:
            first_row: The first processed frame of each part, by row, ascending from 0, shape (W,).
            actors: Number of actors in the taxonomy.

        Returns:
            Shape (W, actors), in [0, 1].
        """
        pairs = np.unique(np.stack([self.frame_row, self.actor_index]), axis=1)
        represented = self.frames_represented()
        part = np.searchsorted(first_row, np.arange(len(represented)), side="right") - 1
        cells = part[pairs[0]] * actors + pairs[1]
        shown = np.bincount(cells, represented[pairs[0]], minlength=len(first_row) * actors)
        frames = np.bincount(part, represented, minlength=len(first_row))
        ratios: NDArray[np.float64] = shown.reshape(-1, actors) / np.maximum(frames, 1)[:, None]
        return ratios

    def frames_represented(self) -> NDArray[np.int64]:
        """Return how many decoded frames each processed frame stands for, shape (F,)."""
        if self.represented is not None:
            return self.represented
        represented = np.full(len(self.frame_index), self.stride)
        represented[-1:] = self.frames - self.stride * (len(self.frame_index) - 1)
        return represented

    def frames_with(self, actor_index: int) -> NDArray[np.int64]:
        """Return the indices of the frames in which an actor is present, ascending, from 0, shape (K,)."""
        return self.frame_index[np.unique(self.frame_row[self.actor_index == actor_index])]

    def at_confidence(self, confidence: float) -> "ClipDetections":
        """Drop the boxes below a confidence in [0, 1], without dropping frames."""
        return self.take_boxes(self.confidence >= confidence)

    def take_boxes(self, selected: NDArray[np.bool_] | NDArray[np.integer]) -> "ClipDetections":
        """Select boxes by index or by a mask (N,), without dropping frames."""
        return replace(
            self,
            frame_row=self.frame_row[selected],
            boxes=self.boxes[selected],
            confidence=self.confidence[selected],
            actor_index=self.actor_index[selected],
        )

    def take_frames(self, first_row: int, end_row: int) -> "ClipDetections":
        """Select consecutive processed frames, by row; times still count from the clip's first frame."""
        frames = slice(first_row, end_row)
        boxes = (self.frame_row >= first_row) & (self.frame_row < end_row)
        is_last = end_row >= len(self.time_seconds)
        return replace(
            self,
            frame_index=self.frame_index[frames],
            time_seconds=self.time_seconds[frames],
            frame_row=self.frame_row[boxes] - first_row,
            boxes=self.boxes[boxes],
            confidence=self.confidence[boxes],
            actor_index=self.actor_index[boxes],
            duration_seconds=float(self.duration_seconds if is_last else self.time_seconds[end_row])
            - float(self.time_seconds[first_row]),
            decoded=(self.frames if is_last else end_row * self.stride) - first_row * self.stride
            if self.represented is None
            else None,
            camera=None if self.camera is None else self.camera[frames],
            represented=None if self.represented is None else self.represented[frames],
        )

    def stabilized_boxes(self) -> NDArray[np.float32]:
        """Return the boxes (N, 4) with the camera's motion since the first frame subtracted, where it is known."""
        if self.camera is None:
            return self.boxes
        return self.boxes - np.tile(self.camera, 2)[self.frame_row]

    def near(self, frame_index: int, seconds: float) -> "ClipDetections":
        """Select the frames shown within some time of a frame.

        Args:
            frame_index: Index of that frame, from 0; if it was not processed, the nearest processed one is used.
            seconds: Maximum time before or after it.

        Returns:
            The detections in those frames; each frame represents only itself.
        """
        centre = int(np.abs(self.frame_index - frame_index).argmin())
        is_near = np.abs(self.time_seconds - self.time_seconds[centre]) <= seconds
        new_row = np.cumsum(is_near) - 1
        boxes = is_near[self.frame_row]
        times = self.time_seconds[is_near]
        return ClipDetections(
            frame_index=self.frame_index[is_near],
            time_seconds=times,
            frame_row=new_row[self.frame_row[boxes]],
            boxes=self.boxes[boxes],
            confidence=self.confidence[boxes],
            actor_index=self.actor_index[boxes],
            duration_seconds=float(times[-1] - times[0]),
            truncated=self.truncated,
            camera=None if self.camera is None else self.camera[is_near],
        )

    def best_boxes(
        self, actor_index: int, frame_indices: Sequence[int], within_seconds: float = 0.0
    ) -> NDArray[np.float32]:
        """Return an actor's most confident box in each of several frames.

        Args:
            actor_index: Index of the actor in the taxonomy, from 0.
            frame_indices: Indices of the frames, from 0.
            within_seconds: In a frame without a box of the actor, use the box from the nearest frame that has one, if
                it is at most this far away.

        Returns:
            Corners x1 y1 x2 y2 in pixels, shape (K, 4), float32; NaN for frames without a box.
        """
        best = np.full((len(frame_indices), 4), np.nan, np.float32)
        candidates = np.flatnonzero(self.actor_index == actor_index)
        if not len(candidates):
            return best
        times = self.time_seconds[self.frame_row[candidates]]
        for position, frame_index in enumerate(frame_indices):
            row = np.flatnonzero(self.frame_index == frame_index)
            if not len(row):
                continue
            distance = np.abs(times - self.time_seconds[row[0]])
            if distance.min() <= within_seconds:
                nearest = candidates[distance == distance.min()]
                best[position] = self.boxes[nearest[self.confidence[nearest].argmax()]]
        return best
