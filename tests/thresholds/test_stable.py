"""Gates that hold on new sources: what each method finds, and that it is judged by sources that it was not given."""

import numpy as np
import pytest

from thresholds import stable
from thresholds.fitness import OBJECTIVES, PresenceTable, score_gates
from thresholds.stable import AUTO, METHODS, TOLERANCE, negative_objective, tune_stable
from thresholds.tuning import SearchSettings

SETTINGS = SearchSettings(bounds=(0.01, 0.5), particles=20, iterations=8, runs=2)


def make_table(seed=0, sources=30, actors=3, noise=0.15):
    """Ratios of which some belong to the wrong side of every gate, more of them the noisier; 4 videos a source."""
    rng = np.random.default_rng(seed)
    truth = rng.random((4 * sources, actors)) < 0.4
    ratios = np.where(truth, rng.uniform(0.1, 1, truth.shape), rng.uniform(0, 0.12, truth.shape))
    swapped = rng.random(truth.shape) < noise
    ratios[swapped] = rng.random(truth.shape)[swapped]
    return PresenceTable(ratios, truth, np.repeat([f"source {number}" for number in range(sources)], 4))


def fitness_of(table, gates, objective="prf"):
    return OBJECTIVES[objective](score_gates(table.ratios, table.truth, np.atleast_2d(gates)))


def test_the_best_method_out_of_fold_is_chosen_or_one_that_is_as_good_and_believes_less():
    for seed in range(3):
        found = tune_stable(make_table(seed), "prf", SETTINGS)
        assert set(found.out_of_fold) == set(found.candidates) == set(METHODS)
        values = {name: negative_objective(scores, "prf") for name, scores in found.out_of_fold.items()}
        limit = min(values.values()) * (1 - TOLERANCE)
        assert found.method == next(name for name in METHODS if values[name] <= limit)
        assert found.values is found.candidates[found.method]
        assert found.sources == 30


def test_common_gate_is_the_best_single_one():
    table = make_table()
    common = tune_stable(table, "f1", SETTINGS, "common").values
    assert len(set(common.tolist())) == 1
    every = np.repeat(np.geomspace(0.01, 0.5, 500)[:, None], 3, axis=1)
    assert fitness_of(table, common, "f1")[0] <= fitness_of(table, every, "f1").min() + 0.01


def test_shrunk_gates_lie_half_way_between_bagged_and_common():
    found = tune_stable(make_table(), "prf", SETTINGS).candidates
    np.testing.assert_allclose(found["shrunk"] ** 2, found["bagged"] * found["common"])
    assert (found["bagged"] >= SETTINGS.bounds[0]).all()
    assert (found["bagged"] <= SETTINGS.bounds[1]).all()


def test_a_method_is_never_given_the_source_that_judges_it(monkeypatch):
    table, given = make_table(sources=12), []

    def method(search):
        given.append(set(search.table.sources.tolist()))
        return np.full(3, 0.1)

    monkeypatch.setitem(stable.METHODS, "common", method)
    found = tune_stable(table, "prf", SETTINGS, "common")
    everything, *folds = given
    assert everything == set(table.sources.tolist())
    held_out = [everything - fold for fold in folds]
    assert len(held_out) == stable.FOLDS
    assert sum(map(len, held_out)) == 12, "every source judges once"
    assert set().union(*held_out) == everything
    (expected,) = fitness_of(table, np.full(3, 0.1))
    assert negative_objective(found.out_of_fold["common"], "prf") == pytest.approx(expected)


def test_overfitting_is_seen_out_of_fold():
    """Ratios that say nothing about the truth: the tuned gates look better on the videos than they are."""
    table = make_table(noise=1.0, sources=12)
    found = tune_stable(table, "prf", SETTINGS)
    in_sample = -fitness_of(table, found.candidates["tuned"])[0]
    assert in_sample > -negative_objective(found.out_of_fold["tuned"], "prf") + 0.02
    assert found.method != "tuned"


def test_videos_of_one_source_decide_nothing():
    table = make_table(sources=1)
    found = tune_stable(table, "prf", SETTINGS)
    assert (found.method, found.sources, found.out_of_fold) == ("shrunk", 1, {})
    assert tune_stable(table, "prf", SETTINGS, "tuned").method == "tuned"


@pytest.mark.parametrize("method", [AUTO, *METHODS])
def test_kept_gates_stay_and_equal_seeds_give_equal_gates(method):
    fixed = np.array([np.nan, 0.9, np.nan])
    table = make_table(sources=8)
    found = tune_stable(table, "prf", SETTINGS, method, fixed)
    assert all(gates[1] == 0.9 for gates in found.candidates.values())
    again = tune_stable(table, "prf", SETTINGS, method, fixed)
    assert again.values.tolist() == found.values.tolist()


def test_videos_without_sources_are_their_own():
    ratios, truth = np.zeros((3, 2)), np.zeros((3, 2), bool)
    assert PresenceTable(ratios, truth).sources.tolist() == ["0", "1", "2"]
    with pytest.raises(ValueError, match="one source per video"):
        PresenceTable(ratios, truth, np.array(["a", "b"]))
    taken = PresenceTable(ratios, truth, np.array(["a", "b", "c"])).take(np.array([2, 2, 0]))
    assert taken.sources.tolist() == ["c", "c", "a"]
