"""The worker process of a run: it decodes, tags and annotates the clips that it is sent, and reports every step.

It contains everything that can hang or crash on a file of unknown origin; `pipeline.supervision.supervisor` watches it
from a process that survives this.
"""

import logging
import os
import pickle
import signal
import time
import traceback
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from queue import Empty, SimpleQueue
from threading import Lock, Thread
from typing import TYPE_CHECKING, BinaryIO, cast

from common.errors import UserError
from common.heartbeat import listen
from common.paths import PROJECT
from common.system import end_with_parent, keep_to_share, return_large_allocations
from pipeline.supervision.fetching import Fetcher, LocalTask
from pipeline.supervision.messages import (
    DETECT,
    START_OF_MESSAGES,
    Alive,
    Annotated,
    Failed,
    Message,
    Preparing,
    Ready,
    Refused,
    Returned,
    Setup,
    Started,
    Tagged,
    Task,
    Warned,
)

if TYPE_CHECKING:
    from pipeline.any_tagger import Tagger
    from pipeline.results import ClipResult
    from pipeline.tagger import ActorActionTagger, TaggedClip

BEAT_SECONDS = 1.0  # one sign of life in this time is enough
PATIENCE_SECONDS = 0.1  # without a further task for so long, the clips so far are finished without one

Send = Callable[[Message], None]


def main(tasks: BinaryIO) -> None:
    """Run the worker process until it is sent no further task.

    Args:
        tasks: A `Setup`, then any number of `Task`, pickled. Messages are written to stdout likewise.
    """
    messages = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # results belong to the other process: whatever libraries print here goes to stderr
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    setup: Setup = pickle.load(tasks)
    _follow_the_parent()
    return_large_allocations()
    if setup.share:
        keep_to_share(setup.share)
    channel = Channel(messages)
    worker = Worker(channel.send)
    _forward_log(channel.send, worker.fetcher.original)
    listen(channel)
    Thread(target=_receive, args=(tasks, worker.tasks), name="receive", daemon=True).start()
    try:
        worker.run(setup)
    except UserError as reason:
        channel.send(Refused(str(reason)))
    except Exception as reason:  # what it was is for the other process to judge
        channel.send(Failed(worker.fetcher.original(describe_exception(reason))))
    worker.fetcher.close()
    # Threads that hang in a decoder, and libraries that clean up, must not delay the end.
    os._exit(0)


class Channel:
    """Sends messages to the other process, from any thread, signs of life among them.

    Args:
        stream: Where to write them.
    """

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._lock = Lock()
        self._last_seconds = 0.0
        self._preparing = 0
        stream.write(b"\n" + START_OF_MESSAGES)
        stream.flush()

    def send(self, message: Message) -> None:
        """Send a message; if nobody is left to read it, the process ends."""
        content = pickle.dumps(message)
        with self._lock:
            self._last_seconds = time.monotonic()
            try:
                self._stream.write(content)
                self._stream.flush()
            except OSError:
                os._exit(1)

    def beat(self) -> None:
        """Send a sign of life, unless something was sent a moment ago."""
        if time.monotonic() - self._last_seconds >= BEAT_SECONDS:
            self.send(Alive())

    def prepare(self, begins: bool) -> None:
        """Send that preparations begin or end; those within others do not count."""
        self._preparing += 1 if begins else -1
        if self._preparing == (1 if begins else 0):
            self.send(Preparing(begins))


class Worker:
    """Tags and annotates clips in the order of their tasks.

    Args:
        send: Called with every message.

    Attributes:
        tasks: The tasks; None after the last one.
        fetcher: Takes them.
    """

    def __init__(self, send: Send) -> None:
        self.tasks: SimpleQueue[Task | None] = SimpleQueue()
        self.fetcher = Fetcher(self.tasks, send)
        self._send = send
        self._held: list[LocalTask | None] = []  # taken from the queue too early
        self._started: deque[LocalTask] = deque()

    def run(self, setup: Setup) -> None:
        """Load the tagger, report it, and work on tasks until there are no more; or call the function of the setup.

        Raises:
            UserError: If the tagger cannot be loaded, or not completely.
        """
        if setup.call:
            function, argument = pickle.loads(setup.call)
            self._send(Returned(function(argument)))
            return
        tagger = _load(setup)
        self._send(Ready(tagger.describe_weights(), tagger.weights, tagger.settings, tagger.taxonomy))
        while (task := self._held.pop() if self._held else self.fetcher.get()) is not None:
            if task.result or task.error:
                self._settle(tagger, task)
            else:
                self._tag(tagger, task)

    def _tag(self, tagger: "Tagger", first: LocalTask) -> None:
        """Tag a clip, and those that follow it without a pause."""
        for tagged in tagger.tag_all(self._clips(first)):
            local = self._started.popleft()
            task, result = local.task, local.own(tagged.result)
            is_drawn = bool(task.copy and tagged.detections)
            if not is_drawn:
                self.fetcher.finish(local)
            self._send(Tagged(task.index, result, tagged.files))
            if is_drawn:
                self._send_annotated(tagger, local, tagged)

    def _settle(self, tagger: "Tagger", local: LocalTask) -> None:
        """Report the result of a clip that has one, and draw its copy, or report why the clip could not be fetched."""
        from pipeline.tagger import TaggedClip

        task = local.task
        if not local.is_remote:
            self._send(Started(task.index))
        if not task.result:
            self._send(Tagged(task.index, local.result or _failed(tagger, local)))
        if task.copy and local.result:
            self._send_annotated(tagger, local, TaggedClip(local.result, None))
        self.fetcher.finish(local)

    def _send_annotated(self, tagger: "Tagger", local: LocalTask, tagged: "TaggedClip") -> None:
        reason = local.error.removeprefix(f"{local.task.clip}: ") or local.original(_annotate(tagger, local, tagged))
        self.fetcher.finish(local)
        self._send(Annotated(local.task.index, reason))

    def _clips(self, task: LocalTask | None) -> Iterator[Path]:
        """Yield a clip and those of further tasks until there is none for a moment; runs in the decoding thread."""
        while task and not (task.result or task.error):
            self._started.append(task)
            if not task.is_remote:  # of which this was said before it was fetched
                self._send(Started(task.task.index))
            yield task.clip
            try:
                task = self.fetcher.get(PATIENCE_SECONDS)
            except Empty:
                return
        self._held.append(task)


def describe_exception(reason: BaseException) -> str:
    """Describe an exception in one line; an unexpected one with its type and where in the project it was raised."""
    first_line = str(reason).partition("\n")[0]
    if isinstance(reason, UserError):
        return first_line
    if isinstance(reason, OSError) and reason.strerror:
        return f"{reason.filename}: {reason.strerror}" if reason.filename else reason.strerror
    ours = [frame for frame in traceback.extract_tb(reason.__traceback__) if frame.filename.startswith(str(PROJECT))]
    where = f" ({Path(ours[-1].filename).relative_to(PROJECT)}:{ours[-1].lineno})" if ours else ""
    return f"{type(reason).__name__}: {first_line}{where}"


def _load(setup: Setup) -> "Tagger":
    from pipeline.any_tagger import open_tagger

    try:
        if setup.job == DETECT:
            from pipeline.detection_tagger import DetectionTagger

            return DetectionTagger.from_config(setup.config)
        tagger = open_tagger(setup.config)
        if setup.demo:
            from pipeline.visualization.demo_clip import write_demo

            write_demo(setup.demo)
    except OSError as reason:
        raise UserError(describe_exception(reason)) from None
    return tagger


def _failed(tagger: "Tagger", local: LocalTask) -> "ClipResult":
    """Return the result of a clip that could not be fetched."""
    from pipeline.results import ClipResult

    return ClipResult(str(local.task.clip), None, "error", local.error, tagger.weights)


def _annotate(tagger: "Tagger", local: LocalTask, tagged: "TaggedClip") -> str:
    """Write the annotated copy of a clip; return why that is impossible, or an empty string."""
    from pipeline.visualization.annotation import annotate_clip

    assert local.task.copy
    try:
        two_stages = cast("ActorActionTagger", tagger)  # copies of another system's clips are not asked for
        detections = tagged.detections or two_stages.detector.detect(local.clip).detections
        annotate_clip(local.clip, tagged.result, detections, tagger.taxonomy, local.task.copy)
    except Exception as reason:  # whatever it is, only the copy is missing
        return describe_exception(reason).removeprefix(f"{local.clip}: ")
    return ""


def _receive(stream: BinaryIO, tasks: "SimpleQueue[Task | None]") -> None:
    """Pass on tasks in a thread of its own; when the other process ends, however it does, this one ends too."""
    try:
        while True:
            tasks.put(pickle.load(stream))
    except (EOFError, OSError, pickle.UnpicklingError):
        os._exit(1)


def _follow_the_parent() -> None:
    """Leave signals to the other process, and end with it; on Linux even while a library blocks the interpreter."""
    for name in ("SIGINT", "SIGTERM", "SIGHUP"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_IGN)
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
    end_with_parent()


class _ForwardingHandler(logging.Handler):
    """Sends log records to the other process, which prints those that it has not printed before."""

    def __init__(self, send: Send, rename: Callable[[str], str]) -> None:
        super().__init__()
        self._forward, self._rename = send, rename

    def emit(self, record: logging.LogRecord) -> None:
        self._forward(Warned(record.levelno, self._rename(record.getMessage())))


def _forward_log(send: Send, rename: Callable[[str], str]) -> None:
    logging.basicConfig(level=logging.WARNING, handlers=[_ForwardingHandler(send, rename)])
    logging.captureWarnings(True)
