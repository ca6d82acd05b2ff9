"""The lines of optical flow, and networks of images made into networks of clips."""

import numpy as np
import pytest
import torch
from tiny_rivals import TINY_BACKBONE

from common.errors import CheckpointError
from rivals.inflation import inflate
from rivals.recipes import FrameInput, NetworkSettings
from rivals.registry import find_system
from rivals.system import Build
from rivals.systems.flow_lines import draw_flow_lines, flow_paths
from rivals.weights import load_trunk

PIXELS_A_FRAME = 2


def moving_square(frames=4, size=96):
    pictures = np.full((frames, size, size, 3), 30, np.uint8)
    for number, picture in enumerate(pictures):
        left = 30 + PIXELS_A_FRAME * number
        picture[40:60, left : left + 20] = 220
    return list(pictures)


def test_corners_are_followed():
    paths = flow_paths(moving_square())
    assert paths.shape[1:] == (4, 2)
    assert len(paths) >= 4
    np.testing.assert_allclose(paths[:, -1, 0] - paths[:, 0, 0], 3 * PIXELS_A_FRAME, atol=0.5)
    np.testing.assert_allclose(paths[:, -1, 1], paths[:, 0, 1], atol=0.5)


def test_lines_are_drawn_on_the_last_frame_and_alone():
    frames = moving_square()
    on_frame, alone = draw_flow_lines(frames)
    is_drawn = (alone == (0, 255, 0)).all(axis=-1)
    assert 0 < is_drawn.mean() < 0.2
    assert not alone[~is_drawn].any()
    np.testing.assert_array_equal(on_frame[~is_drawn], frames[-1][~is_drawn])
    assert (on_frame[is_drawn] == (0, 255, 0)).all()


def test_a_frame_without_corners_stays_as_it_is():
    frames = [np.full((48, 64, 3), 90, np.uint8)] * 3
    on_frame, alone = draw_flow_lines(frames)
    np.testing.assert_array_equal(on_frame, frames[-1])
    assert not alone.any()


@pytest.mark.parametrize("alone", [False, True], ids=["on-the-frame", "alone"])
def test_a_recipe_says_which_picture_the_network_is_given(alone, taxonomy):
    recipe = find_system("flow_lines").recipe("paper_alone" if alone else "paper")
    assert recipe.settings.options == {"alone": alone}
    settings = NetworkSettings(TINY_BACKBONE, FrameInput(64), options=recipe.settings.options)
    network = find_system("flow_lines").build(Build(settings, taxonomy.label_names)).eval()
    pictures = torch.rand(2, 2, 3, 64, 64)
    changed = pictures.clone()
    changed[:, int(not alone)] = 0
    with torch.no_grad():
        assert torch.equal(network(changed), network(pictures))


@pytest.mark.parametrize("backbone", [TINY_BACKBONE, "resnet18"])
def test_an_inflated_layer_gives_for_a_still_clip_what_it_gave_for_the_image(backbone):
    picture = torch.rand(2, 3, 64, 64)
    with torch.no_grad():
        trunk = load_trunk(backbone, None).eval()
        of_image = trunk.get_submodule("stem.0")(trunk.normalize(picture))
        clip = picture[:, :, None].expand(-1, -1, 13, -1, -1)
        inflated = inflate(trunk)
        assert inflated(clip).shape == (2, inflated.width)
        found = inflated.get_submodule("stem.0")(inflated.normalize(clip))
    assert found.shape[2] == 13  # every frame
    torch.testing.assert_close(found[:, :, 6], of_image, rtol=1e-3, atol=1e-4)


def test_networks_without_stages_cannot_be_inflated():
    trunk = load_trunk(TINY_BACKBONE, None)
    trunk.has_maps = False
    with pytest.raises(CheckpointError, match="cannot be cut into stages"):
        inflate(trunk)
