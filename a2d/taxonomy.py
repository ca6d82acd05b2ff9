"""The taxonomy: actors with their detector classes and actions, and the id and index of every label.

All other code obtains actors and actions from a `Taxonomy`. The default is A2D's label set (`taxonomy.yaml`: seven
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
from common.paths import A2D_TAXONOMY_FILE


@dataclass(frozen=True)
class Label:
    """One valid pair of a kind of actor and an action.

    Attributes:
        name: `<kind>-<action>`, for example `adult-walking`.
        id: A2D's label id, 10 * kind + action.
        index: Index in every label vector, from 0.
        kind: The kind of actor, for example `adult`.
        action: The action, for example `walking`.
        actor: The actor whose head predicts the label, for example `person`.
    """

    name: str
    id: int
    index: int
    kind: str
    action: str
    actor: str


@dataclass(frozen=True)
class Actor:
    """An actor that the detector can find, with one gate and one action head.

    Attributes:
        name: For example `person`.
        index: Index in every actor vector, from 0.
        detector_classes: Names of the detector's classes that count as this actor.
        labels: Labels that its head predicts, in the order of the head's outputs.
        auxiliary_actors: Actors that move like this one, whose clips are auxiliary training data for its head.
    """

    name: str
    index: int
    detector_classes: tuple[str, ...]
    labels: tuple[Label, ...]
    auxiliary_actors: tuple[str, ...] = ()

    @property
    def label_names(self) -> tuple[str, ...]:
        """Names of the labels that the actor's head predicts, in output order."""
        return tuple(label.name for label in self.labels)

    @property
    def label_indices(self) -> NDArray[np.intp]:
        """Indices of those labels in a label vector, shape (outputs,), from 0."""
        return np.array([label.index for label in self.labels], dtype=np.intp)


@dataclass(frozen=True)
class Taxonomy:
    """Actors and labels, and the relations between them; created by `load_taxonomy`.

    Attributes:
        name: Name of the taxonomy.
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
        """Index actors and labels by name and id."""
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
        """Return the actor with a name.

        Raises:
            TaxonomyError: If there is none; the message lists the actors.
        """
        if name not in self._actor_by_name:
            raise TaxonomyError(f"unknown actor {name!r}; {nearest(name, self._actor_by_name)}")
        return self._actor_by_name[name]

    def label(self, name: str) -> Label:
        """Return the label with a name.

        Raises:
            TaxonomyError: If there is none; the message suggests the most similar name.
        """
        if name not in self._label_by_name:
            raise TaxonomyError(f"unknown label {name!r}; {nearest(name, self._label_by_name)}")
        return self._label_by_name[name]

    def label_from_id(self, label_id: int) -> Label:
        """Return the label with an id.

        Raises:
            TaxonomyError: If no valid pair has that id.
        """
        if label_id not in self._label_by_id:
            raise TaxonomyError(f"unknown label id {label_id}; {nearest(label_id, map(str, self._label_by_id))}")
        return self._label_by_id[label_id]

    def encode(self, names: Iterable[str]) -> NDArray[np.bool_]:
        """Encode label names as a multi-hot vector.

        Returns:
            Shape (labels,), True for the given labels.

        Raises:
            TaxonomyError: If a name is unknown.
        """
        row = np.zeros(len(self.labels), dtype=bool)
        for name in names:
            row[self.label(name).index] = True
        return row

    def decode(self, row: NDArray[np.bool_]) -> tuple[str, ...]:
        """Return the label names of a multi-hot vector of shape (labels,), in vector order."""
        return tuple(label.name for label in self.labels if row[label.index])

    def actors_of(self, rows: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Reduce label vectors to actor vectors.

        Args:
            rows: Shape (..., labels).

        Returns:
            Shape (..., actors), True where any label of the actor is true.
        """
        return np.stack([rows[..., actor.label_indices].any(axis=-1) for actor in self.actors], axis=-1)

    def match_detector_classes(self, class_names: Mapping[int, str]) -> dict[int, int]:
        """Map a detector's class indices to actor indices, by class name.

        Args:
            class_names: The detector's class names by class index.

        Returns:
            Actor index by class index, both from 0, for the classes that count as an actor.

        Raises:
            TaxonomyError: If the detector lacks a class that the taxonomy requires.
        """
        class_by_name = {name: index for index, name in class_names.items()}
        mapping = {}
        for actor in self.actors:
            for class_name in actor.detector_classes:
                if class_name not in class_by_name:
                    raise TaxonomyError(
                        f"taxonomy {self.name!r}: actor {actor.name!r} needs the detector class {class_name!r}, "
                        f"which this detector lacks; {nearest(class_name, class_by_name)}"
                    )
                mapping[class_by_name[class_name]] = actor.index
        return mapping


def load_taxonomy(path: Path = A2D_TAXONOMY_FILE) -> Taxonomy:
    """Read and check a taxonomy file.

    Args:
        path: A YAML file in the format of `a2d/taxonomy.yaml`, the default.

    Returns:
        The taxonomy.

    Raises:
        TaxonomyError: If the file is unreadable, a key is missing or unknown, an id or a detector class is used twice,
            an action is not used at all, or an auxiliary actor is unknown or the actor itself.

    >>> taxonomy = load_taxonomy()
    >>> len(taxonomy.labels), taxonomy.label("adult-walking").id, [len(actor.labels) for actor in taxonomy.actors]
    (43, 18, [13, 4, 7, 5, 7, 7])
    """
    content = check_keys(read_yaml(path, TaxonomyError), str(path), TaxonomyError, ["name", "actions", "actors"])
    action_ids = _read_ids(content["actions"], f"{path}: actions")
    if not isinstance(content["actors"], Mapping) or not content["actors"]:
        raise TaxonomyError(f"{path}: actors: at least one actor was expected")
    actors: list[Actor] = []
    labels: list[Label] = []
    for name, entry in content["actors"].items():
        where = f"{path}: actor {name!r}"
        check_keys(entry, where, TaxonomyError, ["detector_classes", "kinds"], ["borrows_from"])
        actor_labels = _read_labels(str(name), entry["kinds"], action_ids, where, first_index=len(labels))
        labels += actor_labels
        classes = _read_names(entry["detector_classes"], f"{where}: detector_classes")
        auxiliary_actors = _read_auxiliary_actors(str(name), entry, content["actors"], where)
        actors.append(Actor(str(name), len(actors), classes, tuple(actor_labels), auxiliary_actors))
    kind_ids = [(entry["id"], kind) for actor in content["actors"].values() for kind, entry in actor["kinds"].items()]
    _check_unique(path, "kind id", kind_ids)
    _check_unique(path, "label id", [(label.id, label.name) for label in labels])
    _check_unique(path, "label", [(label.name, label.actor) for label in labels])
    _check_unique(path, "detector class", [(cls, actor.name) for actor in actors for cls in actor.detector_classes])
    for action in action_ids:
        if action not in {label.action for label in labels}:
            raise TaxonomyError(f"{path}: no kind has the action {action!r}: add it to a kind, or remove it")
    return Taxonomy(str(content["name"]), tuple(actors), tuple(labels))


def _read_labels(actor: str, kinds: object, action_ids: dict[str, int], where: str, first_index: int) -> list[Label]:
    """Read the labels of one actor, in file order, with indices that start at `first_index`."""
    if not isinstance(kinds, Mapping) or not kinds:
        raise TaxonomyError(f"{where}: at least one kind was expected, found {kinds!r}")
    labels: list[Label] = []
    for kind, entry in kinds.items():
        here = f"{where}: kind {kind!r}"
        check_keys(entry, here, TaxonomyError, ["id", "actions"])
        kind_id = _read_ids({kind: entry["id"]}, here)[str(kind)]
        for action in _read_names(entry["actions"], f"{here}: actions"):
            if action not in action_ids:
                raise TaxonomyError(f"{here}: unknown action {action!r}; {nearest(action, action_ids)}")
            index = first_index + len(labels)
            labels.append(Label(f"{kind}-{action}", 10 * kind_id + action_ids[action], index, str(kind), action, actor))
    return labels


def _read_auxiliary_actors(
    name: str, entry: Mapping[str, Any], actors: Mapping[str, Any], where: str
) -> tuple[str, ...]:
    """Read the optional key `borrows_from` of an actor."""
    if "borrows_from" not in entry:
        return ()
    auxiliary_actors = _read_names(entry["borrows_from"], f"{where}: borrows_from")
    for auxiliary in auxiliary_actors:
        if auxiliary == name or auxiliary not in actors:
            others = [other for other in actors if other != name]
            raise TaxonomyError(f"{where}: borrows_from: {auxiliary!r} is no other actor; {nearest(auxiliary, others)}")
    return auxiliary_actors


def _read_names(value: Any, where: str) -> tuple[str, ...]:
    if not isinstance(value, list) or not value or not all(isinstance(name, str) for name in value):
        raise TaxonomyError(f"{where}: a list of names was expected, found {value!r}")
    return tuple(value)


def _read_ids(value: Any, where: str) -> dict[str, int]:
    if not isinstance(value, Mapping) or not all(type(number) is int and number > 0 for number in value.values()):
        raise TaxonomyError(f"{where}: whole numbers from 1 by name were expected, found {value!r}")
    ids = {str(name): number for name, number in value.items()}
    _check_unique(Path(where.split(":")[0]), "action id", [(number, name) for name, number in ids.items()])
    return ids


def _check_unique(path: Path, what: str, pairs: Iterable[tuple[object, str]]) -> None:
    users: dict[object, str] = {}
    for key, user in pairs:
        if key in users:
            raise TaxonomyError(f"{path}: {what} {key!r} is used twice: by {users[key]!r} and by {user!r}")
        users[key] = user
