"""Stage 1 over many clips in one pass: a thread decodes ahead while the network runs on batches of frames.

Decoder and network share the cores without waiting for each other, and a batch may contain the end of one clip and the
start of the next. The number of batches in flight is bounded, so that memory use depends neither on the length nor on
the number of the clips.
"""

from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from typing import Generic, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from actor_detector.clip_record import ClipRecord
from actor_detector.detections import ClipDetections, FrameBoxes
from actor_detector.letterbox import Letterbox
from actor_detector.speed_options import SpeedOptions
from common.errors import ClipError, TruncatedClipError
from common.prefetch import prefetch
from inference.interfaces import PendingOutput
from video.clips import decode_frames
from video.frames import Frame

MAX_PREPARED_BATCHES = 2  # wait for the network
MAX_SUBMITTED_BATCHES = 4  # wait for their output

OnFrames = Callable[[Sequence[Frame], FrameBoxes], object]
"""Called with frames that the network has processed, in order, while their pixels are in memory, and their boxes."""


class BatchDetector(Protocol):
    """Detects actors in batches of letterboxed frames."""

    batch_size: int

    def letterbox(self, frame_size: tuple[int, int]) -> Letterbox:
        """Return how frames of a width and height are fitted into inputs."""

    def submit(self, inputs: NDArray[np.uint8], letterbox: Letterbox) -> PendingOutput:
        """Start a batch of inputs (B, H, W, 3)."""

    def postprocess(self, output: NDArray[np.float32], letterbox: Letterbox) -> FrameBoxes:
        """Convert the network's output for a batch to boxes in the frames."""


@dataclass
class ClipJob:
    """One clip for stage 1, and its result.

    Attributes:
        clip: A video file, or a folder of PNG frames.
        on_frames: Called with every frame that is passed to the network; None for no callback.
        detections: The result. For a truncated clip, it covers the frames that could be decoded, see `truncated`.
        error: Why no frame can be decoded. A job that has this or `detections` from the start is passed through.
    """

    clip: Path
    on_frames: OnFrames | None = None
    detections: ClipDetections | None = None
    error: ClipError | None = None

    @property
    def is_done(self) -> bool:
        """Whether the job has its result."""
        return self.detections is not None or self.error is not None


J = TypeVar("J", bound=ClipJob)


@dataclass(eq=False)
class _RunningJob(Generic[J]):
    """A job, and what is known about its clip so far."""

    job: J
    record: ClipRecord = field(default_factory=ClipRecord)

    def add_boxes(self, frames: Sequence[Frame], boxes: FrameBoxes) -> None:
        """Record the boxes in some of the clip's frames, and pass both on to the callback."""
        self.record.batches.append(boxes)
        if self.job.on_frames:
            self.job.on_frames(frames, boxes)

    def finish(self, stride: int) -> J:
        """Return the job with its result."""
        if not self.job.is_done:
            self.job.detections = self.record.detections(stride)
        return self.job


@dataclass
class _InputBatch(Generic[J]):
    """Network inputs of one size, which may belong to several clips.

    Attributes:
        letterbox: How the frames are fitted into the inputs.
        inputs: Shape (B, H, W, 3), allocated for a full batch.
        jobs: The job that each input belongs to; as many as there are inputs so far.
        frames: The frame of each input.
        ended: The jobs that are complete once this batch is.
    """

    letterbox: Letterbox
    inputs: NDArray[np.uint8]
    jobs: list[_RunningJob[J]] = field(default_factory=list)
    frames: list[Frame] = field(default_factory=list)
    ended: list[_RunningJob[J]] = field(default_factory=list)

    def add_boxes(self, boxes: FrameBoxes) -> None:
        """Distribute the boxes in the batch's frames to the jobs."""
        first = 0
        for job, inputs in groupby(self.jobs):
            rows = np.arange(first, first := first + len(list(inputs)))
            part = boxes if len(rows) == len(self.jobs) else boxes.take(rows)
            job.add_boxes(self.frames[rows[0] : first], part)


EMPTY_LETTERBOX = Letterbox((0, 0), (0, 0), (0, 0))


def detect_clips(detector: BatchDetector, jobs: Iterable[J], speed_options: SpeedOptions | None = None) -> Iterator[J]:
    """Detect the actors in the frames of clips.

    Args:
        detector: Detects them in a batch.
        jobs: The clips. They are iterated over in another thread, ahead of the results.
        speed_options: By default, every frame is decoded exactly and passed to the network.

    Yields:
        The same jobs, in order, each with its detections or an error.
    """
    options = speed_options or SpeedOptions()
    submitted: deque[tuple[_InputBatch[J], PendingOutput | None]] = deque()

    def finish_oldest() -> Iterator[J]:
        batch, output = submitted.popleft()
        if output:
            batch.add_boxes(detector.postprocess(output.result(), batch.letterbox))
        for job in batch.ended:
            yield job.finish(options.stride)

    try:
        with closing(prefetch(_prepare(detector, jobs, options), MAX_PREPARED_BATCHES)) as prepared:
            for batch in prepared:
                count = len(batch.jobs)
                submitted.append((batch, detector.submit(batch.inputs[:count], batch.letterbox) if count else None))
                if len(submitted) >= MAX_SUBMITTED_BATCHES:
                    yield from finish_oldest()
            while submitted:
                yield from finish_oldest()
    finally:
        for _, output in submitted:  # engines read the inputs without copying them until the output is complete
            if output:
                output.result()


def _prepare(
    detector: BatchDetector, jobs: Iterable[J], options: SpeedOptions
) -> Generator[_InputBatch[J], None, None]:
    """Decode clips and letterbox their processed frames into batches of inputs."""
    batch: _InputBatch[J] | None = None
    for job in jobs:
        running = _RunningJob(job)
        last_input: tuple[Letterbox, NDArray[np.uint8]] | None = None  # the clip's last one for the network
        for frame in _processed_frames(running, options):
            letterbox = detector.letterbox(frame.size)
            if batch and (len(batch.jobs) == len(batch.inputs) or batch.letterbox != letterbox):
                yield batch
                batch = None
            batch = batch or _InputBatch(letterbox, letterbox.canvas(letterbox.batch_size(detector.batch_size)))
            pixels = batch.inputs[len(batch.jobs)]
            letterbox.paste(frame.image(letterbox.resized_size), pixels)
            is_reused = (
                options.reuse_below > 0
                and last_input is not None
                and last_input[0] == letterbox
                and running.record.may_reuse
                and _mean_difference(last_input[1], pixels) < options.reuse_below
            )
            camera = running.record.camera_motion.update(pixels, letterbox)
            running.record.add_processed(frame, camera, is_detected=not is_reused)
            if not is_reused:
                batch.jobs.append(running)
                batch.frames.append(frame)
                last_input = (letterbox, pixels)
        if batch is None:
            batch = _InputBatch(EMPTY_LETTERBOX, np.zeros((0, 0, 0, 3), np.uint8))
        batch.ended.append(running)
        if not batch.jobs:  # there is no output to wait for
            yield batch
            batch = None
    if batch:
        yield batch


def _mean_difference(first: NDArray[np.uint8], second: NDArray[np.uint8]) -> float:
    """Compute the mean absolute difference between two inputs, in grey levels."""
    import cv2

    return cv2.norm(first, second, cv2.NORM_L1) / first.size


def _processed_frames(running: _RunningJob[J], options: SpeedOptions) -> Iterator[Frame]:
    """Decode a clip as far as possible, and yield the frames that the stride does not skip."""
    for number, frame in enumerate(decode_job(running.job, running.record, options.loop_filter)):
        if number % options.stride == 0:
            yield frame


def decode_job(job: ClipJob, record: ClipRecord, loop_filter: bool) -> Iterator[Frame]:
    """Decode a job's clip as far as possible; what is wrong with it goes into the job or the record."""
    if job.is_done:
        return
    with closing(decode_frames(job.clip, loop_filter)) as frames:
        try:
            for frame in frames:
                record.add_decoded(frame)
                yield frame
        except TruncatedClipError as reason:
            if not record.decoded_seconds:
                job.error = reason
            # Detections are cached by the clip's contents, so the reason must not contain its path.
            record.truncated = str(reason).removeprefix(f"{job.clip}: ")
        except ClipError as reason:
            job.error = reason
