"""The layers of `cnn_lstm`."""

from dataclasses import replace

import torch
from tiny_rivals import TINY_BACKBONE

from rivals.registry import find_system
from rivals.system import PAPER, Build


def test_the_layers_have_the_published_widths(taxonomy):
    system = find_system("cnn_lstm")
    settings = replace(system.recipe(PAPER).settings, backbone=TINY_BACKBONE)
    network = system.build(Build(settings, taxonomy.label_names)).eval()
    linear = [layer for layer in network.classifier if isinstance(layer, torch.nn.Linear)]
    assert network.embedding.out_features == network.lstm.input_size == 1024
    assert (linear[0].in_features, len(linear), linear[-1].out_features) == (6 * 512, 3, 43)
    pictures = torch.rand(2, 6, 3, 64, 64)
    with torch.no_grad():
        logits = network(pictures)
        assert logits.shape == (2, 43)
        assert not torch.equal(network(pictures.flip(1)), logits)  # the order of the frames counts
