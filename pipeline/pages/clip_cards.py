"""What a report says about each clip: every verdict with its reason, in numbers and words."""

import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from urllib.parse import quote

from a2d.taxonomy import Actor, Taxonomy
from common.remote_files import is_address
from pipeline.pages.filmstrip import Filmstrip
from pipeline.results import ActorEvidence, ClipResult


@dataclass(frozen=True)
class Span:
    """A part of a clip.

    Attributes:
        start: In seconds.
        end: Likewise.
        left: Start as a share of the clip's length, in [0, 1].
        width: Length as a share of the clip's, in [0, 1].
    """

    start: float
    end: float
    left: float
    width: float

    @classmethod
    def of(cls, start: float, end: float, duration: float) -> "Span":
        """Place a part in a clip of a duration, all in seconds."""
        length = max(duration, end, 1e-6)
        return cls(start, end, start / length, max(end - start, 0.0) / length)


@dataclass(frozen=True)
class LabelRow:
    """A label that a clip was given.

    Attributes:
        name: For example `adult-walking`.
        actor_index: Index in the taxonomy of the actor whose head says it, from 0.
        score: In [0, 1].
        spans: When the action happens.
    """

    name: str
    actor_index: int
    score: float
    spans: tuple[Span, ...]


@dataclass(frozen=True)
class ActorRow:
    """The verdict on one actor.

    Attributes:
        name: The actor's.
        index: Of the actor in the taxonomy, from 0; chooses its colour.
        present: Whether it passed its gate.
        is_detected: Whether the detector drew any box of it.
        presence: Share of the frames that show it, in [0, 1].
        gate: Share from which it is present, in [0, 1].
        reason: The verdict in words.
        next_action: The action that came after those that were said, or, if the actor is absent, an empty string.
        spans: The windows of a long clip in which it is present.
    """

    name: str
    index: int
    present: bool
    is_detected: bool
    presence: float
    gate: float
    reason: str
    next_action: str
    spans: tuple[Span, ...]


@dataclass(frozen=True)
class ClipCard:
    """What a report shows of one clip.

    Attributes:
        result: Of the clip.
        taxonomy: Actors and labels.
        href: URL of the clip, relative to the report's folder.
        strip: Its filmstrip.
        label_threshold: Score from which an action is said, in [0, 1].
    """

    result: ClipResult
    taxonomy: Taxonomy = field(repr=False)
    href: str
    strip: Filmstrip = field(repr=False)
    label_threshold: float

    @property
    def name(self) -> str:
        """The clip's path as it was given."""
        return self.result.video

    @property
    def is_playable(self) -> bool:
        """Whether a browser might play it: it is a file on this machine, not a folder of frames."""
        path = self.result.path
        return self.result.status != "error" and not is_address(path) and not Path(path).is_dir()

    @cached_property
    def labels(self) -> list[LabelRow]:
        """What the clip shows, the highest score first."""
        duration = self.result.duration_seconds
        return [
            LabelRow(
                label.label,
                self._actor_index(label.label),
                label.score,
                tuple(Span.of(*span, duration) for span in label.segments),
            )
            for label in self.result.labels
        ]

    def _actor_index(self, label: str) -> int:
        return self.taxonomy.actor(self.taxonomy.label(label).actor).index

    @cached_property
    def actors(self) -> list[ActorRow]:
        """The verdict on every actor, in the taxonomy's order."""
        return [
            self._actor_row(actor, self.result.actors[actor.name])
            for actor in self.taxonomy.actors
            if actor.name in self.result.actors
        ]

    @property
    def seen_actors(self) -> list[ActorRow]:
        """Those of the actors that were detected at all, or are present by a gate of 0."""
        return [row for row in self.actors if row.present or row.is_detected]

    @property
    def unseen_actors(self) -> list[ActorRow]:
        """The others."""
        return [row for row in self.actors if not (row.present or row.is_detected)]

    @property
    def folder(self) -> str:
        """What stands before the clip's name in its path."""
        return self.name[: len(self.name) - len(self.file)]

    @property
    def file(self) -> str:
        """The clip's name without its folder."""
        return self.name.rstrip("/").rpartition("/")[2] or self.name

    @property
    def present_actors(self) -> list[str]:
        """Names of the actors that are present: by their gates, or of the labels, if there are no gates."""
        if self.actors:
            return [actor.name for actor in self.actors if actor.present]
        said = {label.actor_index for label in self.labels}
        return [actor.name for actor in self.taxonomy.actors if actor.index in said]

    @property
    def margin(self) -> float:
        """Distance of the actor that is nearest to its gate, among those detected at all; 1 if there is none."""
        margins = [abs(actor.presence - actor.gate) for actor in self.actors if actor.presence > 0]
        return min(margins, default=1.0)

    @property
    def score(self) -> float:
        """Lowest score of a label that was said, in [0, 1]: how uncertain the answer is; 1 if none was."""
        return min((label.score for label in self.labels), default=1.0)

    @property
    def other_scores(self) -> list[tuple[str, float]]:
        """The labels that were scored and not said, the highest score first."""
        said = {label.name for label in self.labels}
        others = [(name, score) for name, score in self.result.scores.items() if name not in said]
        return sorted(others, key=lambda item: -item[1])

    def _actor_row(self, actor: Actor, evidence: ActorEvidence) -> ActorRow:
        duration = self.result.duration_seconds
        return ActorRow(
            actor.name,
            actor.index,
            evidence.present,
            bool(evidence.presence or evidence.detected),
            evidence.presence,
            evidence.gate,
            explain(actor.name, evidence),
            self._next_action(actor) if evidence.present else "",
            tuple(Span.of(*span, duration) for span in evidence.windows),
        )

    def _next_action(self, actor: Actor) -> str:
        """Name which of an actor's actions came next, and why it was not said."""
        others = [(name, score) for name, score in self.other_scores if name in actor.label_names]
        if not others:
            return ""
        name, score = others[0]
        return f"next: {name} {score:.2f}, below {self.label_threshold:.2f}"


def explain(name: str, evidence: ActorEvidence) -> str:
    """Explain in words why an actor counts as present or not.

    >>> explain("cat", ActorEvidence(presence=0.009, gate=0.018, present=False, margin=-0.009))
    'in 0.9 % of the frames, 0.9 points below the gate of 1.8 %'
    """
    where = "the frames of the window that shows it most" if evidence.windows else "the frames"
    seen, gate = _percent(evidence.presence), _percent(evidence.gate)
    points = f"{100 * abs(evidence.margin):.1f} points"
    if evidence.present:
        return f"in {seen} of {where}, {points} above the gate of {gate}"
    if evidence.detected and evidence.detected > evidence.presence:
        boxes = f"boxes in {_percent(evidence.detected)} of the frames"
        kept = f", confirmed in {seen}" if evidence.presence else ", none confirmed"
        return f"{boxes}{kept}: a closer look did not find a {name}; gate {gate}"
    if not evidence.presence:
        return f"never detected; gate {gate}"
    return f"in {seen} of {where}, {points} below the gate of {gate}"


def link_to(clip: str, folder: Path) -> str:
    """Return the URL of a clip relative to a folder, so that both can be moved together.

    >>> link_to("/videos/a b#1.mp4", Path("/videos/out"))
    '../a%20b%231.mp4'
    """
    if is_address(clip):
        return clip
    try:
        relative = os.path.relpath(clip, folder)
    except ValueError:  # on another drive
        return Path(clip).as_uri()
    return quote(os.fsencode(relative.replace(os.sep, "/")))


def count_labels(cards: Sequence[ClipCard]) -> list[tuple[str, int, int]]:
    """Count in how many clips each label was said.

    Returns:
        Name, index of the actor in the taxonomy, and number of clips; the most frequent first.
    """
    counts = Counter((label.name, label.actor_index) for card in cards for label in card.labels)
    return sorted(((*label, count) for label, count in counts.items()), key=lambda row: (-row[2], row[0]))


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"
