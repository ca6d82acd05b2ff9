"""The attention map of `apcd_resnet`, and the picture of it."""

import cv2
import numpy as np
import torch
from tiny_rivals import TINY_BACKBONE

from rivals.recipes import FrameInput, NetworkSettings
from rivals.registry import find_system
from rivals.system import Build
from rivals.systems.apcd import draw_attention, save_attention


def test_what_the_map_shuts_out_does_not_reach_the_detectors(taxonomy):
    system = find_system("apcd_resnet")
    network = system.build(Build(NetworkSettings(TINY_BACKBONE, FrameInput(64)), taxonomy.label_names)).eval()
    pictures = torch.rand(2, 3, 64, 64)
    with torch.no_grad():
        attention = network.attention_map(pictures)
        assert attention.shape == (2, 1, 4, 4)  # a 16th of the side, as 14 is of 224
        assert ((attention > 0) & (attention < 1)).all()
        assert not torch.equal(*network(pictures))
        network.attention.bias.fill_(-1e9)  # which shuts out everything
        network.attention.weight.zero_()
        assert torch.equal(*network(pictures))


def test_a_map_is_saved_as_a_picture(tmp_path):
    image = np.full((40, 60, 3), 100, np.uint8)
    attention = np.zeros((4, 6), np.float32)
    attention[:2, :3] = 0.2
    save_attention(tmp_path / "map.png", image, attention)
    found = cv2.imread(str(tmp_path / "map.png"))
    np.testing.assert_array_equal(found, draw_attention(image, attention))
    top_left, bottom_right = found[5, 5].astype(int), found[35, 55].astype(int)
    assert top_left[2] > top_left[0]  # red where it looks
    assert bottom_right[0] > bottom_right[2]  # blue where it does not
