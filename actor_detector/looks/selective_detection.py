"""Stage 1 that looks at some frames only: a plan says which, round by round, until it has seen enough.

Every frame is decoded once and kept, so that a later round costs the network's time alone. A long clip is divided into
stretches, each planned by itself, so that memory use is bounded. While one stretch waits for its results, the network
is given the frames of others; batches mix them.
"""

from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import closing

import numpy as np

from actor_detector.clip_detection import BatchDetector
from actor_detector.letterbox import Letterbox
from actor_detector.looks.stretches import MAX_STRETCH_BYTES, J, Look, Stretch, decode_stretches, end_stretch
from common.prefetch import prefetch
from inference.interfaces import PendingOutput

MAX_HELD_BYTES = 3 * MAX_STRETCH_BYTES  # by the stretches in progress
MAX_STRETCHES = 12  # in progress, so that batches are full although most rounds are of a few frames
MAX_DECODED_STRETCHES = 2  # wait for their turn
BUSY_BATCHES = 3  # with so many submitted, an incomplete batch waits for more frames
MAX_OVERTAKING_BATCHES = 8  # of other input sizes; then a frame goes to the network in an incomplete batch
MAX_SUBMITTED_BATCHES = 6


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
    waiting: deque[tuple[J, Stretch]] = deque()
    try:
        with closing(prefetch(decode_stretches(jobs, loop_filter), MAX_DECODED_STRETCHES)) as decoded:
            for job, stretch in decoded:
                waiting.append((job, stretch))
                looking.start(stretch)
                yield from _ended(waiting)
                while _is_full(waiting) or looking.is_busy or (looking.can_wait and not decoded.is_ready):
                    looking.step()
                    yield from _ended(waiting)
            while waiting:
                if not waiting[0][1].is_done:
                    looking.step()
                yield from _ended(waiting)
    finally:
        looking.close()


def _number(stretch: Stretch) -> int:
    return stretch.number


def _is_full(waiting: "deque[tuple[J, Stretch]]") -> bool:
    running = [stretch.bytes for _, stretch in waiting if not stretch.is_done]
    return len(running) >= MAX_STRETCHES or sum(running) > MAX_HELD_BYTES


def _ended(waiting: "deque[tuple[J, Stretch]]") -> Iterator[J]:
    """Yield the jobs whose last stretch is done, in order."""
    while waiting and waiting[0][1].is_done:
        job, stretch = waiting.popleft()
        if stretch.is_last:
            yield job


class _Looking:
    """Batches the frames of several stretches, and gives each stretch its results.

    Of what is ready, the earliest stretch is served first, since the results of later clips wait for it, and a stretch
    in doubt needs many rounds.
    """

    def __init__(self, detector: BatchDetector) -> None:
        self._detector = detector
        self._queued: dict[Letterbox, list[tuple[Stretch, Look]]] = {}
        self._ended: list[Stretch] = []  # whose round has ended, and that wait to be planned on
        self._submitted: deque[tuple[list[tuple[Stretch, Look]], Letterbox, PendingOutput]] = deque()
        self._turn = 0  # batches submitted so far
        self._last: Letterbox | None = None  # of the last one

    def start(self, stretch: Stretch) -> None:
        """Ask a stretch's plan for the first round."""
        self._ask(stretch)

    @property
    def can_wait(self) -> bool:
        """Whether the network has something to do."""
        return bool(self._submitted or self._ended or any(self._queued.values()))

    @property
    def is_busy(self) -> bool:
        """Whether there is enough to do until another stretch is decoded."""
        return bool(self._ended or self._full()) or len(self._submitted) >= BUSY_BATCHES

    def step(self) -> None:
        """Submit batches, then plan a stretch on, or else wait for the oldest batch."""
        while len(self._submitted) < MAX_SUBMITTED_BATCHES and (letterbox := self._next_batch()):
            self._submit(letterbox)
        if self._ended and len(self._submitted) < MAX_SUBMITTED_BATCHES:
            earliest = min(self._ended, key=_number)
            self._ended.remove(earliest)
            self._ask(earliest)
        else:
            self._collect()

    def _next_batch(self) -> Letterbox | None:
        """Return the input size of the batch to submit next; None to wait for more frames.

        An incomplete batch takes as long as a full one, so it is only submitted if the network would be idle otherwise,
        or if its first frame was overtaken: a clip of a rare size would else hold up all clips after it. Another size
        than the last one costs some milliseconds, see `inference.engine_pool`.
        """
        queued = {letterbox: looks for letterbox, looks in self._queued.items() if looks}
        if not queued:
            return None
        longest = min(queued, key=lambda letterbox: queued[letterbox][0][1].turn)
        if self._turn - min(look.turn for _, look in queued[longest]) > MAX_OVERTAKING_BATCHES:
            return longest
        full = self._full()
        if not full and (self._ended or len(self._submitted) >= BUSY_BATCHES):
            return None
        if self._last in (full or queued):
            return self._last
        return min(full or queued, key=lambda letterbox: min(stretch.number for stretch, _ in queued[letterbox]))

    def _full(self) -> list[Letterbox]:
        """Return the input sizes of which there is a complete batch."""
        return [letterbox for letterbox, looks in self._queued.items() if len(looks) >= self._size(letterbox)]

    def _size(self, letterbox: Letterbox) -> int:
        return letterbox.batch_size(self._detector.batch_size)

    def close(self) -> None:
        """Wait for what was submitted: engines read the inputs without copying them until the output is complete."""
        while self._submitted:
            self._submitted.popleft()[2].result()

    def _submit(self, letterbox: Letterbox) -> None:
        queued, size = sorted(self._queued[letterbox], key=lambda item: item[0].number), self._size(letterbox)
        batch, self._queued[letterbox] = queued[:size], queued[size:]
        self._turn, self._last = self._turn + 1, letterbox
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
        self._ended += [stretch for stretch in dict.fromkeys(stretch for stretch, _ in batch) if not stretch.missing]

    def _ask(self, stretch: Stretch) -> None:
        """Ask the plan where to look next; queue what is not known, and end the stretch if it asks for nothing."""
        assert stretch.clip.job.plan
        while not stretch.missing and not stretch.is_done:
            looked = sorted(stretch.looks)
            boxes = stretch.boxes_at(looked)
            wanted = stretch.clip.job.plan(stretch.frames, np.array(looked, np.int64), boxes).tolist()
            if not wanted:
                end_stretch(stretch)
                return
            for row in wanted:
                self._queue(stretch, row)

    def _queue(self, stretch: Stretch, row: int) -> None:
        frame = stretch.frames[row]
        letterbox = self._detector.letterbox(frame.size)
        pixels = letterbox.canvas(1)[0]
        letterbox.paste(frame.image(letterbox.resized_size), pixels)
        known = stretch.clip.known.get(frame.index)
        look = stretch.looks[row] = Look(self._turn, pixels, letterbox, known)
        if known is None:
            stretch.missing += 1
            self._queued.setdefault(letterbox, []).append((stretch, look))
