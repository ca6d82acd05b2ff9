"""What the pipeline says of one clip, with its reasons, and how that is written down."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

SCHEMA = 2
COLUMNS = (
    *("video", "sha256", "status", "error", "frames", "fps", "duration_seconds"),
    *("actors", "labels", "scores", "timeline", "weights", "timing"),
)


@dataclass(frozen=True)
class ActorEvidence:
    """Why an actor counts as present or not, and what its head looked at.

    Attributes:
        presence: Share of the decoded frames that show the actor, in [0, 1].
        gate: From which share it counts as present, in [0, 1].
        present: Whether it does.
        margin: presence - gate; negative for a miss.
        frames: Numbers of the frames that the head looked at, from 0; empty for an absent actor.
    """

    presence: float
    gate: float
    present: bool
    margin: float
    frames: tuple[int, ...] = ()


@dataclass(frozen=True)
class TaggedLabel:
    """One thing that the clip shows.

    Attributes:
        label: For example `adult-walking`.
        id: The label's number in the taxonomy.
        score: Probability over all frames looked at, in [0, 1].
        segments: When it is done: start and end of each stretch, in seconds, in order.
    """

    label: str
    id: int
    score: float
    segments: tuple[tuple[float, float], ...] = ()


@dataclass(frozen=True)
class Timeline:
    """What one actor's head says of the clip, look by look.

    Attributes:
        seconds: When each frame looked at is shown.
        scores: Probability at each look, in [0, 1], by label.
    """

    seconds: tuple[float, ...]
    scores: Mapping[str, tuple[float, ...]]


@dataclass(frozen=True)
class Weights:
    """SHA-256 of everything that decided a result.

    Attributes:
        detector: Of the detector's file.
        thresholds: Of the gates' file.
        heads: Of each head's file, by actor.
    """

    detector: str
    thresholds: str
    heads: Mapping[str, str]


@dataclass(frozen=True)
class ClipResult:
    """One row of `results.jsonl`: what is in a clip and why we say so.

    Attributes:
        video: The path as it was given.
        sha256: Of the file's contents; None where it could not be read.
        status: `ok`, `truncated` (the clip breaks off; what could be decoded is tagged) or `error`.
        error: What went wrong, one line, or None.
        frames: Frames decoded.
        fps: Average frames a second.
        duration_seconds: From the first frame's start to the last one's end.
        actors: Evidence by actor, all actors of the taxonomy.
        labels: What the clip shows, best first.
        scores: Every label of the heads that ran: probability in [0, 1].
        timeline: What each head said when, by present actor.
        weights: What decided.
        timing: Seconds by stage, and whether the detections came from the cache.
    """

    video: str
    sha256: str | None
    status: str
    error: str | None
    weights: Weights
    frames: int = 0
    fps: float = 0.0
    duration_seconds: float = 0.0
    actors: Mapping[str, ActorEvidence] = field(default_factory=dict)
    labels: tuple[TaggedLabel, ...] = ()
    scores: Mapping[str, float] = field(default_factory=dict)
    timeline: Mapping[str, Timeline] = field(default_factory=dict)
    timing: Mapping[str, Any] = field(default_factory=dict)

    @property
    def nearest_miss(self) -> str | None:
        """The absent actor that came nearest to its gate, of those seen at all; None where no other was seen."""
        missed = {name: actor.margin for name, actor in self.actors.items() if not actor.present and actor.presence > 0}
        return max(missed, key=lambda name: missed[name]) if missed else None

    def to_dict(self) -> dict[str, Any]:
        """Give the row as it is written, in the documented order of keys."""
        row = asdict(self)
        return {"schema": SCHEMA, **{key: row[key] for key in COLUMNS}}

    @classmethod
    def from_dict(cls, row: Mapping[str, Any]) -> "ClipResult":
        """Read a row that `to_dict` made.

        Raises:
            ValueError: If the row's schema is another, or it lacks something.
        """
        if row.get("schema") != SCHEMA:
            raise ValueError(f"schema {row.get('schema')!r} was found, {SCHEMA} was expected")
        try:
            actors = {
                name: ActorEvidence(**{**evidence, "frames": tuple(evidence["frames"])})
                for name, evidence in row["actors"].items()
            }
            labels = tuple(
                TaggedLabel(**{**label, "segments": tuple(tuple(segment) for segment in label["segments"])})
                for label in row["labels"]
            )
            timeline = {
                name: Timeline(tuple(own["seconds"]), {label: tuple(line) for label, line in own["scores"].items()})
                for name, own in row["timeline"].items()
            }
            read = ("schema", "actors", "labels", "timeline", "weights")
            rest = {key: value for key, value in row.items() if key not in read}
            weights = Weights(**row["weights"])
            return cls(actors=actors, labels=labels, timeline=timeline, weights=weights, **rest)
        except (KeyError, TypeError, AttributeError) as reason:
            raise ValueError(f"not a row of results: {reason}") from None
