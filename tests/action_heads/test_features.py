"""Features of looks: computed once, kept by content, and the same as what the whole network sees."""

import dataclasses

import numpy as np
import pytest
import torch

from a2d.formats.base import Sample
from action_heads.backbones import find_backbone
from action_heads.crops import NO_BOX
from action_heads.model import load_trunk, initialize_from_trunk
from action_heads.preprocessing import Preprocessing, to_inputs
from action_heads.training.features import FeatureCache, compute_features, feature_key
from action_heads.training.samples import SampledFrame
from common.errors import ClipError
from common.files import sha256_file
from video.clips import read_frames_at

LITE0 = find_backbone("efficientnet_lite0")
SMALL = dataclasses.replace(LITE0.preprocessing, size=64)
BOX = np.array([100, 50, 200, 150], np.float32)


@pytest.fixture(scope="module")
def trunk():
    return load_trunk("embedded", LITE0)


@pytest.fixture(scope="module")
def looks(kit):
    clip = kit / "clips" / "dog-walking__ground-a-video-dog-walking.mp4"
    sample = Sample(clip, None, ("dog-walking",), "train", "a source")
    digest = sha256_file(clip)
    return [SampledFrame(sample, digest, frame, box) for frame, box in ((2, BOX), (6, NO_BOX), (2, BOX))]


@pytest.mark.parametrize("kind", ["crop", "frame"])
def test_features_are_what_the_last_layer_is_fed(trunk, looks, kind):
    found = compute_features(looks, trunk, kind, SMALL, FeatureCache(None))
    assert found.shape == (3, 2, 1280)
    network = LITE0.build(5).eval()
    initialize_from_trunk(network, trunk)
    images = read_frames_at(looks[0].sample.clip, [2, 6]).images
    inputs = to_inputs(images, np.stack([BOX, NO_BOX]), kind, SMALL)
    with torch.inference_mode():
        expected = [network(inputs).numpy(), network(inputs.flip(3)).numpy()]
        given = [network.classifier(torch.from_numpy(found[:2, view])).numpy() for view in range(2)]
    np.testing.assert_allclose(given, expected, atol=1e-4)
    np.testing.assert_array_equal(found[0], found[2])


def test_what_is_kept_is_not_computed_again(trunk, looks, tmp_path):
    cache = FeatureCache(tmp_path / "features")
    first = compute_features(looks, trunk, "crop", SMALL, cache)
    assert len(list(tmp_path.rglob("*.npy"))) == 2
    moved = [dataclasses.replace(look, sample=dataclasses.replace(look.sample, clip=tmp_path / "gone.mp4"))
             for look in looks]  # fmt: skip
    np.testing.assert_array_equal(compute_features(moved, trunk, "crop", SMALL, cache), first)
    with pytest.raises(ClipError):
        compute_features(moved, trunk, "frame", SMALL, cache)


def test_a_damaged_entry_is_computed_anew(trunk, looks, tmp_path):
    cache = FeatureCache(tmp_path)
    first = compute_features(looks[:1], trunk, "crop", SMALL, cache)
    (entry,) = tmp_path.rglob("*.npy")
    for content in (b"", entry.read_bytes()[:500], b"damaged"):
        entry.write_bytes(content)
        np.testing.assert_array_equal(compute_features(looks[:1], trunk, "crop", SMALL, cache), first)
        assert len(entry.read_bytes()) > 10_000


def test_a_look_gives_the_same_in_any_company(trunk, looks):
    together = compute_features(looks, trunk, "crop", SMALL, FeatureCache(None))
    alone = compute_features(looks[1:2], trunk, "crop", SMALL, FeatureCache(None))
    np.testing.assert_array_equal(together[1:2], alone)


def test_a_key_knows_all_that_decides(looks):
    look = looks[0]
    same = feature_key(dataclasses.replace(look, box=BOX.copy()), "t" * 64, "crop", SMALL)
    assert feature_key(look, "t" * 64, "crop", SMALL) == same
    others = [
        feature_key(dataclasses.replace(look, clip_sha256="0" * 64), "t" * 64, "crop", SMALL),
        feature_key(dataclasses.replace(look, frame_index=3), "t" * 64, "crop", SMALL),
        feature_key(dataclasses.replace(look, box=BOX + 1), "t" * 64, "crop", SMALL),
        feature_key(dataclasses.replace(look, box=NO_BOX), "t" * 64, "crop", SMALL),
        feature_key(look, "u" * 64, "crop", SMALL),
        feature_key(look, "t" * 64, "frame", SMALL),
        feature_key(look, "t" * 64, "crop", Preprocessing()),
    ]
    assert len({same, *others}) == 8


def test_no_looks_give_no_features(trunk):
    assert len(compute_features([], trunk, "crop", SMALL, FeatureCache(None))) == 0
