"""Features of sampled frames: equal to the network's, and cached by content."""

import dataclasses

import numpy as np
import pytest
import torch

from a2d.formats.base import Sample
from action_heads.backbones import find_backbone
from action_heads.crops import NO_BOX
from action_heads.model import initialize_from_trunk, load_trunk
from action_heads.preprocessing import Preprocessing, preprocess_frames
from action_heads.training.features import FeatureCache, compute_features, feature_key
from action_heads.training.samples import SampledFrame
from common.errors import ClipError
from common.files import sha256_file
from inference.runtime import make_runtime
from video.clips import read_frames_at

LITE0 = find_backbone("efficientnet_lite0")
SMALL = dataclasses.replace(LITE0.preprocessing, size=64)
RUN = "torch f32"
BOX = np.array([100, 50, 200, 150], np.float32)


@pytest.fixture(scope="module")
def trunk():
    return dataclasses.replace(load_trunk("embedded", LITE0), preprocessing=SMALL)


@pytest.fixture(scope="module")
def sampled(people_and_cat_clip):
    clip = people_and_cat_clip
    sample = Sample(clip, None, ("dog-walking",), "train", "a source")
    digest = sha256_file(clip)
    return [SampledFrame(sample, digest, frame, box) for frame, box in ((2, BOX), (6, NO_BOX), (2, BOX))]


@pytest.mark.parametrize("view", ["crop", "frame"])
def test_features_are_the_inputs_of_the_classifier(trunk, sampled, view):
    found = compute_features(sampled, trunk, view, FeatureCache(None))
    assert found.shape == (3, 2, 1280)
    network = LITE0.build(5).eval()
    initialize_from_trunk(network, trunk)
    images = read_frames_at(sampled[0].sample.clip, [2, 6]).images
    inputs = preprocess_frames(images, np.stack([BOX, NO_BOX]), view, SMALL)
    with torch.inference_mode():
        expected = [network(inputs).numpy(), network(inputs.flip(3)).numpy()]
        logits = [network.classifier(torch.from_numpy(found[:2, version])).numpy() for version in range(2)]
    np.testing.assert_allclose(logits, expected, atol=1e-4)
    np.testing.assert_array_equal(found[0], found[2])


def test_features_are_those_of_prediction_whatever_runs_the_trunk(trunk, sampled, tmp_path):
    usual = compute_features(sampled, trunk, "crop", FeatureCache(None))
    openvino = make_runtime("openvino", "f32", "cpu", tmp_path)
    found = compute_features(sampled, trunk, "crop", FeatureCache(None), openvino)
    np.testing.assert_allclose(found, usual, atol=2e-4)
    assert not np.array_equal(found, usual)


def test_cached_features_are_not_computed_again(trunk, sampled, tmp_path):
    cache = FeatureCache(tmp_path / "features")
    first = compute_features(sampled, trunk, "crop", cache)
    assert len(list(tmp_path.rglob("*.npy"))) == 2
    sample = dataclasses.replace(sampled[0].sample, clip=tmp_path / "missing.mp4")
    moved = [dataclasses.replace(frame, sample=sample) for frame in sampled]
    np.testing.assert_array_equal(compute_features(moved, trunk, "crop", cache), first)
    with pytest.raises(ClipError):
        compute_features(moved, trunk, "frame", cache)


def test_damaged_entry_is_computed_again(trunk, sampled, tmp_path):
    cache = FeatureCache(tmp_path)
    first = compute_features(sampled[:1], trunk, "crop", cache)
    (entry,) = tmp_path.rglob("*.npy")
    for content in (b"", entry.read_bytes()[:500], b"damaged"):
        entry.write_bytes(content)
        np.testing.assert_array_equal(compute_features(sampled[:1], trunk, "crop", cache), first)
        assert len(entry.read_bytes()) > 10_000


def test_features_do_not_depend_on_other_frames(trunk, sampled):
    together = compute_features(sampled, trunk, "crop", FeatureCache(None))
    alone = compute_features(sampled[1:2], trunk, "crop", FeatureCache(None))
    np.testing.assert_array_equal(together[1:2], alone)


def test_key_covers_everything_that_determines_the_features(sampled):
    frame = sampled[0]
    same = feature_key(dataclasses.replace(frame, box=BOX.copy()), "t" * 64, "crop", SMALL, RUN)
    assert feature_key(frame, "t" * 64, "crop", SMALL, RUN) == same
    others = [
        feature_key(dataclasses.replace(frame, clip_sha256="0" * 64), "t" * 64, "crop", SMALL, RUN),
        feature_key(dataclasses.replace(frame, frame_index=3), "t" * 64, "crop", SMALL, RUN),
        feature_key(dataclasses.replace(frame, box=BOX + 1), "t" * 64, "crop", SMALL, RUN),
        feature_key(dataclasses.replace(frame, box=NO_BOX), "t" * 64, "crop", SMALL, RUN),
        feature_key(frame, "u" * 64, "crop", SMALL, RUN),
        feature_key(frame, "t" * 64, "frame", SMALL, RUN),
        feature_key(frame, "t" * 64, "crop", Preprocessing(), RUN),
        feature_key(frame, "t" * 64, "crop", SMALL, "openvino f32"),
    ]
    assert len({same, *others}) == 9


def test_no_frames_give_no_features(trunk):
    assert len(compute_features([], trunk, "crop", FeatureCache(None))) == 0
