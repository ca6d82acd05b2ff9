"""Prediction with six heads that share a trunk."""

import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch
from conftest import write_heads
from head_probe import predict_images

from action_heads.backbones import find_backbone
from action_heads.checkpoint import hash_heads, head_path, load_head, save_head
from action_heads.input_kinds import MOTION_DIM, MOTION_LAYER
from action_heads.model import initialize_from_trunk, load_trunk
from action_heads.prediction import ActionHeads
from common.files import sha256_file
from networks.tensors import network_tensors


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(0).integers(0, 256, (3, 90, 160, 3)).astype(np.uint8)


def addresses(heads, actor):
    return {name: tensor.data_ptr() for name, tensor in network_tensors(heads.network(actor)).items()}


@pytest.fixture(
    scope="module",
    params=[("efficientnet_lite0", "classifier"), ("resnet34", "classifier"), ("resnet34", "norms")],
    ids=" ".join,
)
def shared(request, taxonomy, tmp_path_factory):
    """Six heads on an embedded trunk, and the names of the tensors that each head has for itself."""
    name, tuned = request.param
    folder = write_heads(tmp_path_factory.mktemp("shared"), taxonomy, name, tuned)
    backbone = find_backbone(name)
    return folder, backbone, backbone.trainable_tensors(backbone.build(1), tuned)


def test_heads_share_the_tensors_that_training_left_unchanged(shared, taxonomy):
    folder, _, unshared = shared
    loaded = ActionHeads(folder, taxonomy)
    found = {actor: addresses(loaded, actor) for actor in taxonomy.actor_names}
    common = set(found["cat"]) - unshared
    assert len(common) >= 36, "at least the convolutions"
    for name in common:
        assert len({found[actor][name] for actor in found}) == 1, f"{name} exists more than once"
    for name in unshared:
        assert len({found[actor][name] for actor in found}) == 6
    parameters = {id(parameter) for actor in found for name, parameter in loaded.network(actor).named_parameters()}
    assert len(parameters) == 6 * len(list(loaded.network("cat").parameters())), "six complete networks"


def test_retraining_one_head_changes_one_file_and_no_other_predictions(shared, taxonomy, images, tmp_path):
    folder, backbone, unshared = shared
    for path in folder.glob("*.safetensors"):
        shutil.copy(path, tmp_path)
    trunk = load_trunk("embedded", backbone)
    before = hash_heads(tmp_path)
    heads = ActionHeads(tmp_path, taxonomy)
    predicted = {actor: predict_images(heads, actor, images) for actor in taxonomy.actor_names}
    network, manifest = load_head(head_path(tmp_path, "cat"), taxonomy.actor("cat"))
    with torch.no_grad():
        for name in unshared:
            network.state_dict()[name].mul_(1.5)
    save_head(head_path(tmp_path, "cat"), network, manifest)
    after = hash_heads(tmp_path)
    assert [actor for actor in before if before[actor] != after[actor]] == ["cat"]
    assert load_trunk("embedded", backbone).sha256 == trunk.sha256
    heads = ActionHeads(tmp_path, taxonomy)
    for actor, probabilities in predicted.items():
        same = np.array_equal(predict_images(heads, actor, images), probabilities)
        assert same == (actor != "cat"), actor


def test_head_receives_the_view_that_it_was_trained_on(heads, taxonomy, images):
    loaded = ActionHeads(heads, taxonomy)
    boxes = np.array([[10, 10, 50, 60], [np.nan] * 4, [80, 20, 120, 60]], np.float32)
    person, dog = predict_images(loaded, "person", images), predict_images(loaded, "dog", images)
    np.testing.assert_array_equal(predict_images(loaded, "person", images, boxes), person)
    cropped = predict_images(loaded, "dog", images, boxes)
    assert (np.abs(cropped - dog).max(axis=1) > 1e-4).tolist() == [True, False, True], "no box: the whole frame"


def test_motion_contributes_to_the_logits_of_moving_heads_within_the_range_of_training(heads, taxonomy, tmp_path):
    for path in heads.glob("*.safetensors"):
        shutil.copy(path, tmp_path)
    dog = taxonomy.actor("dog")
    _, manifest = load_head(head_path(heads, "dog"), dog)
    backbone = find_backbone(manifest.backbone)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = backbone.build_head(len(dog.labels), "moving")
    initialize_from_trunk(network, load_trunk("embedded", backbone))
    rng = np.random.default_rng(0)
    layer = network.get_submodule(MOTION_LAYER)
    with torch.no_grad():
        layer.weight.copy_(torch.from_numpy(rng.uniform(0.1, 1, tuple(layer.weight.shape)).astype(np.float32)))
        layer.range.copy_(torch.tensor([[-3.0], [3.0]]).expand(2, MOTION_DIM))
    save_head(head_path(tmp_path, "dog"), network, replace(manifest, input="moving"))
    loaded = ActionHeads(tmp_path, taxonomy)
    motion = rng.standard_normal(MOTION_DIM).astype(np.float32)
    logits = rng.standard_normal((2, len(dog.labels))).astype(np.float32)
    contribution = loaded.add_motion("dog", logits, motion) - logits
    expected = layer.weight.detach().numpy() @ motion
    assert np.abs(expected).min() > 1e-3
    np.testing.assert_allclose(contribution, [expected] * 2, atol=1e-5)
    motion[0] = 3.0
    at_bound = loaded.add_motion("dog", logits, motion)
    motion[0] = 1e6
    np.testing.assert_array_equal(loaded.add_motion("dog", logits, motion), at_bound)
    assert [name for name in loaded.paths if loaded.uses_motion(name)] == ["dog"]


def test_missing_heads_come_from_the_fallback_and_are_described(heads, taxonomy, images, tmp_path):
    shutil.copy(head_path(heads, "cat"), tmp_path)
    mixed = ActionHeads(tmp_path, taxonomy, fallback=heads)
    assert mixed.describe() == f"heads: cat from {tmp_path}, the other 5 embedded"
    assert ActionHeads(heads, taxonomy, fallback=heads).describe() == f"heads {heads} (6 files)"
    assert mixed.sha256 == {actor: sha256_file(head_path(heads, actor)) for actor in taxonomy.actor_names}
    expected = predict_images(ActionHeads(heads, taxonomy), "dog", images)
    np.testing.assert_array_equal(predict_images(mixed, "dog", images), expected)


def test_no_images_give_no_probabilities(heads, taxonomy, images):
    assert predict_images(ActionHeads(heads, taxonomy), "ball", images[:0]).shape == (0, 4)
