"""Stage 1 that looks at some frames only: a plan says which, round by round, until it has seen enough.

Every frame is decoded once and kept, so that a later round costs the network's time alone. A long clip is divided into
stretches, each planned by itself, so that memory use is bounded. While one stretch waits for its results, the network
is given the frames of others; batches mix them.
"""

from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from functools import cached_property
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from actor_detector.clip_detection import BatchDetector, ClipJob, decode_job
from actor_detector.clip_record import ClipRecord
from actor_detector.detections import ClipDetections, FrameBoxes
from actor_detector.letterbox import Letterbox
from actor_detector.looks.certainty import represented_frames
from actor_detector.looks.joining import boxes_by_frame, join_parts, merge_looks
from common.prefetch import prefetch
from inference.interfaces import PendingOutput
from video.clips import end_seconds
from video.frames import Frame

MAX_STRETCH_SECONDS = 30.0
MAX_STRETCH_BYTES = 1 << 27  # of decoded pictures: 30 seconds of 320x240 pixels, one of 1080 lines
BYTES_PER_PIXEL = 2  # 1.5 in most files
MAX_HELD_BYTES = 3 * MAX_STRETCH_BYTES  # by the stretches in progress
MAX_STRETCHES = 12  # in progress, so that batches are full although most rounds are of a few frames
MAX_DECODED_STRETCHES = 2  # wait for their turn
BUSY_BATCHES = 2  # with so many submitted, an incomplete batch waits for more frames
MAX_SUBMITTED_BATCHES = 4

LookPlan = Callable[[Sequence[Frame], NDArray[np.int64], FrameBoxes], NDArray[np.int64]]
"""Given the frames of a stretch, the rows looked at so far, ascending, shape (K,), and the boxes in those, return the
rows to look at next, ascending; none to end the stretch. The first call has no rows."""


@dataclass
class LookJob(ClipJob):
    """One clip of which some frames are to be looked at; `on_frames` is given them round by round.

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
class _Look:
    """One frame that was looked at.

    Attributes:
        round: In which round, from 0.
        pixels: The network's input, which the estimate of the camera's motion needs.
        letterbox: How the frame is fitted into it.
        boxes: None until the network has answered.
    """

    round: int
    pixels: NDArray[np.uint8]
    letterbox: Letterbox
    boxes: FrameBoxes | None = None


@dataclass(eq=False)
class _Clip:
    """A clip in progress: its job, and what is known of its decoded frames."""

    job: LookJob
    record: ClipRecord = field(default_factory=ClipRecord)
    stretches: "deque[_Stretch]" = field(default_factory=deque)  # not collected yet, in order
    parts: list[ClipDetections] = field(default_factory=list)
    known: dict[int, FrameBoxes] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Make the earlier looks accessible by the frame's index."""
        if self.job.known:
            self.known = boxes_by_frame(self.job.known)


@dataclass(eq=False)
class _Stretch:
    """Consecutive frames of a clip, kept in memory until enough of them were looked at."""

    clip: _Clip
    frames: list[Frame]
    is_last: bool
    looks: dict[int, _Look] = field(default_factory=dict)
    missing: int = 0  # looks that the network has not answered
    rounds: int = 0
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


def detect_selected(detector: BatchDetector, jobs: Iterable[J], loop_filter: bool = True) -> Iterator[J]:
    """Detect the actors in those frames of clips that each job's plan asks for.

    Args:
        detector: Detects them in a batch.
        jobs: The clips. They are iterated over in another thread, ahead of the results.
        loop_filter: As for `video.clips.decode_frames`.

    Yields:
        The same jobs, in order, each with its detections or an error.
    """
    looking = _Looking(detector)
    waiting: deque[tuple[J, _Stretch]] = deque()
    try:
        with closing(prefetch(_stretches(jobs, loop_filter), MAX_DECODED_STRETCHES)) as decoded:
            for job, stretch in decoded:
                waiting.append((job, stretch))
                looking.start(stretch)
                yield from _ended(waiting)
                while _is_full(waiting):
                    looking.step()
                    yield from _ended(waiting)
            while waiting:
                if not waiting[0][1].is_done:
                    looking.step()
                yield from _ended(waiting)
    finally:
        looking.close()


def _is_full(waiting: "deque[tuple[J, _Stretch]]") -> bool:
    running = [stretch.bytes for _, stretch in waiting if not stretch.is_done]
    return len(running) >= MAX_STRETCHES or sum(running) > MAX_HELD_BYTES


def _ended(waiting: "deque[tuple[J, _Stretch]]") -> Iterator[J]:
    """Yield the jobs whose last stretch is done, in order."""
    while waiting and waiting[0][1].is_done:
        job, stretch = waiting.popleft()
        if stretch.is_last:
            yield job


class _Looking:
    """Batches the frames of several stretches, and gives each stretch its results."""

    def __init__(self, detector: BatchDetector) -> None:
        self._detector = detector
        self._queued: dict[Letterbox, list[tuple[_Stretch, _Look]]] = {}
        self._ended: deque[_Stretch] = deque()  # whose round has ended, and that wait to be planned on
        self._submitted: deque[tuple[list[tuple[_Stretch, _Look]], Letterbox, PendingOutput]] = deque()

    def start(self, stretch: _Stretch) -> None:
        """Ask a stretch's plan for the first round, and submit the batches that are full."""
        self._ask(stretch)
        for letterbox in list(self._queued):
            while len(self._queued[letterbox]) >= letterbox.batch_size(self._detector.batch_size):
                if len(self._submitted) >= MAX_SUBMITTED_BATCHES:
                    self._collect()
                self._submit(letterbox)

    def step(self) -> None:
        """Submit full batches, then plan a stretch on, or else wait for the oldest batch.

        An incomplete batch takes as long as a full one, so it is only submitted if the network would be idle otherwise.
        """
        while len(self._submitted) < MAX_SUBMITTED_BATCHES:
            fullest = max(self._queued, key=lambda letterbox: len(self._queued[letterbox]), default=None)
            if fullest is None or not (count := len(self._queued[fullest])):
                break
            is_full = count >= fullest.batch_size(self._detector.batch_size)
            if not is_full and (self._ended or len(self._submitted) >= BUSY_BATCHES):
                break
            self._submit(fullest)
        if self._ended and len(self._submitted) < MAX_SUBMITTED_BATCHES:
            self._ask(self._ended.popleft())
        else:
            self._collect()

    def close(self) -> None:
        """Wait for what was submitted: engines read the inputs without copying them until the output is complete."""
        while self._submitted:
            self._submitted.popleft()[2].result()

    def _submit(self, letterbox: Letterbox) -> None:
        queued, size = self._queued[letterbox], letterbox.batch_size(self._detector.batch_size)
        batch, self._queued[letterbox] = queued[:size], queued[size:]
        inputs = np.stack([look.pixels for _, look in batch])
        self._submitted.append((batch, letterbox, self._detector.submit(inputs, letterbox)))

    def _collect(self) -> None:
        """Distribute the boxes of the oldest batch; the round of a stretch that waited for nothing else has ended."""
        if not self._submitted:
            return
        batch, letterbox, output = self._submitted.popleft()
        boxes = self._detector.postprocess(output.result(), letterbox)
        for row, (stretch, look) in enumerate(batch):
            look.boxes = boxes.take(np.array([row], np.int64))
            stretch.missing -= 1
        for stretch in dict.fromkeys(stretch for stretch, _ in batch):
            if not stretch.missing:
                self._end_round(stretch)
                self._ended.append(stretch)

    def _ask(self, stretch: _Stretch) -> None:
        """Ask the plan where to look next; queue what is not known, and end the stretch if it asks for nothing."""
        assert stretch.clip.job.plan
        while not stretch.missing and not stretch.is_done:
            looked = sorted(stretch.looks)
            boxes = stretch.boxes_at(looked)
            wanted = stretch.clip.job.plan(stretch.frames, np.array(looked, np.int64), boxes).tolist()
            if not wanted:
                _end_stretch(stretch)
                return
            for row in wanted:
                self._queue(stretch, row)
            if not stretch.missing:
                self._end_round(stretch)

    def _queue(self, stretch: _Stretch, row: int) -> None:
        frame = stretch.frames[row]
        letterbox = self._detector.letterbox(frame.size)
        pixels = letterbox.canvas(1)[0]
        letterbox.paste(frame.image(letterbox.resized_size), pixels)
        look = stretch.looks[row] = _Look(stretch.rounds, pixels, letterbox, stretch.clip.known.get(frame.index))
        if look.boxes is None:
            stretch.missing += 1
            self._queued.setdefault(letterbox, []).append((stretch, look))

    def _end_round(self, stretch: _Stretch) -> None:
        """Pass the round's frames on to the callback."""
        rows = sorted(row for row, look in stretch.looks.items() if look.round == stretch.rounds)
        stretch.rounds += 1
        if on_frames := stretch.clip.job.on_frames:
            on_frames([stretch.frames[row] for row in rows], stretch.boxes_at(rows))


def _stretches(jobs: Iterable[J], loop_filter: bool) -> Generator[tuple[J, _Stretch], None, None]:
    """Decode clips into stretches; a job that is done, or fails, has one without frames."""
    for job in jobs:
        clip = _Clip(job)
        frames: list[Frame] = []
        held = 0
        for frame in decode_job(job, clip.record, loop_filter):
            size = frame.size[0] * frame.size[1] * BYTES_PER_PIXEL
            is_long = bool(frames) and frame.time_seconds - frames[0].time_seconds >= MAX_STRETCH_SECONDS
            if frames and (is_long or held + size > MAX_STRETCH_BYTES):
                yield job, _Stretch(clip, frames, is_last=False)
                frames, held = [], 0
            frames.append(frame)
            held += size
        stretch = _Stretch(clip, frames, is_last=True)
        if not frames:
            _end_stretch(stretch)
        yield job, stretch


def _end_stretch(stretch: _Stretch) -> None:
    """Collect what was seen in a stretch, after the earlier ones of its clip, and release its frames."""
    stretch.is_done = True
    while stretch.clip.stretches and stretch.clip.stretches[0].is_done:
        _collect_stretch(stretch.clip.stretches.popleft())


def _collect_stretch(stretch: _Stretch) -> None:
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
