"""The maximum over the crops of `object_proposal`."""

import pytest
import torch
from tiny_rivals import TINY_BACKBONE

from rivals.recipes import FrameInput, NetworkSettings
from rivals.registry import find_system
from rivals.system import PAPER, SMALL, Build
from rivals.systems.object_proposal import CROPS

LABEL = 5


def build(taxonomy, crops, published_layer=False):
    options = {"crops": crops, "published_layer": published_layer}
    settings = NetworkSettings(TINY_BACKBONE, FrameInput(64), options=options)
    return find_system("object_proposal").build(Build(settings, taxonomy.label_names)).eval()


@pytest.mark.parametrize("published_layer", [False, True], ids=["new-layer", "on-1000-classes"])
def test_the_highest_score_of_any_crop_decides_for_each_label(taxonomy, published_layer):
    network = build(taxonomy, 3, published_layer)
    assert network.classifier.in_features == (1000 if published_layer else network.trunk.width)
    pictures = torch.rand(2, 3, 3, 64, 64)
    with torch.no_grad():
        alone = torch.stack([network(pictures[:, [crop]]) for crop in range(3)])
        together = network(pictures)
    assert together.shape == (2, len(taxonomy.labels))
    torch.testing.assert_close(together, alone.amax(dim=0))


def test_one_crop_is_enough_to_say_a_label(taxonomy):
    network = build(taxonomy, 4)
    pictures = torch.rand(1, 1, 3, 64, 64).repeat(1, 4, 1, 1, 1)
    pictures[:, 2] = 1 - pictures[:, 2]
    with torch.no_grad():
        usual, other = network.trunk(pictures[0, [0, 2]])
        network.classifier.weight[LABEL] = 20 * (other - usual) / (other - usual).square().sum()
        network.classifier.bias[LABEL] = -10 - network.classifier.weight[LABEL] @ usual
        assert network(pictures[:, [0, 1, 3]])[0, LABEL].sigmoid() < 0.01
        assert network(pictures)[0, LABEL].sigmoid() > 0.99


def test_neither_the_order_of_crops_nor_repeating_them_matters(taxonomy):
    network = build(taxonomy, 6)
    pictures = torch.rand(2, 3, 3, 64, 64)
    with torch.no_grad():
        expected = network(pictures)
        torch.testing.assert_close(network(pictures[:, [2, 0, 1]]), expected)
        torch.testing.assert_close(network(pictures[:, [0, 1, 2, 0, 1, 2]]), expected)


def test_a_network_looks_at_as_many_crops_as_its_recipe_says(taxonomy):
    recipes = find_system("object_proposal").recipes
    assert recipes[PAPER].settings.options["crops"] == CROPS
    assert 1 < recipes[SMALL].settings.options["crops"] <= CROPS
    network = build(taxonomy, 2)
    pictures = torch.rand(1, CROPS, 3, 64, 64)
    changed = pictures.clone()
    changed[:, 2:] = 0
    with torch.no_grad():
        assert torch.equal(network(changed), network(pictures))
