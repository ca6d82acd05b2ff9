"""A worker process that loads in a moment.

It sends and receives what the real one does, but what it does to a clip depends on the clip's name.
"""

import ctypes
import logging
import os
import signal
import time
from collections.abc import Callable, Generator, Iterable, Iterator
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any, BinaryIO

from common.errors import UserError
from common.heartbeat import beat, preparation
from common.prefetch import prefetch
from pipeline.results import ClipResult, Weights
from pipeline.supervision import worker

WEIGHTS = Weights("detector", "gates", {})


class ToyTagger:
    """Tags a clip when the next one has been decoded, as the real one may, in whose batches frames of both meet."""

    weights = WEIGHTS
    settings: dict[str, Any] = {}  # noqa: RUF012
    taxonomy = None

    def describe_weights(self) -> str:
        return "using toys"

    def tag_all(self, clips: Iterable[Path]) -> Iterator[SimpleNamespace]:
        for clip in prefetch(decoded(clips), 2):
            if clip.stem.endswith("late"):  # after decoding
                misbehave(clip)
            yield SimpleNamespace(
                result=ClipResult(str(clip), clip.stem, "ok", None, WEIGHTS), detections=None, files={}
            )


def decoded(clips: Iterable[Path]) -> Generator[Path, None, None]:
    """Decode clips; a clip leaves the decoder when the next one is there."""
    last = None
    for clip in clips:
        if not clip.stem.endswith("late"):
            misbehave(clip)
        if last:
            yield last
        last = clip
    if last:
        yield last


def misbehave(clip: Path) -> None:
    """Do what the first part of a clip's name says; if it is a file, as often as the number in it says."""
    if clip.is_file():
        left = int(clip.read_text()) - 1
        clip.write_text(str(left))
        if left < 0:
            return
    WAYS.get(clip.stem.split("-")[0], lambda: None)()


def send_signal(number: int) -> None:
    """Send a signal to this process, and wait for it."""
    os.kill(os.getpid(), number)
    time.sleep(60)


def work_slowly() -> None:
    """Work for 3 seconds, with signs of life."""
    for _ in range(30):
        time.sleep(0.1)
        beat()


def prepare(then: Callable[[], object]) -> None:
    """Do something while networks are prepared."""
    with preparation():
        then()


def fail(reason: Exception) -> None:
    """Raise an exception."""
    raise reason


def make_noise() -> None:
    """Print to stdout, by Python and past it."""
    print("noise", flush=True)
    os.write(1, b"more noise")


WAYS: dict[str, Callable[[], object]] = {
    "segv": partial(send_signal, signal.SIGSEGV),
    "kill": partial(send_signal, signal.SIGKILL),
    "stop": partial(send_signal, signal.SIGSTOP),
    "hang": partial(time.sleep, 60),
    "block": lambda: ctypes.PyDLL(None).sleep(60),  # as a library that does not release the interpreter's lock
    "leave": partial(os._exit, 7),
    "slow": work_slowly,
    "prepare": partial(prepare, partial(time.sleep, 1.5)),
    "unprepared": partial(prepare, partial(send_signal, signal.SIGKILL)),
    "bug": partial(fail, ZeroDivisionError("division\nby zero")),
    "refuse": partial(fail, UserError("the second stage cannot be loaded")),
    "noise": make_noise,
}


def main(tasks: BinaryIO) -> None:
    """Run the worker with toys."""
    worker._load = lambda setup: load(setup.config.detector)
    worker.main(tasks)


def load(how: str) -> ToyTagger:
    """Load the tagger, or misbehave."""
    logging.getLogger(__name__).warning("these are toys")
    misbehave(Path(how))
    return ToyTagger()
