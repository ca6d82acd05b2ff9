"""Gates (presence thresholds of the actors), and YAML files that record how and for which detector they were tuned."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from a2d.metrics import Scores
from common.errors import GatesError
from common.files import nearest, read_yaml, sha256_file, write_atomically
from thresholds.fitness import OBJECTIVES
from thresholds.gate_content import HEADER, file_content, format_section
from thresholds.yaml_section import YamlSection

PAPER_GATES_FILE = Path(__file__).with_name("paper.yaml")


@dataclass(frozen=True)
class DetectorIdentity:
    """What presence ratios depend on besides the video.

    Attributes:
        sha256: SHA-256 of the weights, 64 hexadecimal digits; None if unknown, which matches no detector.
        image_size: Long side of the detector's input in pixels.
        confidence: Minimum confidence of a box that counts, in [0, 1].
        name: Name for display.
        confirmation: SHA-256 of the layers that confirm its boxes, see `action_heads.confirmation`; None if none do.
    """

    sha256: str | None
    image_size: int
    confidence: float
    name: str = ""
    confirmation: str | None = None

    def __str__(self) -> str:
        digest = f"{self.sha256[:8]}…" if self.sha256 else "of unknown sha256"
        name = f"{self.name} {digest}" if self.name else digest
        confirmed = f", boxes confirmed by {self.confirmation[:8]}…" if self.confirmation else ""
        return f"{name} at image size {self.image_size}, confidence {self.confidence:g}{confirmed}"

    def matches(self, other: "DetectorIdentity") -> bool:
        """Return whether both yield the same ratios; names are ignored, and unknown weights match nothing."""
        return self.sha256 is not None and self._settings == other._settings

    def is_rebuild_of(self, other: "DetectorIdentity") -> bool:
        """Return whether both have the same name and settings, so that only the bytes of the weights may differ."""
        return (
            self.name == other.name != ""
            and None not in (self.sha256, other.sha256)
            and self._settings[1:] == other._settings[1:]
        )

    @property
    def _settings(self) -> tuple[str | None, int, float, str | None]:
        return self.sha256, self.image_size, self.confidence, self.confirmation


@dataclass(frozen=True, eq=False)
class PresenceDecision:
    """Which actors are present in a video.

    Attributes:
        ratios: Presence ratios in [0, 1], shape (A,).
        gates: Gates in [0, 1], shape (A,).
        present: True where the ratio reaches the gate, shape (A,).
    """

    ratios: NDArray[np.float64]
    gates: NDArray[np.float64]
    present: NDArray[np.bool_]

    @property
    def margins(self) -> NDArray[np.float64]:
        """Presence ratio minus gate of each actor, shape (A,)."""
        return self.ratios - self.gates


@dataclass(frozen=True)
class KeptGates:
    """The gates of a file that were not tuned on its data, but taken from elsewhere.

    Attributes:
        source: Name of the gate file that they were taken from.
        sha256: Of that file; None if there was none.
        reasons: Why each was kept, by actor.
    """

    source: str
    sha256: str | None
    reasons: Mapping[str, str]


@dataclass(frozen=True, eq=False)
class Gates:
    """One gate per actor, and how they were tuned.

    Attributes:
        actors: Names of the actors, in the order of `values`.
        values: Minimum presence ratio at which the actor counts as present, in [0, 1], shape (actors,).
        objective: The objective that was minimised, a name from `thresholds.fitness.OBJECTIVES`.
        optimizer: The optimizer, for example one of `thresholds.tuning.OPTIMIZERS`.
        reached: Sample-averaged scores of the gates on the videos that they were tuned on.
        seed: Seed of the search; None if unknown.
        bounds: Lowest and highest gate allowed in the search.
        data: Name of the data set that they were tuned on.
        split: The split that they were tuned on.
        clips: Number of clips in the split.
        detector: The detector whose presence ratios they were tuned on.
        sha256: SHA-256 of the gate file; None until saved or loaded.
        skipped: Number of clips of the split that could not be used.
        clips_showing: Number of those clips that show each actor, by actor; empty if unknown.
        kept: The gates that were not tuned, because the clips do not determine them; None if all were.
        method: How much the clips were believed, a name from `thresholds.stable.METHODS`; empty if unknown.
        out_of_fold: Sample-averaged scores of this method on videos of sources that it was not given; None if unknown.
        sources: Number of sources of the videos; 0 if unknown.
    """

    actors: tuple[str, ...]
    values: NDArray[np.float64]
    objective: str
    optimizer: str
    reached: Scores
    seed: int | None
    bounds: tuple[float, float]
    data: str
    split: str
    clips: int
    detector: DetectorIdentity
    sha256: str | None = None
    skipped: int = 0
    clips_showing: Mapping[str, int] = field(default_factory=dict)
    kept: KeptGates | None = None
    method: str = ""
    out_of_fold: Scores | None = None
    sources: int = 0

    def __post_init__(self) -> None:
        """Check the values and freeze a copy of them.

        Raises:
            GatesError: If there is not exactly one gate per actor, or a gate is outside [0, 1].
        """
        values = np.array(self.values, dtype=np.float64)
        values.flags.writeable = False
        object.__setattr__(self, "values", values)
        if not self.actors or values.shape != (len(self.actors),) or len(set(self.actors)) < len(self.actors):
            raise GatesError(f"one gate per actor was expected, found {values.shape = } for actors {self.actors}")
        for actor, value in zip(self.actors, values, strict=True):
            if not 0.0 <= value <= 1.0:
                raise GatesError(f"the gate of {actor!r} must be in [0, 1], it is {value:g}")

    def present(self, ratios: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Return which actors are present.

        Args:
            ratios: Presence ratios in the order of `actors`, shape (..., actors).

        Returns:
            True where `ratio >= gate`, same shape.
        """
        return np.asarray(ratios) >= self.values

    def decide(self, ratios: NDArray[np.float64]) -> PresenceDecision:
        """Decide which actors are present in a video.

        Args:
            ratios: Presence ratios in the order of `actors`, shape (actors,).
        """
        return PresenceDecision(ratios, self.values, self.present(ratios))

    def in_order(self, actors: tuple[str, ...]) -> "Gates":
        """Return the same gates with the actors in another order.

        Args:
            actors: The same names as `self.actors`, in the new order.
        """
        indices = [self.actors.index(actor) for actor in actors]
        return replace(self, actors=actors, values=self.values[indices])


def save_gates(gates: Gates, path: Path) -> Gates:
    """Write a gate file; equal gates always give the same bytes.

    Args:
        gates: The gates.
        path: The file to write; an existing file is replaced atomically.

    Returns:
        The gates with the SHA-256 of the file.
    """
    write_atomically(path, HEADER + format_section(file_content(gates)))
    return replace(gates, sha256=sha256_file(path))


def load_gates(path: Path = PAPER_GATES_FILE) -> Gates:
    """Read and check a gate file.

    Args:
        path: A file written by `save_gates`; by default, the published gates.

    Returns:
        The gates with the SHA-256 of the file.

    Raises:
        GatesError: If the file is unreadable, a key is missing or unknown, a value has the wrong type, or a gate is
            outside [0, 1]. The message is one line that names the file, the key and what is allowed.

    >>> load_gates().values.tolist()
    [0.1, 0.107, 0.1, 0.1, 0.161, 0.267]
    """
    content = YamlSection(read_yaml(path, GatesError), str(path))
    content.check(
        *("gates", "objective", "optimizer", "seed", "bounds", "reached", "tuned_on", "detector"),
        optional=("clips_showing", "kept", "method", "out_of_fold"),
    )
    gates = content.section("gates")
    tuned_on = content.section("tuned_on").check("data", "split", "clips", optional=("skipped", "sources"))
    counts = content.section("clips_showing") if content.has("clips_showing") else None
    objective = content.text("objective")
    if objective not in OBJECTIVES:
        raise GatesError(f"{path}: unknown objective {objective!r}; {nearest(objective, OBJECTIVES)}")
    return Gates(
        actors=gates.names(),
        values=np.array([gates.fraction(actor) for actor in gates.names()]),
        objective=objective,
        optimizer=content.text("optimizer"),
        reached=_read_scores(content.section("reached")),
        seed=None if content.is_null("seed") else content.integer("seed"),
        bounds=content.fraction_pair("bounds"),
        data=tuned_on.text("data"),
        split=tuned_on.text("split"),
        clips=tuned_on.integer("clips"),
        detector=_read_detector(content.section("detector")),
        sha256=sha256_file(path),
        skipped=tuned_on.integer("skipped") if tuned_on.has("skipped") else 0,
        clips_showing={actor: counts.integer(actor) for actor in counts.names()} if counts else {},
        kept=_read_kept(content.section("kept")) if content.has("kept") else None,
        method=content.text("method") if content.has("method") else "",
        out_of_fold=_read_scores(content.section("out_of_fold")) if content.has("out_of_fold") else None,
        sources=tuned_on.integer("sources") if tuned_on.has("sources") else 0,
    )


def check_gates(
    gates: Gates,
    actor_names: tuple[str, ...],
    detector: DetectorIdentity,
    where: str,
    *,
    force: bool = False,
    published: bool = False,
) -> Gates:
    """Check that gates were tuned for these actors and this detector, and reorder them to match the actors.

    Args:
        gates: The gates.
        actor_names: The taxonomy's actors, in gate order.
        detector: The detector of this run.
        where: The gate file, for the message.
        force: Whether to accept gates for another detector; gates for other actors are never accepted.
        published: Whether the detector's name identifies one published network. Gates that name it are then accepted
            with a warning even if the bytes of its weights differ.

    Returns:
        The gates in the order of `actor_names`.

    Raises:
        GatesError: If the actors differ, or the detector differs and `force` is not set; one line that names both.
    """
    if set(gates.actors) != set(actor_names):
        raise GatesError(
            f"{where}: made for the actors {', '.join(gates.actors)}; this taxonomy has "
            f"{', '.join(actor_names)}: tune gates for it with tune-thresholds --taxonomy"
        )
    if force or gates.detector.matches(detector):
        return gates.in_order(tuple(actor_names))
    if not (published and gates.detector.is_rebuild_of(detector)):
        raise GatesError(
            f"{where}: made for detector {gates.detector}; this run uses {detector}: "
            "tune gates for it with tune-thresholds, or pass --force"
        )
    logging.getLogger(__name__).warning(
        "%s: tuned with another build of %s (%.8s…, this one is %.8s…); tune-thresholds tunes gates for this one",
        *(where, detector.name, gates.detector.sha256, detector.sha256),
    )
    return gates.in_order(tuple(actor_names))


def _read_scores(section: YamlSection) -> Scores:
    section.check("precision", "recall", "f1")
    return Scores(section.fraction("precision"), section.fraction("recall"), section.fraction("f1"))


def _read_kept(section: YamlSection) -> KeptGates:
    section.check("from", "sha256", "reasons")
    reasons = section.section("reasons")
    return KeptGates(
        section.text("from"), section.sha256("sha256"), {name: reasons.text(name) for name in reasons.names()}
    )


def _read_detector(section: YamlSection) -> DetectorIdentity:
    section.check("name", "sha256", "image_size", "confidence", optional=("confirmation",))
    return DetectorIdentity(
        sha256=section.sha256("sha256"),
        image_size=section.integer("image_size"),
        confidence=section.fraction("confidence"),
        name=section.text("name"),
        confirmation=section.sha256("confirmation") if section.has("confirmation") else None,
    )
