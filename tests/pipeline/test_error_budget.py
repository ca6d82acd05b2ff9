"""The error budget: each kind of error by itself, computed by hand, and all of them together."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from a2d.metrics import count
from a2d.taxonomy import load_taxonomy
from pipeline.evaluation.error_budget import confusion, confusion_table, error_budget

TAXONOMY = load_taxonomy()
KINDS = ("false gate", "adult or baby", "wrong action", "further actions", "missed gate", "samples without")


def budget(predicted, actual, gated=None):
    """Return the budget of one sample in the order of `KINDS`; actors of predicted labels passed their gate."""
    predicted, actual = (TAXONOMY.encode(names)[None] for names in (predicted, actual))
    passed = TAXONOMY.actors_of(predicted)
    for name in gated or ():
        passed[0, TAXONOMY.actor(name).index] = True
    found = error_budget(predicted, passed, actual, TAXONOMY)
    assert sum(found.values()) == pytest.approx(1 - count(predicted, actual).sample_averaged.f1)
    return [round(value, 6) for value in found.values()]


def test_kinds_are_in_the_order_of_correction():
    nothing = np.zeros((1, 43), bool)
    kinds = error_budget(nothing, np.zeros((1, 6), bool), nothing, TAXONOMY)
    assert [kind.startswith(word) for kind, word in zip(kinds, KINDS, strict=True)] == [True] * 6


def test_a_correct_prediction_costs_nothing():
    assert budget(["dog-running"], ["dog-running"]) == [0] * 6


def test_each_kind_of_error_alone():
    third = round(1 - 2 / 3, 6)
    assert budget(["dog-running", "cat-none"], ["dog-running"]) == [third, 0, 0, 0, 0, 0]
    assert budget(["adult-crawling"], ["baby-crawling"]) == [0, 1, 0, 0, 0, 0]
    assert budget(["dog-none"], ["dog-running"]) == [0, 0, 1, 0, 0, 0]
    assert budget(["dog-running"], ["dog-running", "dog-jumping"]) == [0, 0, 0, third, 0, 0]
    assert budget(["dog-running"], ["dog-running", "adult-walking"]) == [0, 0, 0, 0, third, 0]
    assert budget(["dog-running"], []) == [1, 0, 0, 0, 0, 0]
    assert budget([], []) == [0] * 6, "nothing is the right prediction where nothing is"


def test_an_actor_that_passed_without_a_predicted_action_has_a_wrong_action():
    assert budget([], ["dog-running"], gated=["dog"]) == [0, 0, 1, 0, 0, 0]
    assert budget([], ["dog-running"]) == [0, 0, 0, 0, 1, 0]


def test_overlapping_errors_are_counted_once():
    lost = budget(["dog-none", "cat-none"], ["dog-running", "dog-jumping", "adult-walking"])
    assert sum(lost) == pytest.approx(1)
    assert lost[0] == 0, "while the dog's action is wrong, the cat costs nothing more"
    assert all(value > 0 for value in lost[2:5])


@given(
    predicted=arrays.arrays(bool, (4, 43), elements=st.booleans()),
    actual=arrays.arrays(bool, (4, 43), elements=st.booleans()),
    gated=arrays.arrays(bool, (4, 6), elements=st.booleans()),
)
def test_a_budget_is_never_negative_and_adds_up(predicted, actual, gated):
    predicted = predicted & gated[:, [TAXONOMY.actor(label.actor).index for label in TAXONOMY.labels]]
    found = error_budget(predicted, gated, actual, TAXONOMY)
    assert min(found.values()) >= -1e-12
    assert sum(found.values()) == pytest.approx(1 - count(predicted, actual).sample_averaged.f1)


def test_confusion_counts_predictions_instead_of_the_true_label():
    actual = np.stack([TAXONOMY.encode(names) for names in (["dog-none"], ["dog-none"], ["dog-running"], ["cat-none"])])
    predicted = np.stack(
        [
            TAXONOMY.encode(names)
            for names in (["dog-none", "dog-eating"], ["dog-running", "dog-eating"], [], ["dog-none"])
        ]
    )
    matrix = confusion(predicted, actual, TAXONOMY.actor("dog"))
    assert list(matrix) == ["dog-running", "dog-none"]
    assert matrix["dog-none"]["dog-none"] == 1
    assert matrix["dog-none"]["dog-running"] == matrix["dog-none"]["dog-eating"] == 0.5
    assert matrix["dog-running"]["nothing"] == 1
    assert sum(matrix["dog-none"].values()) == 2
    rows, headers = confusion_table(matrix)
    assert headers == ["true \\ predicted", "dog-eating", "dog-running", "dog-none", "nothing"]
    assert rows == [["dog-running", "", "", "", "1"], ["dog-none", "0.5", "0.5", "1", ""]]
    assert confusion(predicted, actual, TAXONOMY.actor("bird")) == {}
