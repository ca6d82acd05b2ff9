"""Gate files: one gate per actor, with how it was found and for which detector; a YAML file that a person can read."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray

from a2d.metrics import Scores
from common.errors import GatesError
from common.files import check_keys, nearest, read_yaml, sha256_file, write_atomically
from thresholds.fitness import OBJECTIVES

PAPER_GATES_FILE = Path(__file__).with_name("paper.yaml")

HEADER = """\
# Gates: an actor is present in a video when the share of frames in which the detector sees it reaches its gate.
# Gates belong to the detector named here, at this image size and confidence. Written by tune_thresholds.py.
"""


@dataclass(frozen=True)
class DetectorIdentity:
    """What a presence ratio depends on, besides the video.

    Attributes:
        sha256: Of the weights, 64 hexadecimal digits; None when they are not known, which matches no detector.
        image_size: Long side in pixels of what the detector looks at.
        confidence: Least confidence of a box that counts, in [0, 1].
        name: For people.
    """

    sha256: str | None
    image_size: int
    confidence: float
    name: str = ""

    def __str__(self) -> str:
        digest = f"{self.sha256[:8]}…" if self.sha256 else "of unknown sha256"
        name = f"{self.name} {digest}" if self.name else digest
        return f"{name} at image size {self.image_size}, confidence {self.confidence:g}"

    def matches(self, other: "DetectorIdentity") -> bool:
        """Say whether both give the same ratios; the name does not count, and unknown weights match nothing."""
        return self.sha256 is not None and self._settings == other._settings

    def is_rebuilt(self, other: "DetectorIdentity") -> bool:
        """Say whether both bear one name, at the same settings, and only the bytes of the weights differ."""
        return (
            self.name == other.name != ""
            and None not in (self.sha256, other.sha256)
            and ((self.image_size, self.confidence) == (other.image_size, other.confidence))
        )

    @property
    def _settings(self) -> tuple[str | None, int, float]:
        return self.sha256, self.image_size, self.confidence


@dataclass(frozen=True, eq=False)
class Gates:
    """One gate per actor, and where they come from.

    Attributes:
        actors: Names, in the order of `values`.
        values: Least presence ratio at which the actor counts as present, in [0, 1], shape (actors,).
        objective: What was minimised, a name from `thresholds.fitness.OBJECTIVES`.
        optimizer: What minimised it.
        reached: Sample-averaged scores of the gates on the videos that they were tuned on.
        seed: Of the search; None when it is not known.
        bounds: Lowest and highest gate that the search was allowed.
        data: Which videos.
        split: Which part of them.
        clips: How many.
        detector: Whose presence ratios the gates were tuned on.
        sha256: Of the gate file; None until saved or loaded.
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

    def __post_init__(self) -> None:
        """Check the values and freeze a copy of them.

        Raises:
            GatesError: If there is not one gate per actor, an actor comes twice, or a gate is outside [0, 1].
        """
        values = np.array(self.values, dtype=np.float64)
        values.flags.writeable = False
        object.__setattr__(self, "values", values)
        if not self.actors or values.shape != (len(self.actors),) or len(set(self.actors)) < len(self.actors):
            raise GatesError(f"one gate per actor was expected, found {values.shape = } for actors {self.actors}")
        for actor, value in zip(self.actors, values, strict=True):
            if not 0.0 <= value <= 1.0:
                raise GatesError(f"the gate of {actor!r} should lie in [0, 1], it is {value:g}")

    def present(self, ratios: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Say which actors are present.

        Args:
            ratios: Presence ratios in the order of `actors`, shape (..., actors).

        Returns:
            True where `ratio >= gate`, same shape.
        """
        return np.asarray(ratios) >= self.values

    def in_order(self, actors: tuple[str, ...]) -> "Gates":
        """Give the same gates with the actors in another order.

        Args:
            actors: The same names as `self.actors`, in the order that is wanted.

        Returns:
            The gates in that order.
        """
        places = [self.actors.index(actor) for actor in actors]
        return replace(self, actors=actors, values=self.values[places])


def save_gates(gates: Gates, path: Path) -> Gates:
    """Write a gate file; the same gates always give the same bytes.

    Args:
        gates: What to write.
        path: Where; a file that is there is replaced in one step.

    Returns:
        The gates with the file's sha256.
    """
    content = {
        "gates": {actor: float(value) for actor, value in zip(gates.actors, gates.values, strict=True)},
        "objective": gates.objective,
        "optimizer": gates.optimizer,
        "seed": gates.seed,
        "bounds": [float(bound) for bound in gates.bounds],
        "reached": gates.reached.to_dict(),
        "tuned_on": {"data": gates.data, "split": gates.split, "clips": gates.clips},
        "detector": {
            "name": gates.detector.name,
            "sha256": gates.detector.sha256,
            "image_size": gates.detector.image_size,
            "confidence": gates.detector.confidence,
        },
    }
    write_atomically(path, HEADER + yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=120))
    return replace(gates, sha256=sha256_file(path))


def load_gates(path: Path = PAPER_GATES_FILE) -> Gates:
    """Read and check a gate file.

    Args:
        path: A file as `save_gates` writes it; the default holds the published gates.

    Returns:
        The gates, with the file's sha256.

    Raises:
        GatesError: If the file is unreadable, a key is missing or unknown, a value is of the wrong kind, or a gate is
            outside [0, 1]. The message is one line that names the file, the key and what was allowed.

    >>> load_gates().values.tolist()
    [0.1, 0.107, 0.1, 0.1, 0.161, 0.267]
    """
    content = _Section(read_yaml(path, GatesError), str(path))
    content.check("gates", "objective", "optimizer", "seed", "bounds", "reached", "tuned_on", "detector")
    gates = content.section("gates")
    tuned_on = content.section("tuned_on").check("data", "split", "clips")
    objective = content.text("objective")
    if objective not in OBJECTIVES:
        raise GatesError(f"{path}: unknown objective {objective!r}; {nearest(objective, OBJECTIVES)}")
    return Gates(
        actors=gates.names(),
        values=np.array([gates.fraction(actor) for actor in gates.names()]),
        objective=objective,
        optimizer=content.text("optimizer"),
        reached=_read_scores(content.section("reached")),
        seed=None if content.is_null("seed") else content.whole("seed"),
        bounds=content.fraction_pair("bounds"),
        data=tuned_on.text("data"),
        split=tuned_on.text("split"),
        clips=tuned_on.whole("clips"),
        detector=_read_detector(content.section("detector")),
        sha256=sha256_file(path),
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
    """Check that gates are for these actors and this detector, and bring them into the actors' order.

    Args:
        gates: What was loaded.
        actor_names: The taxonomy's actors, in gate order.
        detector: The detector of this run.
        where: The gate file, for the message.
        force: Take gates made for another detector; never those of other actors.
        published: The detector's name stands for one published network, so that gates that name it are for the same
            one although its file was rebuilt; they are taken with a warning.

    Returns:
        The gates in the order of `actor_names`.

    Raises:
        GatesError: If the actors differ, or the detector does and `force` is not set; one line that names both sides.
    """
    if set(gates.actors) != set(actor_names):
        raise GatesError(
            f"{where}: made for the actors {', '.join(gates.actors)}; this taxonomy has "
            f"{', '.join(actor_names)}: tune gates for it with tune_thresholds.py --taxonomy"
        )
    if force or gates.detector.matches(detector):
        return gates.in_order(tuple(actor_names))
    if not (published and gates.detector.is_rebuilt(detector)):
        raise GatesError(
            f"{where}: made for detector {gates.detector}; this run uses {detector}: "
            "tune gates for it with tune_thresholds.py, or pass --force"
        )
    logging.getLogger(__name__).warning(
        "%s: tuned with another build of %s (%.8s…, this one is %.8s…); tune_thresholds.py makes gates for this one",
        *(where, detector.name, gates.detector.sha256, detector.sha256),
    )
    return gates.in_order(tuple(actor_names))


@dataclass(frozen=True)
class _Section:
    """A mapping of a gate file, whose values are read by kind; each error says where and what was expected."""

    content: Mapping[str, Any]
    where: str

    def check(self, *keys: str) -> "_Section":
        check_keys(self.content, self.where, GatesError, keys)
        return self

    def section(self, key: str) -> "_Section":
        value = self.content[key]
        if not isinstance(value, dict) or not value:
            raise self._error(key, "a mapping")
        return _Section(value, f"{self.where}: {key}")

    def names(self) -> tuple[str, ...]:
        for key in self.content:
            if not isinstance(key, str):
                raise GatesError(f"{self.where}: names were expected as keys, found {key!r}")
        return tuple(self.content)

    def is_null(self, key: str) -> bool:
        return self.content[key] is None

    def text(self, key: str) -> str:
        if not isinstance(self.content[key], str):
            raise self._error(key, "text")
        return str(self.content[key])

    def whole(self, key: str) -> int:
        value = self.content[key]
        if not isinstance(value, int) or isinstance(value, bool) or value < 0:
            raise self._error(key, "a whole number from 0")
        return value

    def fraction(self, key: str) -> float:
        if not _is_fraction(self.content[key]):
            raise self._error(key, "a fraction in [0, 1]")
        return float(self.content[key])

    def fraction_pair(self, key: str) -> tuple[float, float]:
        value = self.content[key]
        if not isinstance(value, list) or len(value) != 2 or not all(map(_is_fraction, value)) or value[0] > value[1]:
            raise self._error(key, "a list of two fractions in [0, 1], the lower first,")
        return float(value[0]), float(value[1])

    def sha256(self, key: str) -> str | None:
        value = self.content[key]
        if value is None:
            return None
        if not isinstance(value, str) or len(value) != 64 or not set(value) <= set("0123456789abcdef"):
            raise self._error(key, "null or 64 lower-case hexadecimal digits")
        return value

    def _error(self, key: str, expected: str) -> GatesError:
        return GatesError(f"{self.where}: {key}: {expected} was expected, found {self.content[key]!r}")


def _is_fraction(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0.0 <= value <= 1.0


def _read_scores(section: _Section) -> Scores:
    section.check("precision", "recall", "f1")
    return Scores(section.fraction("precision"), section.fraction("recall"), section.fraction("f1"))


def _read_detector(section: _Section) -> DetectorIdentity:
    section.check("name", "sha256", "image_size", "confidence")
    return DetectorIdentity(
        sha256=section.sha256("sha256"),
        image_size=section.whole("image_size"),
        confidence=section.fraction("confidence"),
        name=section.text("name"),
    )
