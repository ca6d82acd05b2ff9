"""The result of one clip, with its evidence, and the row that it is written as."""

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

from common.remote_files import is_address
from thresholds.gates import PresenceDecision

if TYPE_CHECKING:
    from pipeline.actor_predictions import ActorPredictions

SCHEMA = 2
COLUMNS = (
    *("video", "path", "sha256", "status", "error", "frames", "fps", "duration_seconds"),
    *("actors", "labels", "scores", "timeline", "weights", "timing", "looks"),
)


OPTIONAL_COLUMNS = ("version",)
"""Keys of a row that it has only if there is something to say."""


@dataclass(frozen=True)
class ActorEvidence:
    """Why an actor counts as present or not, and what its head was given.

    Attributes:
        presence: Share of the decoded frames that show the actor, in [0, 1]; of a clip that consists of several
            windows, in the window that shows it most, see `pipeline.clip_windows`. Only confirmed boxes count.
        gate: Share from which it counts as present, in [0, 1].
        present: Whether it does.
        margin: presence - gate; negative for a miss.
        frames: Indices of the frames that its head was given, from 0; empty for an absent actor.
        windows: Start and end, in seconds, of each window in which it is present; empty for a clip of one window.
        detected: The same share as `presence` with all boxes of the detector, confirmed or not; None if boxes count as
            they are, or the row is an earlier version's.
        boxes: The most confident box in each of `frames`: corners x1 y1 x2 y2 in pixels of the frame as it is shown;
            empty for a frame without one, and altogether in the rows of earlier versions.
        interval: Within what the share of all frames lies, if not all were looked at, see `pipeline.until_sure`.
    """

    presence: float
    gate: float
    present: bool
    margin: float
    frames: tuple[int, ...] = ()
    windows: tuple[tuple[float, float], ...] = ()
    detected: float | None = None
    boxes: tuple[tuple[float, ...], ...] = ()
    interval: tuple[float, float] | None = None

    def within(self, interval: NDArray[np.float64]) -> Self:
        """Return the evidence with the interval of its share, shape (2,)."""
        low, high = np.round(interval, 4).tolist()
        return replace(self, interval=(low, high))

    @classmethod
    def from_decision(
        cls,
        decision: PresenceDecision,
        actor_index: int,
        predictions: "ActorPredictions | None",
        windows: tuple[tuple[float, float], ...] = (),
        detected: float | None = None,
        boxes: NDArray[np.float32] | None = None,
    ) -> Self:
        """Collect the evidence for one actor; predictions are None for an absent one.

        Args:
            decision: Which actors are present.
            actor_index: Of the actor in the taxonomy, from 0.
            predictions: Of its head.
            windows: As in the attributes.
            detected: Likewise.
            boxes: Of the frames that the head was given, shape (K, 4); NaN where there is none.
        """
        return cls(
            presence=round(float(decision.ratios[actor_index]), 4),
            gate=round(float(decision.gates[actor_index]), 4),
            present=bool(decision.present[actor_index]),
            margin=round(float(decision.margins[actor_index]), 4),
            frames=tuple(predictions.frame_index.tolist()) if predictions else (),
            windows=windows,
            detected=None if detected is None else round(detected, 4),
            boxes=() if boxes is None else tuple(map(_rounded_box, boxes)),
        )


@dataclass(frozen=True)
class TaggedLabel:
    """One label predicted for a clip.

    Attributes:
        label: For example `adult-walking`.
        id: The label's id in the taxonomy.
        score: Probability over all sampled frames, in [0, 1].
        segments: When the action happens: start and end of each segment, in seconds, in order.
    """

    label: str
    id: int
    score: float
    segments: tuple[tuple[float, float], ...] = ()


@dataclass(frozen=True)
class Timeline:
    """What one actor's head predicts over the clip, by sampled frame.

    Attributes:
        seconds: Time of each sampled frame.
        scores: Probability at each sampled frame, in [0, 1], by label.
    """

    seconds: tuple[float, ...]
    scores: Mapping[str, tuple[float, ...]]

    @classmethod
    def from_predictions(cls, predictions: "ActorPredictions", label_names: Sequence[str]) -> Self:
        """Collect the probabilities of one actor's head, rounded to three digits."""
        rows = np.round(predictions.probabilities.T.astype(float), 3).tolist()
        seconds = tuple(np.round(predictions.time_seconds, 3).tolist())
        return cls(seconds, {name: tuple(row) for name, row in zip(label_names, rows, strict=True)})


@dataclass(frozen=True)
class Looks:
    """How much of a clip the detector looked at, see `pipeline.until_sure`.

    Attributes:
        frames: Number of frames.
        error: The share of decisions that may differ from those of every frame, in (0, 1).
    """

    frames: int
    error: float


@dataclass(frozen=True)
class Weights:
    """SHA-256 of every file that determined a result.

    Attributes:
        detector: Of the detector's file.
        thresholds: Of the gate file.
        heads: Of each head's file, by actor.
    """

    detector: str
    thresholds: str
    heads: Mapping[str, str]


@dataclass(frozen=True)
class ClipResult:
    """One row of `results.jsonl`: what a clip shows, and why.

    Attributes:
        video: The path as given, or the address in a store, without secrets.
        path: The absolute path, or the address, which identifies the clip, see `absolute_path`.
        sha256: Of the file's contents; None if it could not be read.
        status: `ok`, `truncated` (the clip ends early; what could be decoded is tagged) or `error`.
        error: What went wrong, one line, or None.
        weights: What determined the result.
        frames: Number of frames decoded.
        fps: Average frames per second.
        duration_seconds: From the first frame's start to the last one's end.
        actors: Evidence by actor, for all actors of the taxonomy.
        labels: What the clip shows, highest score first.
        scores: Probability of every label of the heads that ran, in [0, 1].
        timeline: What each head predicts when, by present actor.
        timing: Seconds by stage, and whether the detections came from the cache.
        looks: At which frames the detector looked; None if at all, or if the row is an earlier version's.
        version: What the clip's store said of its contents; None if it said nothing, or for a clip of this machine.
    """

    video: str
    path: str = field(init=False)
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
    looks: Looks | None = None
    version: str | None = None

    def __post_init__(self) -> None:
        """Find the path that `video` stands for in the current folder."""
        object.__setattr__(self, "path", absolute_path(self.video))

    @property
    def nearest_miss(self) -> str | None:
        """The absent actor nearest to its gate, among those detected at all; None if there is none."""
        missed = {name: actor.margin for name, actor in self.actors.items() if not actor.present and actor.presence > 0}
        return max(missed, key=lambda name: missed[name]) if missed else None

    @property
    def unconfirmed(self) -> dict[str, float]:
        """The absent actors of which the detector drew boxes that were not confirmed: share of frames, most first."""
        shares = {
            name: actor.detected
            for name, actor in self.actors.items()
            if not actor.present and actor.detected and actor.detected > actor.presence
        }
        return dict(sorted(shares.items(), key=lambda item: -item[1]))

    def _repr_html_(self) -> str:
        """Return the result as notebooks show it."""
        from pipeline.pages.notebook import result_html

        return result_html(self)

    def to_dict(self) -> dict[str, Any]:
        """Return the row as it is written, in the documented order of keys."""
        row = asdict(self)
        for evidence in row["actors"].values():
            if evidence["interval"] is None:
                del evidence["interval"]
        optional = {key: row[key] for key in OPTIONAL_COLUMNS if row[key] is not None}
        return {"schema": SCHEMA, **{key: row[key] for key in COLUMNS}, **optional}

    @classmethod
    def from_dict(cls, row: Mapping[str, Any]) -> Self:
        """Parse a row that `to_dict` returned, or an earlier version's, which has no `path`.

        Raises:
            ValueError: If the row has another schema, or lacks a key.
        """
        if row.get("schema") != SCHEMA:
            raise ValueError(f"schema {row.get('schema')!r} was found, {SCHEMA} was expected")
        try:
            actors = {
                name: ActorEvidence(
                    **{
                        **evidence,
                        "frames": tuple(evidence["frames"]),
                        "windows": _spans(evidence.get("windows", ())),
                        "boxes": tuple(tuple(box) for box in evidence.get("boxes", ())),
                        "interval": tuple(evidence["interval"]) if evidence.get("interval") else None,
                    }
                )
                for name, evidence in row["actors"].items()
            }
            labels = tuple(TaggedLabel(**{**label, "segments": _spans(label["segments"])}) for label in row["labels"])
            timeline = {
                name: Timeline(tuple(part["seconds"]), {label: tuple(line) for label, line in part["scores"].items()})
                for name, part in row["timeline"].items()
            }
            parsed = ("schema", "path", "actors", "labels", "timeline", "weights", "looks")
            looks = Looks(**row["looks"]) if row.get("looks") else None
            rest = {key: value for key, value in row.items() if key not in parsed}
            weights = Weights(**row["weights"])
            result = cls(actors=actors, labels=labels, timeline=timeline, weights=weights, looks=looks, **rest)
            object.__setattr__(result, "path", recorded_path(result.video, row.get("path")) or result.path)
            return result
        except (KeyError, TypeError, AttributeError) as reason:
            raise ValueError(f"not a row of results: {reason}") from None


def absolute_path(video: str) -> str:
    """Return the path that identifies a clip, however it is spelled and from whatever folder.

    Links in the folders are followed, but not the file's own: two links to one file are two clips.

    Args:
        video: A path, relative to the current folder or absolute, or an address, which identifies its clip as it is.
    """
    if is_address(video) and not os.path.exists(video):  # noqa: PTH110 - as below
        return video
    parent, name = os.path.split(video.rstrip("/") or "/")
    if name in ("", ".", ".."):
        return os.path.realpath(video)
    return os.path.join(os.path.realpath(parent), name)  # noqa: PTH118 - ten times as fast, for a million clips


def recorded_path(video: str, path: str | None) -> str | None:
    """Return the `path` of a row; None if it has none, or that of another file, after `video` was edited by hand."""
    if path and path == video and is_address(path):
        return path
    if path and os.path.isabs(path):  # noqa: PTH117 - as above
        name = video.rstrip("/").rpartition("/")[2]
        if name in ("", ".", "..") or path.endswith("/" + name):
            return path
    return None


def _rounded_box(corners: NDArray[np.float32]) -> tuple[float, ...]:
    return tuple(round(float(corner), 1) for corner in corners) if np.isfinite(corners).all() else ()


def _spans(rows: Iterable[Sequence[float]]) -> tuple[tuple[float, float], ...]:
    return tuple((start, end) for start, end in rows)
