"""Six heads in memory: their trunk is one, and each is retrained alone."""

import shutil

import numpy as np
import pytest
import torch
from conftest import write_heads

from action_heads.backbones import find_backbone, tensors_of
from action_heads.checkpoint import hash_heads, head_path, load_head, save_head
from action_heads.model import load_trunk
from action_heads.prediction import ActionHeads
from common.files import sha256_file


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(0).integers(0, 256, (3, 90, 160, 3)).astype(np.uint8)


def addresses(heads, actor):
    return {name: tensor.data_ptr() for name, tensor in tensors_of(heads.network(actor)).items()}


@pytest.fixture(
    scope="module",
    params=[("efficientnet_lite0", "classifier"), ("resnet34", "classifier"), ("resnet34", "norms")],
    ids=" ".join,
)
def shared(request, taxonomy, tmp_path_factory):
    """Six heads on an embedded trunk, and the names of the tensors that are each one's own."""
    name, tuned = request.param
    folder = write_heads(tmp_path_factory.mktemp("shared"), taxonomy, name, tuned)
    backbone = find_backbone(name)
    return folder, backbone, backbone.movable(backbone.build(1), tuned)


def test_heads_share_what_their_training_left_alone(shared, taxonomy):
    folder, _, own = shared
    loaded = ActionHeads(folder, taxonomy)
    found = {actor: addresses(loaded, actor) for actor in taxonomy.actor_names}
    common = set(found["cat"]) - own
    assert len(common) >= 36, "convolutions at least"
    for name in common:
        assert len({found[actor][name] for actor in found}) == 1, f"{name} is there more than once"
    for name in own:
        assert len({found[actor][name] for actor in found}) == 6
    parameters = {id(parameter) for actor in found for name, parameter in loaded.network(actor).named_parameters()}
    assert len(parameters) == 6 * len(list(loaded.network("cat").parameters())), "six true networks"


def test_retraining_one_head_changes_one_file_and_no_other_heads_answers(shared, taxonomy, images, tmp_path):
    folder, backbone, own = shared
    for path in folder.glob("*.safetensors"):
        shutil.copy(path, tmp_path)
    trunk = load_trunk("embedded", backbone)
    before = hash_heads(tmp_path)
    said = {actor: ActionHeads(tmp_path, taxonomy).predict(actor, images) for actor in taxonomy.actor_names}
    network, manifest = load_head(head_path(tmp_path, "cat"), taxonomy.actor("cat"))
    with torch.no_grad():
        for name in own:
            network.state_dict()[name].mul_(1.5)
    save_head(head_path(tmp_path, "cat"), network, manifest)
    after = hash_heads(tmp_path)
    assert [actor for actor in before if before[actor] != after[actor]] == ["cat"]
    assert load_trunk("embedded", backbone).sha256 == trunk.sha256
    again = ActionHeads(tmp_path, taxonomy)
    for actor, probabilities in said.items():
        same = np.array_equal(again.predict(actor, images), probabilities)
        assert same == (actor != "cat"), actor


def test_a_head_is_fed_as_it_was_trained(heads, taxonomy, images):
    loaded = ActionHeads(heads, taxonomy)
    boxes = np.array([[10, 10, 50, 60], [np.nan] * 4, [80, 20, 120, 60]], np.float32)
    frames, crops = loaded.predict("person", images), loaded.predict("dog", images)
    np.testing.assert_array_equal(loaded.predict("person", images, boxes), frames)
    seen = loaded.predict("dog", images, boxes)
    assert (np.abs(seen - crops).max(axis=1) > 1e-4).tolist() == [True, False, True], "no box: the whole frame"


def test_a_folder_with_one_head_is_filled_up_and_says_so(heads, taxonomy, images, tmp_path):
    shutil.copy(head_path(heads, "cat"), tmp_path)
    mixed = ActionHeads(tmp_path, taxonomy, fallback=heads)
    assert mixed.describe() == f"heads: cat from {tmp_path}, the other 5 embedded"
    assert ActionHeads(heads, taxonomy, fallback=heads).describe() == f"heads {heads} (6 files)"
    assert mixed.sha256 == {actor: sha256_file(head_path(heads, actor)) for actor in taxonomy.actor_names}
    np.testing.assert_array_equal(mixed.predict("dog", images), ActionHeads(heads, taxonomy).predict("dog", images))


def test_no_images_give_no_probabilities(heads, taxonomy, images):
    assert ActionHeads(heads, taxonomy).predict("ball", images[:0]).shape == (0, 4)
