"""The self-attention and the branches of `multiscale`."""

import torch
from tiny_rivals import TINY_BACKBONE

from rivals.recipes import FrameInput, NetworkSettings
from rivals.registry import find_system
from rivals.system import Build
from rivals.systems.multiscale import BRANCHES, SelfAttention


def test_self_attention_changes_nothing_until_its_weight_does():
    map_ = torch.rand(2, 16, 3, 5)
    attention = SelfAttention(16)
    assert torch.equal(attention(map_), map_)
    torch.testing.assert_close(attention.attention(map_).sum(dim=-1), torch.ones(2, 15))
    with torch.no_grad():
        attention.weight.fill_(1)
        attention.query.weight.zero_()
        attention.query.bias.zero_()  # all positions count alike
        expected = map_ + attention.value(map_).mean(dim=(2, 3), keepdim=True)
        torch.testing.assert_close(attention(map_), expected)


def test_the_largest_of_the_branches_decides(taxonomy):
    settings = NetworkSettings(TINY_BACKBONE, FrameInput(64), options={"width": 7})
    network = find_system("multiscale").build(Build(settings, taxonomy.label_names)).eval()
    assert tuple(network.branches) == BRANCHES == ("layer2", "layer3", "layer4")
    pictures = torch.rand(2, 3, 64, 64)
    with torch.no_grad():
        for number, stage in enumerate(BRANCHES):
            network.branches[stage][-1].weight.zero_()
            network.branches[stage][-1].bias.fill_(number)
        expected = network.classifier(torch.full((2, 7), 2.0))
        torch.testing.assert_close(network(pictures), expected)
