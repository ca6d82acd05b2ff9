"""What a run's process and its worker process tell each other; importing it is cheap."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from common.system import Share
from pipeline.config import TaggerConfig

if TYPE_CHECKING:
    from a2d.taxonomy import Taxonomy
    from pipeline.results import ClipResult, Weights
    from video.remote_clips import AnyClip

START_OF_MESSAGES = b"actor-action messages\n"
"""Written before the first message; whatever a library prints to stdout while the interpreter starts is skipped."""


TAG, DETECT = "tag", "detect"


@dataclass(frozen=True)
class Setup:
    """What a worker loads; the first thing that it is sent.

    Attributes:
        config: Of its tagger.
        demo: Where to write the demo clip before the first task; None for no demo.
        share: Of the machine; None for all of it.
        job: What it does to a clip: `tag`, or `detect`, see `pipeline.detection_tagger`.
        call: A function and its argument, pickled, to call instead, once, see `pipeline.supervision.calls`.
    """

    config: TaggerConfig
    demo: Path | None = None
    share: Share | None = None
    job: str = TAG
    call: bytes = b""


@dataclass(frozen=True)
class Task:
    """One clip.

    Attributes:
        index: Its place in the run, from 0.
        clip: A video file, or a folder of PNG frames, or a file in a store.
        copy: Where to write the annotated copy; None for no copy.
        result: Of an earlier run or attempt; None if the clip is to be tagged.
        earlier: The result of an earlier run, if the store must still be asked whether the clip has changed since.
    """

    index: int
    clip: "AnyClip"
    copy: Path | None = None
    result: "ClipResult | None" = None
    earlier: "ClipResult | None" = None

    def ends_with(self, event: "Tagged | Annotated") -> bool:
        """Whether nothing more comes of the task after an event."""
        return isinstance(event, Annotated) or self.copy is None or event.result.status == "error"


@dataclass(frozen=True)
class Ready:
    """The tagger is loaded; its properties of the same names.

    Attributes:
        description: Which files it uses.
        weights: Their hashes.
        settings: The other settings that determine a result.
        taxonomy: Actors and labels.
    """

    description: str
    weights: "Weights"
    settings: Mapping[str, Any]
    taxonomy: "Taxonomy"


@dataclass(frozen=True)
class Refused:
    """The run cannot start or continue, through no fault of a clip; the reason is one line for the user."""

    reason: str


@dataclass(frozen=True)
class Failed:
    """An unexpected exception ended the worker; the reason is one line."""

    reason: str


@dataclass(frozen=True)
class Warned:
    """A log record of the worker."""

    level: int
    text: str


@dataclass(frozen=True)
class Preparing:
    """The preparation of a network begins, or ends."""

    begins: bool


@dataclass(frozen=True)
class Alive:
    """The work goes on."""


@dataclass(frozen=True)
class Started:
    """The worker has begun to read a clip."""

    index: int


@dataclass(frozen=True)
class Tagged:
    """A clip has its result, of any status.

    Attributes:
        index: Of the task.
        result: The result.
        files: Of the cache of detections, by their paths in its folder, if the worker only detects.
        machine: Name of the one that made it, if there are several.
    """

    index: int
    result: "ClipResult"
    files: Mapping[str, bytes] = field(default_factory=dict)
    machine: str = ""


@dataclass(frozen=True)
class Annotated:
    """The annotated copy of a clip is written, or why it is not; then the reason is not empty."""

    index: int
    reason: str = ""


@dataclass(frozen=True)
class Returned:
    """The function of the setup has returned."""

    value: Any


Message = Ready | Refused | Failed | Warned | Preparing | Alive | Started | Tagged | Annotated | Returned
