"""Training and prediction of heads within the cross-validation."""

from dataclasses import replace

import cv2
import numpy as np
import pytest

from a2d.formats.base import Sample
from action_heads.backbones import find_backbone
from action_heads.crops import NO_BOX
from action_heads.model import load_trunk
from action_heads.training.features import FeatureCache
from action_heads.training.finetuning import FinetuningPlan
from action_heads.training.linear_probe import AuxiliaryFeatures, LabelledFeatures, fit_linear_probe
from action_heads.training.recipes import DEFAULT, adjust_recipe
from action_heads.training.samples import SampledFrame
from experiments import learners
from experiments.learners import FinetuningLearner, LinearProbeLearner, mix_features, repeat_rare_labels


def make_features(frames=24, seed=0):
    """Features of which the first two say which of two labels is true, with two frames per sample."""
    rng = np.random.default_rng(seed)
    sample = np.repeat(np.arange(frames // 2), 2)
    targets = np.eye(2, dtype=bool)[sample % 2]
    values = rng.normal(0, 1, (frames, 2, 6)).astype(np.float32)
    values[:, :, :2] += 2 * targets[:, None]
    groups = np.array([f"source {index // 2}" for index in sample], dtype=np.str_)
    return LabelledFeatures(values, targets, sample, groups)


@pytest.fixture
def masks():
    train = np.arange(24) < 16
    return train, ~train


def test_linear_probe_predicts_held_out_frames(masks):
    features = make_features()
    train, predict = masks
    logits = LinearProbeLearner(features).train_and_predict(train, predict)
    expected = fit_linear_probe(features.take(train)).logits(features.values[predict][:, 0])
    np.testing.assert_array_equal(logits, expected)
    assert (logits.argmax(axis=1) == features.targets[predict].argmax(axis=1)).mean() > 0.7


def test_logits_without_calibration_are_those_before_temperature_scaling(masks):
    features = make_features()
    scaled = LinearProbeLearner(features).train_and_predict(*masks)
    unscaled = LinearProbeLearner(features, calibrated=False).train_and_predict(*masks)
    temperature = fit_linear_probe(features.take(masks[0])).calibration.temperature
    assert abs(temperature - 1) > 0.01
    np.testing.assert_allclose(unscaled, scaled * temperature, rtol=1e-5)


def test_mirrored_prediction_uses_the_mean_of_both_versions(masks):
    features = make_features()
    probe = fit_linear_probe(features.take(masks[0]))
    logits = LinearProbeLearner(features, mirrored=True).train_and_predict(*masks)
    np.testing.assert_allclose(logits, probe.logits(features.values[masks[1]]).mean(axis=1), rtol=1e-4, atol=1e-5)


def test_per_label_thresholds_shift_the_logits_of_each_label(masks):
    features = make_features()
    plain = LinearProbeLearner(features).train_and_predict(*masks)
    shifted = LinearProbeLearner(features, per_label_thresholds=True).train_and_predict(*masks)
    shift = shifted - plain
    np.testing.assert_allclose(shift, np.broadcast_to(shift[:1], shift.shape), atol=1e-5)
    assert abs(shift).max() > 0.01


def test_auxiliary_sources_that_are_predicted_are_left_out(masks):
    features = make_features()
    known = np.ones(features.targets.shape, bool)
    leaky = AuxiliaryFeatures(features.take(masks[1]), known[masks[1]], np.ones(int(masks[1].sum())))
    with_leak = LinearProbeLearner(features, leaky).train_and_predict(*masks)
    np.testing.assert_array_equal(with_leak, LinearProbeLearner(features).train_and_predict(*masks))
    other = make_features(seed=1)
    other = replace(other, groups=np.char.add("other ", other.groups))
    with_other = LinearProbeLearner(features, AuxiliaryFeatures(other, known, np.ones(len(other)))).train_and_predict(
        *masks
    )
    assert (with_other != with_leak).any()


def test_mixup_mixes_samples_and_keeps_labels():
    features = make_features()
    mixed = mix_features(features)
    first = features.take(np.arange(0, 24, 2))
    np.testing.assert_array_equal(mixed.features.targets, first.targets)
    np.testing.assert_array_equal(mixed.features.sample, np.arange(12))
    assert mixed.known.all()
    assert (mixed.weight == 0.5).all()
    other = (mixed.features.values - 0.7 * first.values) / 0.3
    distances = np.abs(other[:, None] - first.values[None]).max(axis=(2, 3))
    assert sorted(distances.argmin(axis=1)) == list(range(12))
    assert distances.min(axis=1).max() < 1e-5


def test_samples_with_rare_labels_are_repeated():
    features = make_features(frames=8)
    targets = np.array([[1, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 1]], bool)[features.sample]
    repeated = repeat_rare_labels(replace(features, targets=targets))
    assert repeated.features.sample.tolist() == [3, 3]  # the labels have 3, 2 and 1 samples
    assert repeated.weight.tolist() == [1.0, 1.0]


@pytest.fixture
def bright_and_dark_frames(taxonomy, tmp_path):
    """Twelve clips of one frame; dark ones have the first label of a ball, bright ones the second."""
    rng, frames = np.random.default_rng(0), []
    for number in range(12):
        folder = tmp_path / str(number)
        folder.mkdir()
        image = rng.integers(0, 80, (73, 73, 3)) + 150 * (number % 2)
        cv2.imwrite(str(folder / "00001.png"), image.astype(np.uint8))
        label = taxonomy.actor("ball").label_names[number % 2]
        sample = Sample(folder, None, (label,), "train", str(number))
        frames.append(SampledFrame(sample, f"{number:064x}", 0, NO_BOX))
    return frames


def test_finetuned_heads_are_cached_by_training_data(taxonomy, bright_and_dark_frames, tmp_path, monkeypatch):
    backbone = find_backbone("efficientnet_lite0")
    trunk = replace(load_trunk("embedded", backbone), preprocessing=replace(backbone.preprocessing, size=64))
    plan = FinetuningPlan(adjust_recipe(DEFAULT, epochs=10, batch_size=4, learning_rate=0.003), "classifier")
    cache = FeatureCache(tmp_path / "logits")
    learner = FinetuningLearner(taxonomy.actor("ball"), bright_and_dark_frames, trunk, "frame", plan, cache)
    first, last = np.arange(12) < 8, np.arange(12) >= 8
    logits = learner.train_and_predict(first, last)
    assert (logits[:, 1] > logits[:, 0]).tolist() == [False, True, False, True]
    monkeypatch.setattr(learners, "train_head", None)
    np.testing.assert_array_equal(learner.train_and_predict(first, last), logits)
    with pytest.raises(TypeError):
        learner.train_and_predict(last, first)
