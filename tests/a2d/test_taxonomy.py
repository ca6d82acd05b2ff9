"""The taxonomy of A2D's 43 labels, and invalid taxonomy files."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from a2d.taxonomy import load_taxonomy
from common.errors import TaxonomyError
from common.paths import A2D_TAXONOMY_FILE

TAXONOMY = load_taxonomy()
A2D_IDS = [
    *(11, 12, 13, 15, 16, 17, 18, 19),
    *(21, 22, 26, 28, 29),
    *(34, 35, 36, 39),
    *(41, 43, 44, 45, 46, 48, 49),
    *(54, 55, 56, 57, 59),
    *(61, 63, 65, 66, 67, 68, 69),
    *(72, 73, 75, 76, 77, 78, 79),
]

SMALL = """\
name: farm
actions: {grazing: 1, none: 9}
actors:
  cow:
    detector_classes: [cow, ox]
    kinds:
      cow: {id: 1, actions: [grazing, none]}
      calf: {id: 2, actions: [none]}
  horse:
    detector_classes: [horse]
    kinds:
      horse: {id: 3, actions: [none]}
"""


@pytest.fixture
def farm(tmp_path: Path) -> Path:
    path = tmp_path / "farm.yaml"
    path.write_text(SMALL)
    return path


# --- A2D --------------------------------------------------------------------------------------------------------------


def test_a2d_label_ids_are_in_reference_order() -> None:
    assert [label.id for label in TAXONOMY.labels] == A2D_IDS
    assert [label.index for label in TAXONOMY.labels] == list(range(43))


def test_a2d_actors_and_detector_classes() -> None:
    assert TAXONOMY.actor_names == ("person", "ball", "bird", "car", "cat", "dog")
    assert [actor.index for actor in TAXONOMY.actors] == list(range(6))
    assert [len(actor.labels) for actor in TAXONOMY.actors] == [13, 4, 7, 5, 7, 7]
    assert [name for actor in TAXONOMY.actors for name in actor.detector_classes] == [
        "person",
        "sports ball",
        "bird",
        "car",
        "cat",
        "dog",
    ]


def test_heads_partition_the_label_vector() -> None:
    assert np.concatenate([actor.label_indices for actor in TAXONOMY.actors]).tolist() == list(range(43))
    person = TAXONOMY.actor("person")
    assert person.label_names[7:9] == ("adult-none", "baby-climbing")


def test_label_lookups_agree() -> None:
    for label in TAXONOMY.labels:
        assert TAXONOMY.label(label.name) is TAXONOMY.label_from_id(label.id) is label
        assert label in TAXONOMY.actor(label.actor).labels


@pytest.mark.parametrize(
    ("look_up", "message"),
    [
        pytest.param(lambda: TAXONOMY.label("dog-runing"), r"'dog-runing'; did you mean 'dog-running'\?", id="label"),
        pytest.param(lambda: TAXONOMY.actor("dgo"), r"unknown actor 'dgo'; did you mean 'dog'\?", id="actor"),
        pytest.param(lambda: TAXONOMY.label_from_id(14), r"unknown label id 14; .*allowed: 11, 12", id="id"),
        pytest.param(lambda: TAXONOMY.encode(["cat-none", "cow-none"]), r"unknown label 'cow-none'", id="encode"),
    ],
)
def test_unknown_names_are_rejected(look_up: Callable[[], object], message: str) -> None:
    with pytest.raises(TaxonomyError, match=message):
        look_up()


# --- Rows -------------------------------------------------------------------------------------------------------------


@given(st.sets(st.sampled_from(TAXONOMY.label_names)))
def test_decode_inverts_encode(names: set[str]) -> None:
    row = TAXONOMY.encode(names)
    assert row.shape == (43,)
    assert row.sum() == len(names)
    decoded = TAXONOMY.decode(row)
    assert set(decoded) == names
    assert list(decoded) == [name for name in TAXONOMY.label_names if name in names]


@pytest.mark.parametrize(
    ("names", "actors"),
    [
        pytest.param([], [], id="no actor"),
        pytest.param(["baby-crawling"], ["person"], id="baby is a person"),
        pytest.param(["adult-none", "baby-none"], ["person"], id="two kinds of one actor"),
        pytest.param(["dog-none", "ball-flying"], ["ball", "dog"], id="two actors"),
        pytest.param(TAXONOMY.label_names, TAXONOMY.actor_names, id="all actors"),
    ],
)
def test_actors_of_label_vectors(names: list[str], actors: list[str]) -> None:
    present = TAXONOMY.actors_of(TAXONOMY.encode(names))
    assert [actor.name for actor in TAXONOMY.actors if present[actor.index]] == list(actors)


@pytest.mark.parametrize("shape", [(0,), (3,), (2, 3)], ids=str)
def test_actors_of_preserves_leading_axes(shape: tuple[int, ...]) -> None:
    assert TAXONOMY.actors_of(np.zeros((*shape, 43), dtype=bool)).shape == (*shape, 6)


# --- The detector's classes -------------------------------------------------------------------------------------------


def test_match_detector_classes_by_name(farm: Path) -> None:
    classes = {7: "horse", 2: "ox", 5: "cow", 0: "barn"}
    assert load_taxonomy(farm).match_detector_classes(classes) == {5: 0, 2: 0, 7: 1}


def test_match_detector_classes_rejects_a_missing_class(farm: Path) -> None:
    message = r"taxonomy 'farm': actor 'cow' needs the detector class 'ox', which this detector lacks; .*hors"
    with pytest.raises(TaxonomyError, match=message):
        load_taxonomy(farm).match_detector_classes({0: "cow", 1: "hors"})


# --- Taxonomy files ---------------------------------------------------------------------------------------------------


def test_load_small_taxonomy(farm: Path) -> None:
    taxonomy = load_taxonomy(farm)
    assert taxonomy.label_names == ("cow-grazing", "cow-none", "calf-none", "horse-none")
    assert [label.id for label in taxonomy.labels] == [11, 19, 29, 39]
    assert taxonomy.label("calf-none").actor == "cow"


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        pytest.param("name: farm\n", "", r"the key 'name' is missing", id="missing name"),
        pytest.param("name:", "nmae:", r"unknown key 'nmae'; did you mean 'name'\?", id="unknown key"),
        pytest.param("kinds:", "kind:", r"actor 'cow': unknown key 'kind'; did you mean 'kinds'", id="key of an actor"),
        pytest.param("{id: 3,", "{", r"kind 'horse': the key 'id' is missing", id="kind without id"),
        pytest.param("{id: 3,", "{id: 3, ids: 4,", r"kind 'horse': unknown key 'ids'", id="key of a kind"),
        pytest.param("id: 3", "id: three", r"whole numbers from 1 .* found {'horse': 'three'}", id="id not a number"),
        pytest.param("id: 3", "id: 0", r"whole numbers from 1 .* found {'horse': 0}", id="id 0"),
        pytest.param("id: 3", "id: true", r"whole numbers from 1 .* found {'horse': True}", id="id true"),
        pytest.param("id: 3", "id: 2", r"kind id 2 is used twice: by 'calf' and by 'horse'", id="same kind ids"),
        pytest.param("none: 9", "none: 1", r"action id 1 is used twice: by 'grazing' and by 'none'", id="action ids"),
        pytest.param("calf: {id: 2", "horse: {id: 2", r"label 'horse-none' is used twice", id="same kind twice"),
        pytest.param("[grazing, none]", "[none, none]", r"label id 19 is used twice", id="same action twice"),
        pytest.param("[horse]", "[ox]", r"class 'ox' is used twice: by 'cow' and by 'horse'", id="class of two actors"),
        pytest.param(
            "[horse]",
            "[horse]\n    borrows_from: [cwo]",
            r"'cwo' is no other actor; .*'cow'",
            id="unknown auxiliary actor",
        ),
        pytest.param("[horse]", "[horse]\n    borrows_from: [horse]", r"'horse' is no other actor", id="actor itself"),
        pytest.param(
            "[horse]",
            "[horse]\n    borrows_from: cow",
            r"borrows_from: a list of names",
            id="auxiliary actors not a list",
        ),
        pytest.param("[horse]", "[]", r"detector_classes: a list of names was expected, found \[\]", id="no class"),
        pytest.param(
            "[horse]", "horse", r"detector_classes: a list of names .* found 'horse'", id="classes not a list"
        ),
        pytest.param("[none]", "[nnone]", r"unknown action 'nnone'; did you mean 'none'\?", id="unknown action"),
        pytest.param("none: 9", "none: 9, flying: 4", r"no kind has the action 'flying'", id="unused action"),
        pytest.param(SMALL.partition("actors:\n")[2], "", r"actors: at least one actor", id="no actors"),
        pytest.param("{grazing: 1, none: 9}", "[none]", r"actions: whole numbers from 1 by name", id="actions listed"),
        pytest.param("name: farm", "name: {", r"not a readable YAML file", id="not YAML"),
        pytest.param(SMALL, "", r"a mapping was expected at the top level, found NoneType", id="empty file"),
    ],
)
def test_invalid_taxonomy_file_is_rejected(farm: Path, old: str, new: str, message: str) -> None:
    assert old in SMALL
    farm.write_text(SMALL.replace(old, new))
    with pytest.raises(TaxonomyError, match=message) as caught:
        load_taxonomy(farm)
    assert str(caught.value).startswith(str(farm))
    assert "\n" not in str(caught.value)


def test_missing_taxonomy_file_is_rejected(tmp_path: Path) -> None:
    with pytest.raises(TaxonomyError, match=r"none\.yaml: no such file"):
        load_taxonomy(tmp_path / "none.yaml")


def test_duplicate_kind_of_one_actor_is_rejected(tmp_path: Path) -> None:
    path = tmp_path / "taxonomy.yaml"
    lines = A2D_TAXONOMY_FILE.read_text().splitlines()
    (adult,) = [line for line in lines if line.strip().startswith("adult:")]
    path.write_text("\n".join(line for line in lines for line in ([line, adult] if line == adult else [line])))
    with pytest.raises(TaxonomyError, match="duplicate key 'adult'"):
        load_taxonomy(path)


def test_duplicate_kind_id_is_rejected_even_if_labels_differ(tmp_path: Path) -> None:
    path = tmp_path / "taxonomy.yaml"
    text = A2D_TAXONOMY_FILE.read_text()
    path.write_text(text.replace("dog: {id: 7, actions: [crawling,", "dog: {id: 3, actions: [crawling,"))
    with pytest.raises(TaxonomyError, match="kind id 3 is used twice: by 'ball' and by 'dog'"):
        load_taxonomy(path)
