"""The last layer by regression: right, repeatable, and chosen without a look at what is held out."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression

from action_heads.backbones import find_backbone
from action_heads.label_decision import decide_labels
from action_heads.training.linear_probe import (
    C_VALUES,
    DEFAULT_C,
    MIN_SPREAD,
    AuxiliaryFeatures,
    LabelledFeatures,
    fit_for_c_values,
    fit_linear_probe,
    pool_samples,
    predict_held_out,
    score_samples,
)
from action_heads.training.temperature import expected_calibration_error, fit_temperature
from common.errors import TrainingError


def material(samples=40, looks=3, features=12, seed=0, spread=0.5):
    """Three labels, each with a direction of its own in the features; samples come in pairs of one source."""
    rng = np.random.default_rng(seed)
    label = np.repeat(np.arange(samples) % 3, looks)
    directions = rng.normal(size=(3, features)) * 2
    values = directions[label][:, None] + rng.normal(size=(len(label), 2, features)) * spread + 5
    sample = np.repeat(np.arange(samples), looks)
    groups = np.array([f"source {number // 2}" for number in sample])
    return LabelledFeatures(values.astype(np.float32), np.eye(3, dtype=bool)[label], sample, groups)


def test_it_learns_and_does_so_again():
    features = material()
    layer, again = fit_linear_probe(features), fit_linear_probe(features)
    np.testing.assert_array_equal(layer.weight, again.weight)
    np.testing.assert_array_equal(layer.bias, again.bias)
    assert set(layer.tried) == set(C_VALUES)
    assert layer.tried[layer.strength] == max(layer.tried.values())
    unseen = material(seed=0, samples=12)
    assert score_samples(layer.logits(unseen.values[:, 0]), unseen) == 1.0


def test_standardising_is_folded_into_the_layer():
    """The layer on plain features says what scikit-learn's says on standardised ones."""
    features = material(spread=3.0, looks=1)
    rows = features.values.reshape(-1, 12)
    mean, std = rows.mean(axis=0), rows.std(axis=0)
    std = (std + MIN_SPREAD * std.mean()) * np.sqrt(12)
    target = np.repeat(features.targets[:, 1], 2)
    reference = LogisticRegression(C=1.2, max_iter=1000, tol=1e-8)
    reference.fit((rows - mean) / std, target, sample_weight=np.full(len(rows), 1 / 2))
    expected = reference.predict_proba((features.values[:, 0] - mean) / std)[:, 1]
    (layer,) = fit_for_c_values(features, [1.2])
    np.testing.assert_allclose(layer.probabilities(features.values[:, 0])[:, 1], expected, atol=2e-3)


def test_more_features_than_samples_change_nothing_but_the_time():
    """The same layer comes out of the few directions in which few samples differ."""
    few = material(samples=8, looks=1, features=40, spread=2.0)
    (layer,) = fit_for_c_values(few, [3.0])
    rows = few.values.reshape(-1, 40).astype(float)
    mean, std = rows.mean(axis=0), rows.std(axis=0)
    std = (std + MIN_SPREAD * std.mean()) * np.sqrt(40)
    reference = LogisticRegression(C=3.0, max_iter=1000, tol=1e-8)
    reference.fit((rows - mean) / std, np.repeat(few.targets[:, 0], 2), sample_weight=np.full(16, 0.5))
    unseen = material(samples=30, looks=1, features=40, spread=2.0).values[:, 0]
    expected = reference.predict_proba((unseen - mean) / std)[:, 1]
    np.testing.assert_allclose(layer.probabilities(unseen)[:, 0], expected, atol=2e-3)


def test_a_sample_is_the_mean_of_its_looks():
    few = material(looks=3, spread=2.0)
    (layer,) = fit_for_c_values(few, [3.0])
    values, targets = pool_samples(few)
    np.testing.assert_allclose(values[5], few.values[15:18].mean(axis=0), rtol=1e-5)
    single = LabelledFeatures(values, targets, np.arange(40), few.groups[::3])
    (same,) = fit_for_c_values(single, [3.0])
    np.testing.assert_allclose(same.weight, layer.weight, atol=1e-5)
    doubled = few.at(np.concatenate([np.arange(len(few)), np.arange(3)]))
    (again,) = fit_for_c_values(doubled, [3.0])
    np.testing.assert_allclose(again.weight, layer.weight, atol=1e-4)


def test_a_source_is_never_on_both_sides_of_a_fold():
    """Features that name the source, and nothing else, are worth nothing when sources stay together."""
    rng = np.random.default_rng(1)
    sample = np.repeat(np.arange(40), 2)
    label = rng.integers(0, 2, 20)[sample // 2]
    values = np.repeat(np.eye(20, dtype=np.float32)[sample // 2][:, None] * 9, 2, axis=1)
    targets = np.eye(2, dtype=bool)[label]
    layer = fit_linear_probe(LabelledFeatures(values, targets, sample, np.array([f"s{n // 2}" for n in sample])))
    assert max(layer.tried.values()) < 0.75
    leaky = fit_linear_probe(LabelledFeatures(values, targets, sample, np.array([f"s{n}" for n in sample])))
    assert max(leaky.tried.values()) > 0.95


def test_labels_that_never_or_always_hold_get_a_constant():
    features = material()
    targets = np.concatenate([features.targets, np.zeros((120, 1), bool), np.ones((120, 1), bool)], axis=1)
    layer = fit_linear_probe(LabelledFeatures(features.values, targets, features.sample, features.groups))
    probabilities = layer.probabilities(features.values[:, 0])
    assert not layer.weight[3:].any()
    np.testing.assert_allclose(probabilities[:, 3], 1 / 42, rtol=1e-4)
    np.testing.assert_allclose(probabilities[:, 4], 41 / 42, rtol=1e-4)


def test_one_source_is_enough_and_none_is_refused():
    features = material(samples=2)
    layer = fit_linear_probe(features)
    assert (layer.strength, layer.tried) == (DEFAULT_C, {})
    with pytest.raises(TrainingError, match="no frame to train on"):
        fit_linear_probe(features.at(np.zeros(len(features), bool)))


def test_it_becomes_the_networks_own_last_layer():
    rng = np.random.default_rng(0)
    features = LabelledFeatures(
        rng.normal(size=(9, 2, 1280)).astype(np.float32),
        np.eye(3, dtype=bool)[np.arange(9) % 3],
        np.arange(9),
        np.array([*"aabbccdde"]),
    )
    layer = fit_linear_probe(features)
    network = find_backbone("efficientnet_lite0").build(3)
    layer.put_into(network, "classifier")
    with torch.inference_mode():
        logits = network.classifier(torch.from_numpy(features.values[:, 0]))
    np.testing.assert_allclose(torch.sigmoid(logits).numpy(), layer.probabilities(features.values[:, 0]), atol=1e-5)


def test_a_small_block_has_as_much_say_as_a_large_one():
    """A label that one of 4 numbers tells is found beside 400 that tell nothing, if these are two blocks."""
    rng = np.random.default_rng(0)
    target = np.arange(60) % 2 == 1
    telling = rng.normal(size=(60, 1, 4)).astype(np.float32)
    telling[:, 0, 0] += 3 * target
    values = np.concatenate([rng.normal(size=(60, 1, 400)).astype(np.float32), telling], axis=2)
    targets, sample, groups = np.stack([target, ~target], 1), np.arange(60), np.array([f"s{n}" for n in range(60)])
    scores = []
    for blocks in ((404,), (400, 4)):
        features = LabelledFeatures(values, targets, sample, groups, blocks)
        scores.append(max(fit_linear_probe(features).tried.values()))
    assert scores[0] < 0.8 < scores[1]


def test_a_feature_that_hardly_moves_does_not_decide_when_it_does():
    features = material()
    values = np.concatenate([features.values, np.full((120, 2, 1), 5.0, np.float32)], axis=2)
    values[0, 0, 12] += 1e-3
    layer = fit_linear_probe(replace(features, values=values))
    moved = features.values[:, 0].mean(axis=0)
    plain, odd = (layer.probabilities(np.append(moved, last).astype(np.float32)) for last in (5.0, 6.0))
    np.testing.assert_allclose(odd, plain, atol=0.05)


@pytest.mark.parametrize("samples", [1, 2, 5])
def test_a_label_that_was_never_seen_is_not_said(samples):
    features = material().at(np.arange(3))  # the looks at one sample
    features = LabelledFeatures(
        np.tile(features.values, (samples, 1, 1)),
        np.tile(features.targets, (samples, 1)),
        np.repeat(np.arange(samples), 3),
        np.repeat([f"source {number}" for number in range(samples)], 3),
    )
    probabilities = fit_linear_probe(features).probabilities(features.values[:, 0])
    np.testing.assert_array_equal(decide_labels(probabilities), features.targets)


def lend(features, weight=1.0, known=None):
    """Rename the sources: what is lent must not be left out for coming from the borrower's own."""
    other = replace(features, groups=np.char.add("lent ", features.groups))
    return AuxiliaryFeatures(other, np.ones(other.targets.shape, bool) if known is None else known, weight)


def test_what_is_lent_teaches_and_its_weight_counts():
    own, others, unseen = material(samples=4, spread=4), material(samples=60, spread=4), material(samples=90, spread=4)
    scores = [
        score_samples(fit_for_c_values(own, [10.0], lent)[0].logits(unseen.values[:, 0]), unseen)
        for lent in (None, lend(others, 0.3))
    ]
    assert scores[1] > scores[0] + 0.1
    (alone,), (hardly,) = fit_for_c_values(own, [1.0]), fit_for_c_values(own, [1.0], lend(others, 1e-9))
    np.testing.assert_allclose(hardly.weight, alone.weight, atol=1e-4)


def test_a_lent_sample_counts_as_a_copy_of_its_weight():
    """What is lent with weight 2 does what it does when it is there twice."""
    own, others = material(samples=9, seed=0), material(samples=6, seed=1)
    twice = replace(
        others,
        values=np.concatenate([others.values] * 2),
        targets=np.concatenate([others.targets] * 2),
        sample=np.concatenate([others.sample, others.sample + 6]),
        groups=np.concatenate([others.groups] * 2),
    )
    (one,), (two,) = fit_for_c_values(own, [1.0], lend(others, 2.0)), fit_for_c_values(own, [1.0], lend(twice, 1.0))
    np.testing.assert_allclose(one.weight, two.weight, atol=2e-3)


def test_labels_of_which_nothing_is_lent_are_learned_alone():
    own, others = material(samples=12, seed=0), material(samples=30, seed=1)
    known = np.tile([True, False, True], (len(others), 1))
    (alone,), (helped,) = fit_for_c_values(own, [3.0]), fit_for_c_values(own, [3.0], lend(others, 1.0, known))
    shown = own.values[:, 0]
    np.testing.assert_allclose(helped.logits(shown)[:, 1], alone.logits(shown)[:, 1], atol=0.02)
    assert np.abs(helped.logits(shown)[:, 0] - alone.logits(shown)[:, 0]).max() > 0.1


def test_nothing_is_lent_of_a_source_that_is_held_out():
    """The same clips, lent under their own sources, must not show the answers to the cross-validation within."""
    rng = np.random.default_rng(0)
    values = rng.normal(size=(40, 2, 300)).astype(np.float32)  # noise: only who has seen a sample knows it
    targets = np.eye(2, dtype=bool)[rng.integers(0, 2, 40)]
    own = LabelledFeatures(values, targets, np.arange(40), np.array([f"s{n}" for n in range(40)]))
    honest = predict_held_out(own, AuxiliaryFeatures(own, np.ones((40, 2), bool), 1.0))[C_VALUES[-1]]
    leaky = predict_held_out(own, lend(own))[C_VALUES[-1]]
    assert score_samples(honest, own) < 0.8 < score_samples(leaky, own)


def test_a_layer_that_is_too_sure_is_cooled():
    features = material(samples=60, looks=1, spread=20)
    layer = fit_linear_probe(features)
    (plain,) = fit_for_c_values(features, [layer.strength])
    assert layer.calibration.temperature > 1.5
    assert layer.calibration.after < layer.calibration.before
    np.testing.assert_allclose(layer.weight * layer.calibration.temperature, plain.weight, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(layer.bias * layer.calibration.temperature, plain.bias, rtol=1e-4, atol=1e-6)
    assert layer.recipe()["temperature"] == round(layer.calibration.temperature, 4)


def test_a_label_never_seen_is_not_said_however_much_the_rest_is_cooled():
    features = material(samples=8, looks=1, spread=20)
    features = replace(features, targets=np.pad(features.targets, ((0, 0), (0, 1))))
    layer = fit_linear_probe(features)
    assert layer.calibration.temperature > 1.5
    assert layer.probabilities(features.values[:, 0])[:, 3].max() == pytest.approx(1 / 10, rel=1e-5)


@pytest.mark.parametrize("true", [0.5, 1.7, 3.0])
def test_the_temperature_is_found(true):
    rng = np.random.default_rng(0)
    honest = rng.normal(scale=2, size=(20000, 3))
    targets = rng.random(honest.shape) < 1 / (1 + np.exp(-honest))
    assert fit_temperature(honest * true, targets) == pytest.approx(true, rel=0.05)
    probabilities = 1 / (1 + np.exp(-honest))
    assert expected_calibration_error(probabilities, targets) < 0.01
    assert expected_calibration_error(1 / (1 + np.exp(-honest * 3)), targets) > 0.05
