"""Stage 1 on one clip: decode ahead in a thread, detect batch by batch, keep every frame.

Decoder and network share the cores without waiting for each other; what is in flight is bounded, so memory does not
grow with the clip.
"""

from collections import deque
from collections.abc import Generator, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from a2d.clips import decode_frames, end_seconds
from a2d.engines import Answer
from a2d.errors import TruncatedClipError
from a2d.frames import Frame
from a2d.prefetch import prefetch
from actor_detector.detections import ClipDetections, FrameBoxes, join_batches
from actor_detector.letterbox import Letterbox

AHEAD = 4  # batches that wait for the network
IN_FLIGHT = 4  # batches that the network was given


class BatchDetector(Protocol):
    """Anything that finds actors in batches of letterboxed frames."""

    batch_size: int

    def letterbox(self, frame: tuple[int, int]) -> Letterbox:
        """Say how frames of a width and height become inputs."""

    def submit(self, inputs: NDArray[np.uint8], letterbox: Letterbox) -> Answer:
        """Start on inputs (B, H, W, 3)."""

    def read(self, output: NDArray[np.float32], letterbox: Letterbox) -> FrameBoxes:
        """Read the boxes out of what the network said of B inputs."""


@dataclass
class _Batch:
    """Frames of one size and their inputs; `looked_at` are those that the network sees."""

    letterbox: Letterbox
    inputs: NDArray[np.uint8]
    looked_at: list[Frame] = field(default_factory=list)


@dataclass
class _Count:
    """What the decoder met: every frame's time, how long the last one is shown, why it stopped early."""

    times: list[float] = field(default_factory=list)
    last_duration: float = 0.0
    truncated: str = ""


def detect_clip(detector: BatchDetector, clip: Path, stride: int = 1) -> ClipDetections:
    """Find the actors in the frames of a clip.

    Args:
        detector: Finds them in a batch.
        clip: A video file, or a folder of PNG frames.
        stride: Look at every frame (1), every second one (2), …; all are decoded and counted.

    Returns:
        The detections. A clip that breaks off gives what could be decoded, and says so in `truncated`.

    Raises:
        ClipError: If no frame can be decoded.
    """
    count = _Count()
    batches: list[FrameBoxes] = []
    looked_at: list[tuple[int, float]] = []
    waiting: deque[tuple[_Batch, Answer]] = deque()

    def take() -> None:
        batch, answer = waiting.popleft()
        found = detector.read(answer.result(), batch.letterbox)
        looked_at.extend((frame.index, frame.time_seconds) for frame in batch.looked_at)
        batches.append(found)

    with closing(prefetch(_prepare(detector, clip, stride, count), AHEAD)) as prepared:
        for batch in prepared:
            waiting.append((batch, detector.submit(batch.inputs[: len(batch.looked_at)], batch.letterbox)))
            if len(waiting) >= IN_FLIGHT:
                take()
        while waiting:
            take()
    return join_batches(
        batches,
        np.array([index for index, _ in looked_at], dtype=np.int64),
        np.array([time for _, time in looked_at], dtype=np.float64),
        stride=stride,
        decoded=len(count.times),
        duration_seconds=end_seconds(np.array(count.times), count.last_duration),
        truncated=count.truncated,
    )


def _prepare(detector: BatchDetector, clip: Path, stride: int, count: _Count) -> Generator[_Batch, None, None]:
    """Decode a clip and lay every frame that is looked at into the network's inputs."""
    batch: _Batch | None = None
    for frame in _whole_frames(clip, count):
        if (len(count.times) - 1) % stride:
            continue
        letterbox = detector.letterbox(frame.size)
        if batch and (len(batch.looked_at) == detector.batch_size or batch.letterbox != letterbox):
            yield batch
            batch = None
        if batch is None:
            batch = _Batch(letterbox, letterbox.canvas(detector.batch_size))
        letterbox.place(frame.image(), batch.inputs[len(batch.looked_at)])
        batch.looked_at.append(frame)
    if batch:
        yield batch


def _whole_frames(clip: Path, count: _Count) -> Iterator[Frame]:
    """Decode a clip as far as it goes, and count."""
    with closing(decode_frames(clip)) as frames:
        try:
            for frame in frames:
                count.times.append(frame.time_seconds)
                count.last_duration = frame.duration_seconds
                yield frame
        except TruncatedClipError as reason:
            if not count.times:
                raise
            # Detections are kept by the clip's contents, so its name has no place in them.
            count.truncated = str(reason).removeprefix(f"{clip}: ")
