"""Stretches of clips, of whose frames some are looked at, and what is known when that is done."""

from collections import deque
from collections.abc import Callable, Generator, Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import count
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from actor_detector.clip_detection import ClipJob, decode_job
from actor_detector.clip_record import ClipRecord
from actor_detector.detections import ClipDetections, FrameBoxes
from actor_detector.letterbox import Letterbox
from actor_detector.looks.certainty import represented_frames
from actor_detector.looks.joining import boxes_by_frame, join_parts, merge_looks
from video.clips import end_seconds
from video.frames import Frame

MAX_STRETCH_SECONDS = 30.0
MAX_STRETCH_BYTES = 1 << 27  # of decoded pictures: 30 seconds of 320x240 pixels, one of 1080 lines
BYTES_PER_PIXEL = 2  # 1.5 in most files

LookPlan = Callable[[Sequence[Frame], NDArray[np.int64], FrameBoxes], NDArray[np.int64]]
"""Given the frames of a stretch, the rows looked at so far, ascending, shape (K,), and the boxes in those, return the
rows to look at next, ascending; none to end the stretch. The first call has no rows."""


@dataclass
class LookJob(ClipJob):
    """One clip of which some frames are to be looked at; they are given to `plan`, and to no callback.

    Attributes:
        plan: Says which frames.
        known: Earlier looks at the clip, which need not be repeated; None if there were none.
        looked: After the job: these and the new ones.
    """

    plan: LookPlan | None = None
    known: ClipDetections | None = None
    looked: ClipDetections | None = None


J = TypeVar("J", bound=LookJob)


@dataclass(eq=False)
class Look:
    """One frame that was looked at.

    Attributes:
        turn: How many batches had been submitted when the frame was chosen.
        pixels: The network's input, which the estimate of the camera's motion needs.
        letterbox: How the frame is fitted into it.
        boxes: None until the network has answered.
    """

    turn: int
    pixels: NDArray[np.uint8]
    letterbox: Letterbox
    boxes: FrameBoxes | None = None


@dataclass(eq=False)
class Clip:
    """A clip in progress: its job, and what is known of its decoded frames."""

    job: LookJob
    record: ClipRecord = field(default_factory=ClipRecord)
    stretches: "deque[Stretch]" = field(default_factory=deque)  # not collected yet, in order
    parts: list[ClipDetections] = field(default_factory=list)
    known: dict[int, FrameBoxes] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Make the earlier looks accessible by the frame's index."""
        if self.job.known:
            self.known = boxes_by_frame(self.job.known)


@dataclass(eq=False)
class Stretch:
    """Consecutive frames of a clip, kept in memory until enough of them were looked at.

    Attributes:
        number: Of the stretch in the order of decoding, which is that of the results.
        clip: It belongs to.
        frames: All of them; empty after the stretch.
        is_last: Of its clip.
        looks: By row of the frame.
        missing: Looks that the network has not answered.
        is_done: Whether nothing more is to be looked at.
    """

    number: int
    clip: Clip
    frames: list[Frame]
    is_last: bool
    looks: dict[int, Look] = field(default_factory=dict)
    missing: int = 0
    is_done: bool = False

    def __post_init__(self) -> None:
        """Take the place after the clip's earlier stretches."""
        self.clip.stretches.append(self)

    @cached_property
    def bytes(self) -> int:
        """Roughly the memory that the frames take."""
        return sum(frame.size[0] * frame.size[1] for frame in self.frames) * BYTES_PER_PIXEL

    def boxes_at(self, rows: list[int]) -> FrameBoxes:
        """Return the boxes in some frames that were looked at."""
        return FrameBoxes.concatenate([boxes for row in rows if (boxes := self.looks[row].boxes) is not None])


def decode_stretches(jobs: Iterable[J], loop_filter: bool) -> Generator[tuple[J, Stretch], None, None]:
    """Decode clips into stretches; a job that is done, or fails, has one without frames."""
    numbers = count()
    for job in jobs:
        clip = Clip(job)
        frames: list[Frame] = []
        held = 0
        for frame in decode_job(job, clip.record, loop_filter):
            size = frame.size[0] * frame.size[1] * BYTES_PER_PIXEL
            is_long = bool(frames) and frame.time_seconds - frames[0].time_seconds >= MAX_STRETCH_SECONDS
            if frames and (is_long or held + size > MAX_STRETCH_BYTES):
                yield job, Stretch(next(numbers), clip, frames, is_last=False)
                frames, held = [], 0
            frames.append(frame)
            held += size
        stretch = Stretch(next(numbers), clip, frames, is_last=True)
        if not frames:
            end_stretch(stretch)
        yield job, stretch


def end_stretch(stretch: Stretch) -> None:
    """Collect what was seen in a stretch, after the earlier ones of its clip, and release its frames."""
    stretch.is_done = True
    while stretch.clip.stretches and stretch.clip.stretches[0].is_done:
        _collect_stretch(stretch.clip.stretches.popleft())


def _collect_stretch(stretch: Stretch) -> None:
    """Collect what was seen; with the last stretch, complete the job."""
    clip, job = stretch.clip, stretch.clip.job
    if stretch.frames:
        rows = sorted(stretch.looks)
        boxes = stretch.boxes_at(rows)
        times = np.array([frame.time_seconds for frame in stretch.frames])
        looks = [stretch.looks[row] for row in rows]
        camera = [clip.record.camera_motion.update(look.pixels, look.letterbox) for look in looks]
        clip.parts.append(
            ClipDetections(
                frame_index=np.array([stretch.frames[row].index for row in rows], np.int64),
                time_seconds=times[rows],
                frame_row=boxes.frame_row,
                boxes=boxes.boxes,
                confidence=boxes.confidence,
                actor_index=boxes.actor_index,
                duration_seconds=0.0,
                camera=np.array(camera, np.float32).reshape(-1, 2),
                represented=represented_frames(times, np.array(rows, np.int64)),
            )
        )
        stretch.frames, stretch.looks = [], {}
    if stretch.is_last and not job.is_done:
        duration = end_seconds(np.array(clip.record.decoded_seconds), clip.record.last_duration_seconds)
        job.detections = join_parts(clip.parts, duration, clip.record.truncated)
        job.looked = merge_looks(job.known, job.detections)
