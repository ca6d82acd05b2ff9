"""Which labels are said: the threshold of each clip."""

from itertools import product

import numpy as np
import pytest

from action_heads.defaults import LABEL_THRESHOLD
from action_heads.label_decision import best_threshold, decide_labels


def expected_f1(said: np.ndarray, probabilities: np.ndarray) -> float:
    """Sum over every possible truth."""
    total = 0.0
    for true in product([False, True], repeat=len(said)):
        truth = np.array(true)
        chance = np.where(truth, probabilities, 1 - probabilities).prod()
        total += chance * 2 * (said & truth).sum() / (said.sum() + truth.sum())
    return total


@pytest.mark.parametrize("sizes", [(4,), (5, 3), (3, 2, 3)], ids=str)
@pytest.mark.parametrize("seed", range(8))
def test_no_other_threshold_has_a_higher_expected_f1(sizes, seed):
    random = np.random.default_rng(seed)
    by_actor = [random.beta(0.5, 1.0, size).astype(np.float32) for size in sizes]
    believed = np.concatenate([row * min(1.0, 1.0 / row.sum()) for row in by_actor]).astype(np.float64)

    def expected(threshold: float) -> float:
        return expected_f1(np.concatenate([decide_labels(row, threshold) for row in by_actor]), believed)

    best = max(expected(max(threshold, 0.25)) for threshold in (2.0, *np.concatenate(by_actor)))
    assert expected(best_threshold(by_actor)) == pytest.approx(best, abs=1e-6)


@pytest.mark.parametrize("seed", range(8))
def test_no_other_answer_about_one_actor_has_a_higher_expected_f1(seed):
    probabilities = np.random.default_rng(seed).dirichlet(np.full(6, 0.5))
    said = decide_labels(probabilities, best_threshold([probabilities]))
    sayable = (probabilities >= 0.25) | (probabilities == probabilities.max())
    others = [np.array(other) for other in product([False, True], repeat=6) if any(np.array(other) & sayable)]
    others = [other & sayable for other in others]
    best = max(expected_f1(other, probabilities) for other in others)
    assert expected_f1(said, probabilities) == pytest.approx(best, abs=1e-6)


def test_head_that_has_seen_little_does_not_say_everything():
    unsure = np.full(9, 0.24)
    unsure[3] = 0.4
    assert decide_labels(unsure, best_threshold([unsure])).sum() == 1
    assert decide_labels(unsure, best_threshold([unsure, unsure])).sum() == 1


def test_a_sure_answer_asks_for_more_than_an_unsure_one():
    sure, unsure = np.array([0.98, 0.05, 0.05]), np.array([0.3, 0.05, 0.05])
    assert best_threshold([sure]) > best_threshold([unsure])
    # An actor of which nothing is sure makes a guess at another one cheaper, too.
    assert best_threshold([sure, unsure]) < best_threshold([sure])


@pytest.mark.parametrize("probabilities", [[], [np.array([0.7])]], ids=["no actor", "one label"])
def test_without_a_choice_the_threshold_is_the_usual_one(probabilities):
    assert best_threshold(probabilities) == LABEL_THRESHOLD


@pytest.mark.parametrize("value", [0.0, 0.5, 1.0])
def test_equal_and_extreme_probabilities_have_a_threshold(value):
    threshold = best_threshold([np.full(4, value), np.full(2, value)])
    assert 0 <= threshold <= 1
    assert decide_labels(np.full(4, value), threshold).any()
