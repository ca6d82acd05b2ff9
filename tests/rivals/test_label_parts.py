"""The actors and the actions of labels, and the networks that classify them apart."""

import pytest
import torch

from rivals.label_parts import LabelParts, final_bce, separate_and_final_bce, separate_bce
from rivals.losses import bce
from rivals.registry import find_system
from rivals.system import PAPER, SMALL, Build

A2D_ACTORS = ("adult", "baby", "ball", "bird", "car", "cat", "dog")
A2D_ACTIONS = ("climbing", "crawling", "eating", "flying", "jumping", "none", "rolling", "running", "walking")


def test_a2d_has_seven_actors_and_nine_actions(taxonomy):
    parts = LabelParts(taxonomy.label_names)
    assert parts.actors == A2D_ACTORS
    assert parts.actions == A2D_ACTIONS
    for label in taxonomy.labels:
        assert parts.actor_members[:, label.index].tolist() == [float(name == label.kind) for name in parts.actors]
        assert parts.action_members[:, label.index].tolist() == [float(name == label.action) for name in parts.actions]
    assert not parts.state_dict()  # follows from the labels


def test_the_losses_turn_targets_into_those_of_actors_and_actions():
    parts = LabelParts(["cat-eating", "dog-eating", "dog-none"])
    targets = torch.tensor([[0.0, 1.0, 1.0], [0.0, 0.0, 0.0]])
    actors, actions, pairs, final = (torch.randn(2, size) for size in (2, 2, 3, 3))
    outputs = (actors, actions, pairs, final, parts.actor_members, parts.action_members)
    expected = (
        bce(actors, torch.tensor([[0.0, 1.0], [0.0, 0.0]]))
        + bce(actions, torch.tensor([[1.0, 1.0], [0.0, 0.0]]))
        + bce(pairs, targets)
    )
    torch.testing.assert_close(separate_bce(outputs, targets), expected)
    torch.testing.assert_close(separate_and_final_bce(outputs, targets), expected + bce(final, targets))
    torch.testing.assert_close(final_bce(outputs, targets), bce(final, targets))


def test_the_tri_layer_concatenates_7_and_9_and_43_outputs_into_43(taxonomy):
    settings = find_system("tri_layer").recipe(PAPER).settings
    network = find_system("tri_layer").build(Build(settings, taxonomy.label_names))
    sizes = [layer.out_features for layer in (network.actors, network.actions, network.pairs)]
    assert sizes == [7, 9, 43]
    assert network.final.weight.shape == (43, 7 + 9 + 43)


@pytest.mark.parametrize("name", ["vanilla_cnn", "semi_fc_cnn"])
@pytest.mark.parametrize("recipe", [PAPER, SMALL])
def test_the_handmade_networks_fit_their_recipes(name, recipe, taxonomy):
    settings = find_system(name).recipe(recipe).settings
    network = find_system(name).build(Build(settings, taxonomy.label_names))
    size = settings.inputs.size
    assert network(torch.zeros(2, 3, size, size)).shape == (2, 43)
    assert {"vanilla_cnn": 4, "semi_fc_cnn": 5}[name] == sum(isinstance(m, torch.nn.Conv2d) for m in network.modules())
