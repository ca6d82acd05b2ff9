"""Linear probe: correct, reproducible, and without leakage from held-out sources."""

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
    MIN_STD,
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


def make_features(samples=40, frames=3, features=12, seed=0, noise=0.5):
    """Three labels, each with its own direction in feature space; two consecutive samples share a source."""
    rng = np.random.default_rng(seed)
    label = np.repeat(np.arange(samples) % 3, frames)
    directions = rng.normal(size=(3, features)) * 2
    values = directions[label][:, None] + rng.normal(size=(len(label), 2, features)) * noise + 5
    sample = np.repeat(np.arange(samples), frames)
    groups = np.array([f"source {number // 2}" for number in sample])
    return LabelledFeatures(values.astype(np.float32), np.eye(3, dtype=bool)[label], sample, groups)


def test_fit_is_accurate_and_reproducible():
    features = make_features()
    probe, repeated = fit_linear_probe(features), fit_linear_probe(features)
    np.testing.assert_array_equal(probe.weight, repeated.weight)
    np.testing.assert_array_equal(probe.bias, repeated.bias)
    assert set(probe.f1_by_c) == set(C_VALUES)
    assert probe.f1_by_c[probe.C] == max(probe.f1_by_c.values())
    unseen = make_features(seed=0, samples=12)
    assert score_samples(probe.logits(unseen.values[:, 0]), unseen) == 1.0


def test_standardization_is_folded_into_the_classifier():
    """The probe on raw features predicts what scikit-learn's model predicts on standardized ones."""
    features = make_features(noise=3.0, frames=1)
    rows = features.values.reshape(-1, 12)
    mean, std = rows.mean(axis=0), rows.std(axis=0)
    std = (std + MIN_STD * std.mean()) * np.sqrt(12)
    target = np.repeat(features.targets[:, 1], 2)
    reference = LogisticRegression(C=1.2, max_iter=1000, tol=1e-8)
    reference.fit((rows - mean) / std, target, sample_weight=np.full(len(rows), 1 / 2))
    expected = reference.predict_proba((features.values[:, 0] - mean) / std)[:, 1]
    (probe,) = fit_for_c_values(features, [1.2])
    np.testing.assert_allclose(probe.probabilities(features.values[:, 0])[:, 1], expected, atol=2e-3)


def test_more_features_than_samples_give_the_same_classifier():
    """The fit in the subspace that the samples span equals the fit in all dimensions."""
    few = make_features(samples=8, frames=1, features=40, noise=2.0)
    (probe,) = fit_for_c_values(few, [3.0])
    rows = few.values.reshape(-1, 40).astype(float)
    mean, std = rows.mean(axis=0), rows.std(axis=0)
    std = (std + MIN_STD * std.mean()) * np.sqrt(40)
    reference = LogisticRegression(C=3.0, max_iter=1000, tol=1e-8)
    reference.fit((rows - mean) / std, np.repeat(few.targets[:, 0], 2), sample_weight=np.full(16, 0.5))
    unseen = make_features(samples=30, frames=1, features=40, noise=2.0).values[:, 0]
    expected = reference.predict_proba((unseen - mean) / std)[:, 1]
    np.testing.assert_allclose(probe.probabilities(unseen)[:, 0], expected, atol=2e-3)


def test_samples_are_represented_by_their_mean_features():
    few = make_features(frames=3, noise=2.0)
    (probe,) = fit_for_c_values(few, [3.0])
    values, targets = pool_samples(few)
    np.testing.assert_allclose(values[5], few.values[15:18].mean(axis=0), rtol=1e-5)
    single = LabelledFeatures(values, targets, np.arange(40), few.groups[::3])
    (same,) = fit_for_c_values(single, [3.0])
    np.testing.assert_allclose(same.weight, probe.weight, atol=1e-5)
    doubled = few.take(np.concatenate([np.arange(len(few)), np.arange(3)]))
    (same,) = fit_for_c_values(doubled, [3.0])
    np.testing.assert_allclose(same.weight, probe.weight, atol=1e-4)


def test_cross_validation_keeps_sources_together():
    """Features that only identify the source are useless if sources are not split across folds."""
    rng = np.random.default_rng(1)
    sample = np.repeat(np.arange(40), 2)
    label = rng.integers(0, 2, 20)[sample // 2]
    values = np.repeat(np.eye(20, dtype=np.float32)[sample // 2][:, None] * 9, 2, axis=1)
    targets = np.eye(2, dtype=bool)[label]
    probe = fit_linear_probe(LabelledFeatures(values, targets, sample, np.array([f"s{n // 2}" for n in sample])))
    assert max(probe.f1_by_c.values()) < 0.75
    leaky = fit_linear_probe(LabelledFeatures(values, targets, sample, np.array([f"s{n}" for n in sample])))
    assert max(leaky.f1_by_c.values()) > 0.95


def test_labels_without_contrast_get_a_constant():
    features = make_features()
    targets = np.concatenate([features.targets, np.zeros((120, 1), bool), np.ones((120, 1), bool)], axis=1)
    probe = fit_linear_probe(LabelledFeatures(features.values, targets, features.sample, features.groups))
    probabilities = probe.probabilities(features.values[:, 0])
    assert not probe.weight[3:].any()
    np.testing.assert_allclose(probabilities[:, 3], 1 / 42, rtol=1e-4)
    np.testing.assert_allclose(probabilities[:, 4], 41 / 42, rtol=1e-4)


def test_single_source_uses_the_default_c_and_no_data_is_rejected():
    features = make_features(samples=2)
    probe = fit_linear_probe(features)
    assert (probe.C, probe.f1_by_c) == (DEFAULT_C, {})
    with pytest.raises(TrainingError, match="no frame to train on"):
        fit_linear_probe(features.take(np.zeros(len(features), bool)))


def test_weights_are_copied_into_the_network():
    rng = np.random.default_rng(0)
    features = LabelledFeatures(
        rng.normal(size=(9, 2, 1280)).astype(np.float32),
        np.eye(3, dtype=bool)[np.arange(9) % 3],
        np.arange(9),
        np.array([*"aabbccdde"]),
    )
    probe = fit_linear_probe(features)
    network = find_backbone("efficientnet_lite0").build(3)
    probe.copy_into(network, "classifier")
    with torch.inference_mode():
        logits = network.classifier(torch.from_numpy(features.values[:, 0]))
    np.testing.assert_allclose(torch.sigmoid(logits).numpy(), probe.probabilities(features.values[:, 0]), atol=1e-5)


def test_small_block_has_as_much_influence_as_a_large_one():
    """A label that depends on one of 4 features is learned beside 400 of pure noise if they are separate blocks."""
    rng = np.random.default_rng(0)
    target = np.arange(60) % 2 == 1
    informative = rng.normal(size=(60, 1, 4)).astype(np.float32)
    informative[:, 0, 0] += 3 * target
    values = np.concatenate([rng.normal(size=(60, 1, 400)).astype(np.float32), informative], axis=2)
    targets, sample, groups = np.stack([target, ~target], 1), np.arange(60), np.array([f"s{n}" for n in range(60)])
    scores = []
    for blocks in ((404,), (400, 4)):
        features = LabelledFeatures(values, targets, sample, groups, blocks)
        scores.append(max(fit_linear_probe(features).f1_by_c.values()))
    assert scores[0] < 0.8 < scores[1]


def test_nearly_constant_feature_has_little_influence():
    features = make_features()
    values = np.concatenate([features.values, np.full((120, 2, 1), 5.0, np.float32)], axis=2)
    values[0, 0, 12] += 1e-3
    probe = fit_linear_probe(replace(features, values=values))
    means = features.values[:, 0].mean(axis=0)
    usual, unusual = (probe.probabilities(np.append(means, last).astype(np.float32)) for last in (5.0, 6.0))
    np.testing.assert_allclose(unusual, usual, atol=0.05)


@pytest.mark.parametrize("samples", [1, 2, 5])
def test_label_without_positives_is_not_predicted(samples):
    features = make_features().take(np.arange(3))  # the frames of one sample
    features = LabelledFeatures(
        np.tile(features.values, (samples, 1, 1)),
        np.tile(features.targets, (samples, 1)),
        np.repeat(np.arange(samples), 3),
        np.repeat([f"source {number}" for number in range(samples)], 3),
    )
    probabilities = fit_linear_probe(features).probabilities(features.values[:, 0])
    np.testing.assert_array_equal(decide_labels(probabilities), features.targets)


def as_auxiliary(features, weight=1.0, known=None):
    """Rename the sources, so that no auxiliary sample is left out because its source is held out."""
    other = replace(features, groups=np.char.add("auxiliary ", features.groups))
    known = np.ones(other.targets.shape, bool) if known is None else known
    return AuxiliaryFeatures(other, known, np.full(len(other), weight))


def test_auxiliary_samples_improve_the_fit_according_to_their_weight():
    primary, others, unseen = (make_features(samples=samples, noise=4) for samples in (4, 60, 90))
    scores = [
        score_samples(fit_for_c_values(primary, [10.0], auxiliary)[0].logits(unseen.values[:, 0]), unseen)
        for auxiliary in (None, as_auxiliary(others, 0.3))
    ]
    assert scores[1] > scores[0] + 0.1
    (alone,), (helped,) = fit_for_c_values(primary, [1.0]), fit_for_c_values(primary, [1.0], as_auxiliary(others, 1e-9))
    np.testing.assert_allclose(helped.weight, alone.weight, atol=1e-4)


def test_auxiliary_weight_is_equivalent_to_copies():
    """A weight of 2 has the same effect as two copies of each auxiliary sample."""
    primary, others = make_features(samples=9, seed=0), make_features(samples=6, seed=1)
    twice = replace(
        others,
        values=np.concatenate([others.values] * 2),
        targets=np.concatenate([others.targets] * 2),
        sample=np.concatenate([others.sample, others.sample + 6]),
        groups=np.concatenate([others.groups] * 2),
    )
    (one,), (two,) = (
        fit_for_c_values(primary, [1.0], as_auxiliary(others, 2.0)),
        fit_for_c_values(primary, [1.0], as_auxiliary(twice, 1.0)),
    )
    np.testing.assert_allclose(one.weight, two.weight, atol=2e-3)


def test_auxiliary_samples_may_differ_in_weight():
    """Those of weight 0 might as well not be there."""
    primary, others = make_features(samples=9, seed=0), make_features(samples=12, seed=1)
    first = others.sample < 6
    mixed = replace(as_auxiliary(others), weight=np.where(first, 0.7, 0.0))
    (one,), (two,) = (fit_for_c_values(primary, [1.0], part) for part in (mixed, as_auxiliary(others.take(first), 0.7)))
    np.testing.assert_allclose(one.weight, two.weight, atol=2e-3)


def test_labels_with_unknown_auxiliary_targets_are_not_affected():
    primary, others = make_features(samples=12, seed=0), make_features(samples=30, seed=1)
    known = np.tile([True, False, True], (len(others), 1))
    (alone,), (helped,) = (
        fit_for_c_values(primary, [3.0]),
        fit_for_c_values(primary, [3.0], as_auxiliary(others, 1.0, known)),
    )
    values = primary.values[:, 0]
    np.testing.assert_allclose(helped.logits(values)[:, 1], alone.logits(values)[:, 1], atol=0.02)
    assert np.abs(helped.logits(values)[:, 0] - alone.logits(values)[:, 0]).max() > 0.1


def test_auxiliary_samples_of_held_out_sources_are_left_out():
    """Auxiliary copies of the same clips must not leak their targets into the cross-validation."""
    rng = np.random.default_rng(0)
    values = rng.normal(size=(40, 2, 300)).astype(np.float32)  # noise: only a memorized sample can be predicted
    targets = np.eye(2, dtype=bool)[rng.integers(0, 2, 40)]
    primary = LabelledFeatures(values, targets, np.arange(40), np.array([f"s{n}" for n in range(40)]))
    honest = predict_held_out(primary, AuxiliaryFeatures(primary, np.ones((40, 2), bool), np.ones(40)))[C_VALUES[-1]]
    leaky = predict_held_out(primary, as_auxiliary(primary))[C_VALUES[-1]]
    assert score_samples(honest, primary) < 0.8 < score_samples(leaky, primary)


def test_overconfident_classifier_is_divided_by_a_temperature():
    features = make_features(samples=60, frames=1, noise=20)
    probe = fit_linear_probe(features)
    (uncalibrated,) = fit_for_c_values(features, [probe.C])
    assert probe.calibration.temperature > 1.5
    assert probe.calibration.error_after < probe.calibration.error_before
    np.testing.assert_allclose(probe.weight * probe.calibration.temperature, uncalibrated.weight, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(probe.bias * probe.calibration.temperature, uncalibrated.bias, rtol=1e-4, atol=1e-6)
    assert probe.recipe()["temperature"] == round(probe.calibration.temperature, 4)


def test_constant_of_a_label_without_positives_is_not_scaled():
    features = make_features(samples=8, frames=1, noise=20)
    features = replace(features, targets=np.pad(features.targets, ((0, 0), (0, 1))))
    probe = fit_linear_probe(features)
    assert probe.calibration.temperature > 1.5
    assert probe.probabilities(features.values[:, 0])[:, 3].max() == pytest.approx(1 / 10, rel=1e-5)


@pytest.mark.parametrize("true", [0.5, 1.7, 3.0])
def test_fitted_temperature_recovers_the_true_one(true):
    rng = np.random.default_rng(0)
    logits = rng.normal(scale=2, size=(20000, 3))
    targets = rng.random(logits.shape) < 1 / (1 + np.exp(-logits))
    assert fit_temperature(logits * true, targets) == pytest.approx(true, rel=0.05)
    probabilities = 1 / (1 + np.exp(-logits))
    assert expected_calibration_error(probabilities, targets) < 0.01
    assert expected_calibration_error(1 / (1 + np.exp(-logits * 3)), targets) > 0.05
