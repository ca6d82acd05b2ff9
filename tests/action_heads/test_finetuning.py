"""Fine-tuning of a head on images that a network learns to distinguish in seconds, and label decisions."""

import dataclasses

import numpy as np
import pytest
import torch
from head_probe import predict_images

from a2d.formats.base import Sample
from action_heads.backbones import find_backbone
from action_heads.checkpoint import head_path, load_head
from action_heads.crops import NO_BOX
from action_heads.defaults import LABEL_THRESHOLD
from action_heads.label_decision import decide_labels
from action_heads.model import initialize_from_trunk, load_trunk
from action_heads.prediction import ActionHeads
from action_heads.preprocessing import Preprocessing, evaluation_transform, resize_frame
from action_heads.training.finetuning import (
    FinetuningPlan,
    _sampler,
    first_label_cross_entropy,
    predict_frames,
    score_frames,
    train_head,
)
from action_heads.training.recipes import DEFAULT, PAPER, RECIPES, adjust_recipe, recipe_from_name
from action_heads.training.samples import (
    LabelledFrames,
    SampledFrame,
    read_labelled_frames,
    samples_showing,
    target_matrix,
)
from action_heads.tuning_modes import TUNING_MODES
from common.errors import TrainingError
from inference.image_tensors import bgr_to_rgb_tensor
from networks.tensors import network_tensors
from video.clips import read_frames_at

SMALL = Preprocessing(size=64)


@pytest.fixture(scope="module")
def frames():
    """Noise that is dark or bright: label 0 is dark, label 1 is bright, label 2 has no positives."""
    rng = np.random.default_rng(0)
    bright = np.arange(24) % 2 == 1
    images = rng.integers(0, 80, (24, 73, 73, 3)) + 150 * bright[:, None, None, None]
    targets = np.stack([~bright, bright, np.zeros(24, bool)], axis=1)
    return LabelledFrames(images.astype(np.uint8), targets)


@pytest.fixture(scope="module")
def trunk():
    return dataclasses.replace(load_trunk("random", find_backbone("resnet34"), 0), preprocessing=SMALL)


RECIPES_TO_TEST = [adjust_recipe(DEFAULT, epochs=6, batch_size=4), adjust_recipe(PAPER, epochs=6, learning_rate=0.01)]


@pytest.mark.parametrize("recipe", RECIPES_TO_TEST, ids=lambda recipe: recipe.name)
def test_every_recipe_reduces_the_loss(frames, trunk, recipe):
    assert {recipe.name for recipe in RECIPES_TO_TEST} == set(RECIPES)
    reports = []
    state = torch.get_rng_state()
    network = train_head(frames, trunk, FinetuningPlan(recipe), on_epoch=reports.append)
    assert torch.equal(torch.get_rng_state(), state), "the caller's random state changed"
    assert [report.epoch for report in reports] == [1, 2, 3, 4, 5, 6]
    assert reports[-1].loss < reports[0].loss
    probabilities = predict_frames(network, frames, SMALL)
    assert probabilities.shape == (24, 3)
    if recipe.name == DEFAULT.name:  # on 24 frames, SGD's final predictions depend on rounding
        assert (probabilities[:, 1] > probabilities[:, 0]).tolist() == frames.targets[:, 1].tolist()
    assert not network.training


def test_training_is_determined_by_the_seed(frames, trunk):
    recipe = adjust_recipe(DEFAULT, epochs=1)
    states = [train_head(frames, trunk, FinetuningPlan(recipe, seed=seed)).state_dict() for seed in (3, 3, 4)]
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])
    assert not torch.equal(states[0]["fc.weight"], states[2]["fc.weight"])


def test_training_on_a_single_frame_is_possible(frames, trunk):
    one = LabelledFrames(frames.images[:1], frames.targets[:1])
    network = train_head(one, trunk, FinetuningPlan(adjust_recipe(DEFAULT, epochs=1)))
    assert all(tensor.isfinite().all() for tensor in network.state_dict().values())
    assert np.isfinite(predict_frames(network, one, SMALL)).all()


def test_infinite_or_nan_loss_stops_the_training(frames, trunk):
    with pytest.raises(TrainingError, match=r"the loss became (nan|inf) in epoch \d; try a lower learning rate"):
        train_head(frames, trunk, FinetuningPlan(adjust_recipe(PAPER, learning_rate=1e30, epochs=3)))


def test_training_without_frames_is_rejected(trunk):
    empty = LabelledFrames(np.zeros((0, 73, 73, 3), np.uint8), np.zeros((0, 3), bool))
    with pytest.raises(TrainingError, match="no frame to train on"):
        train_head(empty, trunk, FinetuningPlan(DEFAULT))


def test_paper_recipe_has_the_published_hyperparameters():
    assert (PAPER.loss, PAPER.optimizer, PAPER.learning_rate, PAPER.momentum) == ("cross_entropy", "sgd", 0.001, 0.9)
    assert (PAPER.schedule, PAPER.epochs, PAPER.batch_size) == ("step", 15, 4)
    assert [PAPER.augment, PAPER.balance, PAPER.weight_decay, PAPER.bf16] == [False, False, 0.0, False]


def test_published_schedule_drops_every_seven_epochs(frames, trunk):
    rates = []
    few = LabelledFrames(frames.images[:2], frames.targets[:2])
    train_head(few, trunk, FinetuningPlan(PAPER), on_epoch=lambda report: rates.append(report.learning_rate))
    assert rates == pytest.approx([1e-3] * 7 + [1e-4] * 7 + [1e-5])


def test_published_loss_uses_the_first_label_only():
    logits = torch.tensor([[1.0, 2.0, 3.0]])
    expected = -torch.log_softmax(logits, dim=1)[0, 1]
    assert first_label_cross_entropy(logits, torch.tensor([[0.0, 1.0, 1.0]])) == expected


def test_balanced_sampling_draws_rare_labels_more_often(frames):
    targets = np.zeros((100, 2), bool)
    targets[:96, 0], targets[96:, 1] = True, True
    many = LabelledFrames(np.zeros((100, 4, 4, 3), np.uint8), targets)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        drawn = np.array([index for _ in range(20) for index in _sampler(many, DEFAULT)])
    share = (drawn >= 96).mean()
    assert share == pytest.approx(np.sqrt(4) / (np.sqrt(4) + np.sqrt(96)), abs=0.03)


@pytest.mark.parametrize(
    ("probabilities", "expected"),
    [
        ([0.6, LABEL_THRESHOLD, LABEL_THRESHOLD - 0.01], [True, True, False]),
        ([0.1, 0.15, 0.2], [False, False, True]),
        ([0.2, 0.2, 0.2], [True, False, False]),
        ([LABEL_THRESHOLD], [True]),
    ],
    ids=["two reach the threshold", "none does: the most probable", "a tie: the first", "exactly the threshold"],
)
def test_label_decision(probabilities, expected):
    assert decide_labels(np.array(probabilities)).tolist() == expected
    assert score_frames(np.array([probabilities]), np.array([expected]), LABEL_THRESHOLD).f1 == 1.0


def test_invalid_recipes_are_rejected():
    with pytest.raises(TrainingError, match="unknown recipe 'papr'; did you mean 'paper'"):
        recipe_from_name("papr")
    with pytest.raises(TrainingError, match="epochs 0 was given"):
        adjust_recipe(DEFAULT, epochs=0)
    assert adjust_recipe(DEFAULT, epochs=None) == DEFAULT


def test_scoring_uses_the_same_inputs_as_prediction(people_and_cat_clip, taxonomy, heads):
    clip = people_and_cat_clip
    sample = Sample(clip, None, ("dog-walking",), "test", "a source")
    boxes = np.stack([np.array([100, 50, 200, 150], np.float32), NO_BOX])
    sampled = [SampledFrame(sample, "", frame, box) for frame, box in zip((2, 6), boxes, strict=True)]
    network, manifest = load_head(head_path(heads, "dog"), taxonomy.actor("dog"))
    preprocessing = Preprocessing.from_dict(manifest.preprocessing, "dog")
    frames = read_labelled_frames(taxonomy.actor("dog"), sampled, manifest.input, preprocessing.size)
    assert manifest.input == "crop"
    scored = predict_frames(network, frames, preprocessing)
    images = read_frames_at(clip, [2, 6]).images
    predicted = predict_images(ActionHeads(heads, taxonomy), "dog", images, boxes)
    np.testing.assert_allclose(scored, predicted, atol=1e-5)
    whole = predict_images(ActionHeads(heads, taxonomy), "dog", images)
    assert np.abs(whole[0] - predicted[0]).max() > 1e-4


@pytest.mark.parametrize("tuning_mode", TUNING_MODES)
def test_tuning_mode_changes_its_tensors_and_no_others(frames, tuning_mode):
    backbone = find_backbone("efficientnet_lite0")
    trunk = dataclasses.replace(load_trunk("embedded", backbone), preprocessing=SMALL)
    few = LabelledFrames(frames.images[:4], frames.targets[:4])
    recipe = adjust_recipe(DEFAULT, epochs=1, batch_size=4, learning_rate=0.01)
    network = train_head(few, trunk, FinetuningPlan(recipe, tuning_mode))
    initial = backbone.build(3)
    initialize_from_trunk(initial, trunk)
    changed = {
        name
        for name, tensor in network_tensors(network).items()
        if name not in backbone.classifier_keys and not torch.equal(tensor, network_tensors(initial)[name])
    }
    trainable = backbone.trainable_tensors(network, tuning_mode) - {*backbone.classifier_keys}
    assert changed <= trainable
    assert len(changed) >= 0.9 * len(trainable)
    assert all(torch.equal(p, p.half().float()) for p in network.parameters() if p.ndim == 4), "rounded as stored"


def test_targets_contain_the_labels_of_the_actor_only(taxonomy, tmp_path):
    samples = [
        Sample(tmp_path, None, labels, "train", "s")
        for labels in (("dog-walking", "adult-walking"), ("cat-none",), (), ("dog-running", "dog-walking"))
    ]
    dog = taxonomy.actor("dog")
    shown = samples_showing(dog, samples)
    assert shown == [samples[0], samples[3]]
    targets = target_matrix(dog, shown)
    names = [[name for name, target in zip(dog.label_names, row, strict=True) if target] for row in targets]
    assert names == [["dog-walking"], ["dog-running", "dog-walking"]]
    assert target_matrix(dog, []).shape == (0, 7)


def test_inputs_are_normalized_rgb():
    image = np.zeros((90, 160, 3), np.uint8)
    image[..., 2] = 255  # red, in BGR
    resized = resize_frame(image, 32)
    assert resized.shape == (32, 32, 3)
    tensor = bgr_to_rgb_tensor(resized)
    assert tensor.shape == (3, 32, 32)
    assert tensor[0].min() == 255, "the red channel is the first one"
    transformed = evaluation_transform(SMALL)(tensor)
    assert transformed[0, 0, 0].item() == pytest.approx((1 - 0.485) / 0.229, abs=1e-5)
