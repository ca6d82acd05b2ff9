"""Cross-validation of the heads, with learners that only record what they are given."""

from dataclasses import dataclass, field
from types import SimpleNamespace

import numpy as np
import pytest

from a2d.formats.base import Sample
from experiments.actor_data import ActorData
from experiments.cross_validation import TEST, assign_folds, predict_out_of_fold, repeat_folds


@dataclass
class RecordingLearner:
    """Predicts the number of the call, from 1, for every frame and label."""

    outputs: int
    calls: list[tuple[list[int], list[int]]] = field(default_factory=list)

    def train_and_predict(self, train, predict):
        self.calls.append((np.flatnonzero(train).tolist(), np.flatnonzero(predict).tolist()))
        return np.full((predict.sum(), self.outputs), len(self.calls), np.float32)


@pytest.fixture
def samples(taxonomy, tmp_path):
    return [
        Sample(tmp_path, None, (taxonomy.label_names[number % 43],), "train", f"source {number // 4}")
        for number in range(60)
    ]


def cross_validate(taxonomy, fold, *, absent=(), unlabelled=(), allowed=None):
    """Cross-validate the head of balls, with two frames of each of six samples; return predictions and calls."""
    actor = taxonomy.actor("ball")
    present = np.ones((6, len(taxonomy.actors)), bool)
    present[list(absent), actor.index] = False
    sample_index = np.repeat(np.arange(6), 2)
    learner = RecordingLearner(len(actor.labels))
    data = ActorData(actor, sample_index, np.arange(12) % 2, ~np.isin(sample_index, unlabelled), learner)
    predictions = predict_out_of_fold([data], SimpleNamespace(present=present), np.array(fold), allowed)
    return predictions["ball"], learner.calls


def test_heads_predict_the_fold_that_they_are_not_trained_on(taxonomy):
    predictions, calls = cross_validate(taxonomy, [0, 0, 1, 1, TEST, TEST])
    assert calls == [
        ([0, 1, 2, 3, 4, 5, 6, 7], [8, 9, 10, 11]),  # test samples: by a head of all train samples
        ([4, 5, 6, 7], [0, 1, 2, 3]),
        ([0, 1, 2, 3], [4, 5, 6, 7]),
    ]
    assert predictions.sample_index.tolist() == [0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5]
    assert predictions.frame_index.tolist() == [0, 1] * 6
    assert predictions.logits[:, 0].tolist() == [2] * 4 + [3] * 4 + [1] * 4


def test_samples_that_do_not_pass_their_gate_are_trained_on_but_not_predicted(taxonomy):
    predictions, calls = cross_validate(taxonomy, [0, 0, 1, 1, TEST, TEST], absent=[0, 4])
    assert calls[1:] == [([4, 5, 6, 7], [2, 3]), ([0, 1, 2, 3], [4, 5, 6, 7])]
    assert predictions.sample_index.tolist() == [1, 1, 2, 2, 3, 3, 5, 5]


def test_samples_without_labels_of_the_actor_are_predicted_but_not_trained_on(taxonomy):
    predictions, calls = cross_validate(taxonomy, [0, 0, 1, 1, TEST, TEST], unlabelled=[0])
    assert calls[2] == ([2, 3], [4, 5, 6, 7])
    assert predictions.sample_index.tolist()[:2] == [0, 0]


def test_only_allowed_samples_are_trained_on(taxonomy):
    allowed = np.array([True, False, True, True, False, False])
    _, calls = cross_validate(taxonomy, [0, 0, 1, 1, TEST, TEST], allowed=allowed)
    assert [train for train, _ in calls] == [[0, 1, 4, 5, 6, 7], [4, 5, 6, 7], [0, 1]]


def test_nothing_is_predicted_without_training_data(taxonomy):
    predictions, calls = cross_validate(taxonomy, [0, 0, 0, 0, 0, 0])
    assert calls == []
    assert len(predictions.logits) == 0


def test_samples_of_a_source_are_in_the_same_fold(samples, taxonomy):
    folds = assign_folds(samples, taxonomy, 5, seed=0)
    assert set(folds) == {0, 1, 2, 3, 4}
    for source in {sample.group for sample in samples}:
        assert len({fold for fold, sample in zip(folds, samples, strict=True) if sample.group == source}) == 1


def test_repeats_have_different_folds_and_test_samples_have_none(samples, taxonomy):
    setup = SimpleNamespace(samples=samples, train_size=40, taxonomy=taxonomy, seed=7)
    folds = repeat_folds(setup, 3, 2)
    assert folds.shape == (2, 60)
    assert (folds[:, 40:] == TEST).all()
    np.testing.assert_array_equal(folds[1, :40], assign_folds(samples[:40], taxonomy, 3, seed=8))
    assert (folds[0] != folds[1]).any()
