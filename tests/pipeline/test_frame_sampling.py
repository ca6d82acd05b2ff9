"""Where a head looks, in training as in tagging."""

import numpy as np
import pytest
from pipeline.training.training_frames import sample_training_frames

from a2d.formats.base import Sample
from a2d.taxonomy import load_taxonomy
from action_heads.backbones import find_backbone
from action_heads.model import load_trunk
from action_heads.training.features import FeatureCache
from action_heads.training.samples import auxiliary_targets, target_matrix
from actor_detector.detections import ClipDetections
from actor_detector.speed_options import SpeedOptions
from inference.runtime import Runtime
from pipeline.cached_detector import CachedDetector
from pipeline.detection_cache import DetectionCache
from pipeline.frame_sampling import sample_frames
from pipeline.tagger import ActorActionTagger
from pipeline.training.head_features import HeadFeatureExtractor, auxiliary_features

PERSON, DOG = 0, 5


@pytest.fixture
def detections():
    """Ten frames, numbered from 0: the dog in 2, 3 (twice), 7 and 9, a person in 3."""
    rows = [2, 3, 3, 3, 7, 9]
    boxes = np.arange(24, dtype=np.float32).reshape(6, 4)
    return ClipDetections(
        frame_index=np.arange(10),
        time_seconds=np.arange(10) / 10,
        frame_row=np.array(rows),
        boxes=boxes,
        confidence=np.array([0.5, 0.6, 0.8, 0.9, 0.5, 0.5], np.float32),
        actor_index=np.array([DOG, DOG, DOG, PERSON, DOG, DOG]),
        duration_seconds=1.0,
    )


def test_frames_are_chosen_among_those_that_show_the_actor(detections):
    assert sample_frames(detections, DOG, 0.5) == (2, 7)
    assert sample_frames(detections, DOG, 0.05) == (2, 3, 7, 9)
    assert sample_frames(detections, DOG, 5) == (2,)
    assert sample_frames(detections, 1, 0.5) == (0, 5), "never seen: of the whole clip"


def test_the_most_confident_box_counts(detections):
    found = detections.best_boxes(DOG, [3, 4, 9])
    np.testing.assert_array_equal(found, [[8, 9, 10, 11], [np.nan] * 4, [20, 21, 22, 23]])
    assert detections.best_boxes(DOG, []).shape == (0, 4)
    assert detections.best_boxes(PERSON, [2, 3], within_seconds=0.11).tolist() == [[12, 13, 14, 15]] * 2
    np.testing.assert_array_equal(detections.best_boxes(PERSON, [5], within_seconds=0.15), [[np.nan] * 4])


@pytest.fixture
def detector(yolo, cache, config):
    return CachedDetector(
        "yolo26n", yolo, load_taxonomy(), 224, 0.5, config.runtime, 8, SpeedOptions(), DetectionCache(cache)
    )


def test_training_looks_where_tagging_looks(config, detector, kit, taxonomy):
    clip = kit / "clips" / "dog-walking__ground-a-video-dog-walking.mp4"
    samples = [
        Sample(clip, None, ("dog-walking",), "train", "a source"),
        Sample(clip, 3, ("dog-walking",), "train", "a source"),
    ]
    tagged = ActorActionTagger.from_config(config).tag(clip)
    looks = sample_training_frames(samples, taxonomy.actor("dog"), detector, "crop", config.look_every)
    assert tuple(look.frame_index for look in looks[:-1]) == tagged.actors["dog"].frames
    assert [look.sample for look in looks] == [samples[0], samples[0], samples[1]]
    assert looks[-1].frame_index == 3, "the frame that the labels speak of"
    assert {look.clip_sha256 for look in looks} == {tagged.sha256}
    for look in looks:
        expected = detector.detect(clip).detections.best_boxes(DOG, [look.frame_index])[0]
        np.testing.assert_array_equal(look.box, expected)
        assert not np.isnan(look.box).any()


def test_labelled_frames_shown_whole_need_no_detector(kit, taxonomy, tmp_path):
    detector = CachedDetector("none", tmp_path / "none.pt", taxonomy, 224, 0.5, Runtime(), 8, 1, DetectionCache(None))
    sample = Sample(kit / "clips" / "dog-walking__ground-a-video-dog-walking.mp4", 3, ("dog-walking",), "train", "s")
    (look,) = sample_training_frames([sample], taxonomy.actor("dog"), detector, "frame", 4)
    assert look.frame_index == 3
    assert np.isnan(look.box).all()


def test_an_action_is_lent_where_both_have_it_and_it_is_clear_whose(taxonomy, tmp_path):
    samples = [
        Sample(tmp_path, None, labels, "train", "s") for labels in (("cat-walking", "dog-crawling"), ("cat-none",))
    ]
    dog, cat, person = (taxonomy.actor(name) for name in ("dog", "cat", "person"))
    targets, known = auxiliary_targets(dog, cat, samples)
    assert [[dog.labels[place].action for place in np.flatnonzero(row)] for row in targets] == [["walking"], ["none"]]
    assert {label.action for label, says in zip(dog.labels, known[0], strict=True) if not says} == {"crawling"}
    assert (known[0] == known[1]).all()
    _, known = auxiliary_targets(person, cat, samples)
    says = [label.name for label, told in zip(person.labels, known[0], strict=True) if told]
    assert says == ["adult-eating", "adult-jumping", "adult-running"], "who walks may be an adult or a baby"
    targets, known = auxiliary_targets(dog, cat, [])
    assert targets.shape == known.shape == (0, 7)


def test_what_is_borrowed_is_looked_at_as_its_owner(detector, kit, taxonomy, cache):
    clip = kit / "clips" / "dog-walking__ground-a-video-dog-walking.mp4"
    samples = [Sample(clip, None, ("dog-walking", "adult-walking"), "train", "a source")]
    trunk = load_trunk("embedded", find_backbone("efficientnet_lite0"))
    source = HeadFeatureExtractor(trunk, "crop", FeatureCache(cache / "features"))
    cat, dog, person = (taxonomy.actor(name) for name in ("cat", "dog", "person"))
    lent = auxiliary_features(cat, [dog, person], samples, detector, 0.5, source, 0.2)
    looks = [sample_training_frames(samples, lender, detector, "crop", 0.5) for lender in (dog, person)]
    assert lent.features.sample.tolist() == [0] * len(looks[0]) + [1] * len(looks[1])
    own = source.label(looks[0], target_matrix(dog, [look.sample for look in looks[0]]))
    np.testing.assert_array_equal(lent.features.values[: len(looks[0])], own.values)
    walking = [label.action for label in cat.labels].index("walking")
    assert lent.features.targets[:, walking].all()
    assert lent.weight == 0.2
    assert len(lent.without(np.array(["a source"])).features) == 0
    assert auxiliary_features(cat, [dog], samples, detector, 0.5, source, 0.0) is None
    assert auxiliary_features(cat, [taxonomy.actor("bird")], samples, detector, 0.5, source) is None
