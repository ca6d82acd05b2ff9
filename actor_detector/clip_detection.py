"""Stage 1 on clips, one after the other without a pause: decode ahead in a thread, detect batch by batch.

Decoder and network share the cores without waiting for each other, and a batch may hold the end of one clip and the
start of the next. What is in flight is bounded, so memory does not grow with clips or their number.
"""

from collections import deque
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from typing import Generic, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from actor_detector.detections import ClipDetections, FrameBoxes, join_batches
from actor_detector.letterbox import Letterbox
from actor_detector.motion.camera import CameraMotion
from actor_detector.speed_options import MAX_REUSED_FRAMES, SpeedOptions
from common.errors import ClipError, TruncatedClipError
from common.prefetch import prefetch
from inference.interfaces import PendingOutput
from video.clips import decode_frames, end_seconds
from video.frames import Frame

AHEAD = 2  # batches that wait for the network
IN_FLIGHT = 4  # batches that the network was given


class BatchDetector(Protocol):
    """Anything that finds actors in batches of letterboxed frames."""

    batch_size: int

    def letterbox(self, frame: tuple[int, int]) -> Letterbox:
        """Say how frames of a width and height become inputs."""

    def submit(self, inputs: NDArray[np.uint8], letterbox: Letterbox) -> PendingOutput:
        """Start on inputs (B, H, W, 3)."""

    def read(self, output: NDArray[np.float32], letterbox: Letterbox) -> FrameBoxes:
        """Read the boxes out of what the network said of B inputs."""


class FrameWatcher(Protocol):
    """Whoever wants to see frames while they are there, such as the action heads."""

    def offer(self, frames: Sequence[Frame], found: FrameBoxes) -> None:
        """Look at some frames that the network has seen, in order, and at the boxes in them."""


@dataclass
class ClipJob:
    """One clip on its way through stage 1.

    Attributes:
        clip: A video file, or a folder of PNG frames.
        watcher: Is offered every frame that the network saw; None for nobody.
        detections: What was found. A clip that breaks off gives what could be decoded, and says so in `truncated`.
        error: Why no frame can be decoded. One that has this or `detections` from the start only keeps its place.
    """

    clip: Path
    watcher: FrameWatcher | None = None
    detections: ClipDetections | None = None
    error: ClipError | None = None

    @property
    def is_done(self) -> bool:
        """Whether nothing is left to do."""
        return self.detections is not None or self.error is not None


P = TypeVar("P", bound=ClipJob)


@dataclass(eq=False)
class _Work(Generic[P]):
    """What is known of a clip so far: first the decoder's thread fills it in, then the detector's.

    Attributes:
        clip_pass: Whose clip.
        times: Of every decoded frame, seconds.
        last_duration: How long the last one is shown, seconds.
        truncated: Why the decoder stopped early.
        looked_at: Number and time of every frame that was looked at.
        camera: How far the picture has moved by each.
        path: Follows it.
        seen_as: For each of those, which of the frames that the network sees stands for it.
        seen: How many frames the network sees.
        found: What it said of them, batch by batch.
    """

    clip_pass: P
    times: list[float] = field(default_factory=list)
    last_duration: float = 0.0
    truncated: str = ""
    looked_at: list[tuple[int, float]] = field(default_factory=list)
    camera: list[tuple[float, float]] = field(default_factory=list)
    path: CameraMotion = field(default_factory=CameraMotion)
    seen_as: list[int] = field(default_factory=list)
    seen: int = 0
    found: list[FrameBoxes] = field(default_factory=list)

    @property
    def may_reuse(self) -> bool:
        """Whether the last frame that the network saw may stand for one more."""
        return len(self.seen_as) < MAX_REUSED_FRAMES or self.seen_as[-MOST_REUSED] != self.seen - 1

    def look_at(self, frame: Frame, is_seen: bool) -> None:
        """Count a frame that the network sees, or for which the last one that it saw stands."""
        self.looked_at.append((frame.index, frame.time_seconds))
        self.seen += is_seen
        self.seen_as.append(self.seen - 1)

    def finish(self, stride: int) -> P:
        """Put the clip's detections together, unless something stands there already."""
        if not self.clip_pass.is_done:
            self.clip_pass.detections = join_batches(
                self.found,
                np.array([index for index, _ in self.looked_at], dtype=np.int64),
                np.array([time for _, time in self.looked_at], dtype=np.float64),
                seen_as=np.array(self.seen_as, dtype=np.int64),
                camera=np.array(self.camera, dtype=np.float32).reshape(-1, 2),
                stride=stride,
                decoded=len(self.times),
                duration_seconds=end_seconds(np.array(self.times), self.last_duration),
                truncated=self.truncated,
            )
        return self.clip_pass


@dataclass
class _Batch(Generic[P]):
    """Inputs of one size for the network, each of a frame of some clip, and the clips that end here."""

    letterbox: Letterbox
    inputs: NDArray[np.uint8]
    owners: list[_Work[P]] = field(default_factory=list)
    frames: list[Frame] = field(default_factory=list)
    ended: list[_Work[P]] = field(default_factory=list)


EMPTY_LETTERBOX = Letterbox((0, 0), (0, 0), (0, 0))


def detect_clip(detector: BatchDetector, clip: Path, shortcuts: SpeedOptions | None = None) -> ClipDetections:
    """Find the actors in the frames of one clip, see `detect_clips`.

    Raises:
        ClipError: If no frame can be decoded.
    """
    (done,) = detect_clips(detector, [ClipJob(clip)], shortcuts)
    if done.error:
        raise done.error
    assert done.detections
    return done.detections


def detect_clips(detector: BatchDetector, clips: Iterable[P], shortcuts: SpeedOptions | None = None) -> Iterator[P]:
    """Find the actors in the frames of clips.

    Args:
        detector: Finds them in a batch.
        clips: Are asked for one by one, in another thread, while those before are still at work.
        shortcuts: What is left undone; None leaves out nothing.

    Yields:
        The same, in order, each with its detections or with an error.
    """
    shortcuts = shortcuts or SpeedOptions()
    waiting: deque[tuple[_Batch[P], PendingOutput | None]] = deque()

    def take() -> Iterator[P]:
        batch, answer = waiting.popleft()
        if answer:
            _hand_out(detector.read(answer.result(), batch.letterbox), batch)
        for work in batch.ended:
            yield work.finish(shortcuts.stride)

    try:
        with closing(prefetch(_prepare(detector, clips, shortcuts), AHEAD)) as prepared:
            for batch in prepared:
                shown = len(batch.owners)
                waiting.append((batch, detector.submit(batch.inputs[:shown], batch.letterbox) if shown else None))
                if len(waiting) >= IN_FLIGHT:
                    yield from take()
            while waiting:
                yield from take()
    finally:
        for _, answer in waiting:  # an engine reads the inputs where they are, until it has answered
            if answer:
                answer.result()


def _hand_out(found: FrameBoxes, batch: _Batch[P]) -> None:
    """Give every clip what was found in its frames of a batch."""
    first = 0
    for work, own in groupby(batch.owners):
        rows = np.arange(first, first := first + len(list(own)))
        part = found if len(rows) == len(batch.owners) else found.take(rows)
        work.found.append(part)
        if work.clip_pass.watcher:
            work.clip_pass.watcher.offer(batch.frames[rows[0] : first], part)


def _prepare(detector: BatchDetector, clips: Iterable[P], shortcuts: SpeedOptions) -> Generator[_Batch[P], None, None]:
    """Decode clips and lay every frame that is looked at into the network's inputs."""
    batch: _Batch[P] | None = None
    for clip_pass in clips:
        work = _Work(clip_pass)
        last: tuple[Letterbox, NDArray[np.uint8]] | None = None  # what the network was given last of this clip
        for frame in _frames_to_look_at(work, shortcuts):
            letterbox = detector.letterbox(frame.size)
            if batch and (len(batch.owners) == detector.batch_size or batch.letterbox != letterbox):
                yield batch
                batch = None
            batch = batch or _Batch(letterbox, letterbox.canvas(detector.batch_size))
            inputs = batch.inputs[len(batch.owners)]
            letterbox.place(frame.image(letterbox.inner), inputs)
            is_seen = not (
                shortcuts.reuse_below
                and last
                and last[0] == letterbox
                and work.may_reuse
                and _differ(last[1], inputs) < shortcuts.reuse_below
            )
            work.look_at(frame, is_seen)
            work.camera.append(work.path.follow(inputs, letterbox))
            if is_seen:
                batch.owners.append(work)
                batch.frames.append(frame)
                last = (letterbox, inputs)
        if batch is None:
            batch = _Batch(EMPTY_LETTERBOX, np.zeros((0, 0, 0, 3), np.uint8))
        batch.ended.append(work)
        if not batch.owners:  # nothing to wait for
            yield batch
            batch = None
    if batch:
        yield batch


def _differ(one: NDArray[np.uint8], other: NDArray[np.uint8]) -> float:
    """Say by how many grey levels two inputs differ on average."""
    import cv2

    return cv2.norm(one, other, cv2.NORM_L1) / one.size


def _frames_to_look_at(work: _Work[P], shortcuts: SpeedOptions) -> Iterator[Frame]:
    """Decode a clip as far as it goes, and count."""
    clip_pass = work.clip_pass
    if clip_pass.is_done:
        return
    with closing(decode_frames(clip_pass.clip, shortcuts.loop_filter)) as frames:
        try:
            for frame in frames:
                work.times.append(frame.time_seconds)
                work.last_duration = frame.duration_seconds
                if (len(work.times) - 1) % shortcuts.stride == 0:
                    yield frame
        except TruncatedClipError as reason:
            if not work.times:
                clip_pass.error = reason
            # Detections are kept by the clip's contents, so its name has no place in them.
            work.truncated = str(reason).removeprefix(f"{clip_pass.clip}: ")
        except ClipError as reason:
            clip_pass.error = reason
