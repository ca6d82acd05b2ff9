"""The taxonomy: which actors there are, what the detector calls them, what each can do, and every label's id and place.

Everything that knows an actor or an action asks a `Taxonomy`. The default is A2D's label set (`taxonomy.yaml`: seven
kinds of actor, nine actions, 43 valid pairs; Xu et al., "Can Humans Fly?", CVPR 2015).
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from common.errors import TaxonomyError
from common.files import check_keys, nearest, read_yaml

A2D_TAXONOMY_FILE = Path(__file__).with_name("taxonomy.yaml")


@dataclass(frozen=True)
class Label:
    """One valid pair of a kind of actor and an action.

    Attributes:
        name: `<kind>-<action>`, for example `adult-walking`.
        id: A2D's number, 10 * kind + action.
        index: Place in every label vector, from 0.
        kind: The kind of actor, for example `adult`.
        action: The action, for example `walking`.
        actor: The actor whose head owns the label, for example `person`.
    """

    name: str
    id: int
    index: int
    kind: str
    action: str
    actor: str


@dataclass(frozen=True)
class Actor:
    """Something the detector can find. It has one gate and one action head.

    Attributes:
        name: For example `person`.
        index: Place in every actor vector, from 0.
        detector_classes: The detector's class names that count as this actor.
        labels: The labels that its head tells apart, in the head's output order.
        borrows_from: Actors that move as this one does, whose clips teach its head too.
    """

    name: str
    index: int
    detector_classes: tuple[str, ...]
    labels: tuple[Label, ...]
    borrows_from: tuple[str, ...] = ()

    @property
    def label_names(self) -> tuple[str, ...]:
        """Names of the labels that the actor's head tells apart, in output order."""
        return tuple(label.name for label in self.labels)

    @property
    def label_indices(self) -> NDArray[np.intp]:
        """Places of those labels in a label vector, shape (outputs,), from 0."""
        return np.array([label.index for label in self.labels], dtype=np.intp)


@dataclass(frozen=True)
class Taxonomy:
    """Actors, labels and how they hang together; made by `load_taxonomy`, never by hand.

    Attributes:
        name: The taxonomy's own name.
        actors: In gate order.
        labels: In the order of every label vector.
    """

    name: str
    actors: tuple[Actor, ...]
    labels: tuple[Label, ...]
    _actor_by_name: dict[str, Actor] = field(init=False, repr=False, compare=False)
    _label_by_name: dict[str, Label] = field(init=False, repr=False, compare=False)
    _label_by_id: dict[int, Label] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Build the look-ups."""
        object.__setattr__(self, "_actor_by_name", {actor.name: actor for actor in self.actors})
        object.__setattr__(self, "_label_by_name", {label.name: label for label in self.labels})
        object.__setattr__(self, "_label_by_id", {label.id: label for label in self.labels})

    @property
    def actor_names(self) -> tuple[str, ...]:
        """Names of the actors, in gate order."""
        return tuple(self._actor_by_name)

    @property
    def label_names(self) -> tuple[str, ...]:
        """Names of all labels, in vector order."""
        return tuple(self._label_by_name)

    def actor(self, name: str) -> Actor:
        """Find an actor by its name.

        Raises:
            TaxonomyError: If there is none, naming those that there are.
        """
        if name not in self._actor_by_name:
            raise TaxonomyError(f"unknown actor {name!r}; {nearest(name, self._actor_by_name)}")
        return self._actor_by_name[name]

    def label(self, name: str) -> Label:
        """Find a label by its name.

        Raises:
            TaxonomyError: If there is none, naming the nearest.
        """
        if name not in self._label_by_name:
            raise TaxonomyError(f"unknown label {name!r}; {nearest(name, self._label_by_name)}")
        return self._label_by_name[name]

    def label_from_id(self, label_id: int) -> Label:
        """Find a label by its id.

        Raises:
            TaxonomyError: If no valid pair has that id.
        """
        if label_id not in self._label_by_id:
            raise TaxonomyError(f"unknown label id {label_id}; {nearest(label_id, map(str, self._label_by_id))}")
        return self._label_by_id[label_id]

    def encode(self, names: Iterable[str]) -> NDArray[np.bool_]:
        """Turn label names into a row of 0 and 1.

        Returns:
            Shape (labels,), True where the label is named.

        Raises:
            TaxonomyError: If a name is no label.
        """
        row = np.zeros(len(self.labels), dtype=bool)
        for name in names:
            row[self.label(name).index] = True
        return row

    def decode(self, row: NDArray[np.bool_]) -> tuple[str, ...]:
        """Turn a row (labels,) of 0 and 1 into label names, in vector order."""
        return tuple(label.name for label in self.labels if row[label.index])

    def actors_of(self, rows: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Say which actors the labels of each row imply.

        Args:
            rows: Shape (..., labels).

        Returns:
            Shape (..., actors), True where any label of the actor is.
        """
        return np.stack([rows[..., actor.label_indices].any(axis=-1) for actor in self.actors], axis=-1)

    def match_detector_classes(self, class_names: Mapping[int, str]) -> dict[int, int]:
        """Map a detector's class numbers onto actors, by name.

        Args:
            class_names: The detector's names by class number.

        Returns:
            Actor index (from 0) by class number, for the classes that feed an actor.

        Raises:
            TaxonomyError: If the detector lacks a class that the taxonomy names.
        """
        number_by_name = {name: number for number, name in class_names.items()}
        mapping = {}
        for actor in self.actors:
            for class_name in actor.detector_classes:
                if class_name not in number_by_name:
                    raise TaxonomyError(
                        f"taxonomy {self.name!r}: actor {actor.name!r} wants the detector class {class_name!r}, "
                        f"which this detector does not know; {nearest(class_name, number_by_name)}"
                    )
                mapping[number_by_name[class_name]] = actor.index
        return mapping


def load_taxonomy(path: Path = A2D_TAXONOMY_FILE) -> Taxonomy:
    """Read and check a taxonomy file.

    Args:
        path: A YAML file laid out as `a2d/taxonomy.yaml`, the default.

    Returns:
        The taxonomy.

    Raises:
        TaxonomyError: If the file is unreadable, an id is used twice, an action or a detector class has no owner or two
            owners, an actor borrows from itself or from one that is not there, or a key is missing or unknown.

    >>> taxonomy = load_taxonomy()
    >>> len(taxonomy.labels), taxonomy.label("adult-walking").id, [len(actor.labels) for actor in taxonomy.actors]
    (43, 18, [13, 4, 7, 5, 7, 7])
    """
    content = check_keys(read_yaml(path, TaxonomyError), str(path), TaxonomyError, ["name", "actions", "actors"])
    action_ids = _ids(content["actions"], f"{path}: actions")
    if not isinstance(content["actors"], Mapping) or not content["actors"]:
        raise TaxonomyError(f"{path}: actors: at least one actor was expected")
    actors: list[Actor] = []
    labels: list[Label] = []
    for name, entry in content["actors"].items():
        where = f"{path}: actor {name!r}"
        check_keys(entry, where, TaxonomyError, ["detector_classes", "kinds"], ["borrows_from"])
        own = _read_labels(str(name), entry["kinds"], action_ids, where, first_index=len(labels))
        labels += own
        classes = _names(entry["detector_classes"], f"{where}: detector_classes")
        lenders = _read_lenders(str(name), entry, content["actors"], where)
        actors.append(Actor(str(name), len(actors), classes, tuple(own), lenders))
    kind_ids = [(entry["id"], kind) for actor in content["actors"].values() for kind, entry in actor["kinds"].items()]
    _check_unique(path, "kind id", kind_ids)
    _check_unique(path, "label id", [(label.id, label.name) for label in labels])
    _check_unique(path, "label", [(label.name, label.actor) for label in labels])
    _check_unique(path, "detector class", [(cls, actor.name) for actor in actors for cls in actor.detector_classes])
    for action in action_ids:
        if action not in {label.action for label in labels}:
            raise TaxonomyError(f"{path}: no actor owns the action {action!r}: give it to a kind, or take it out")
    return Taxonomy(str(content["name"]), tuple(actors), tuple(labels))


def _read_labels(actor: str, kinds: object, action_ids: dict[str, int], where: str, first_index: int) -> list[Label]:
    """Read the labels of one actor, in file order; the first gets the given place in the label vector."""
    if not isinstance(kinds, Mapping) or not kinds:
        raise TaxonomyError(f"{where}: at least one kind was expected, found {kinds!r}")
    labels: list[Label] = []
    for kind, entry in kinds.items():
        here = f"{where}: kind {kind!r}"
        check_keys(entry, here, TaxonomyError, ["id", "actions"])
        kind_id = _ids({kind: entry["id"]}, here)[str(kind)]
        for action in _names(entry["actions"], f"{here}: actions"):
            if action not in action_ids:
                raise TaxonomyError(f"{here}: unknown action {action!r}; {nearest(action, action_ids)}")
            index = first_index + len(labels)
            labels.append(Label(f"{kind}-{action}", 10 * kind_id + action_ids[action], index, str(kind), action, actor))
    return labels


def _read_lenders(name: str, entry: Mapping[str, Any], actors: Mapping[str, Any], where: str) -> tuple[str, ...]:
    """Read whom an actor borrows from: nobody where the key is absent."""
    if "borrows_from" not in entry:
        return ()
    lenders = _names(entry["borrows_from"], f"{where}: borrows_from")
    for lender in lenders:
        if lender == name or lender not in actors:
            others = [other for other in actors if other != name]
            raise TaxonomyError(f"{where}: borrows_from: {lender!r} is no other actor; {nearest(lender, others)}")
    return lenders


def _names(value: Any, where: str) -> tuple[str, ...]:
    if not isinstance(value, list) or not value or not all(isinstance(name, str) for name in value):
        raise TaxonomyError(f"{where}: a list of names was expected, found {value!r}")
    return tuple(value)


def _ids(value: Any, where: str) -> dict[str, int]:
    if not isinstance(value, Mapping) or not all(type(number) is int and number > 0 for number in value.values()):
        raise TaxonomyError(f"{where}: whole numbers from 1 by name were expected, found {value!r}")
    ids = {str(name): number for name, number in value.items()}
    _check_unique(Path(where.split(":")[0]), "action id", [(number, name) for name, number in ids.items()])
    return ids


def _check_unique(path: Path, what: str, pairs: Iterable[tuple[object, str]]) -> None:
    owners: dict[object, str] = {}
    for key, owner in pairs:
        if key in owners:
            raise TaxonomyError(f"{path}: {what} {key!r} is used twice: by {owners[key]!r} and by {owner!r}")
        owners[key] = owner
