"""Frame sampling: a head is given the same frames in training as in tagging."""

from dataclasses import replace

import cv2
import numpy as np
import pytest

from a2d.formats.base import Sample
from a2d.skipped_samples import SkippedSamples
from action_heads.backbones import find_backbone
from action_heads.model import load_trunk
from action_heads.training.features import FeatureCache
from action_heads.training.samples import auxiliary_targets, still_targets, target_matrix
from actor_detector.detections import ClipDetections
from pipeline.cached_detector import CachedDetector
from pipeline.frame_sampling import sample_frames
from pipeline.tagger import ActorActionTagger
from pipeline.training.auxiliary_frames import AuxiliaryWeights, describe, sample_auxiliary_frames
from pipeline.training.head_features import HeadFeatureExtractor, auxiliary_features
from pipeline.training.training_frames import FrameSampler, sample_training_frames

PERSON, CAT, DOG = 0, 4, 5


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


def test_frames_are_sampled_among_those_that_show_the_actor(detections):
    assert sample_frames(detections, DOG, 0.5) == (2, 7)
    assert sample_frames(detections, DOG, 0.05) == (2, 3, 7, 9)
    assert sample_frames(detections, DOG, 5) == (2,)
    assert sample_frames(detections, 1, 0.5) == (0, 5), "never detected: frames of the whole clip"


def test_best_boxes_are_the_most_confident_ones(detections):
    found = detections.best_boxes(DOG, [3, 4, 9])
    np.testing.assert_array_equal(found, [[8, 9, 10, 11], [np.nan] * 4, [20, 21, 22, 23]])
    assert detections.best_boxes(DOG, []).shape == (0, 4)
    assert detections.best_boxes(PERSON, [2, 3], within_seconds=0.11).tolist() == [[12, 13, 14, 15]] * 2
    np.testing.assert_array_equal(detections.best_boxes(PERSON, [5], within_seconds=0.15), [[np.nan] * 4])


@pytest.fixture
def detector(config, taxonomy):
    return CachedDetector.from_config(config, taxonomy)


def test_training_samples_the_frames_that_tagging_samples(config, detector, people_and_cat_clip, taxonomy):
    clip = people_and_cat_clip
    samples = [
        Sample(clip, None, ("cat-walking",), "train", "a source"),
        Sample(clip, 3, ("cat-walking",), "train", "a source"),
    ]
    tagged = ActorActionTagger.from_config(config).tag(clip)
    frames = sample_training_frames(samples, taxonomy.actor("cat"), detector, "crop", config.sample_every_seconds)
    assert tuple(frame.frame_index for frame in frames[:-1]) == tagged.actors["cat"].frames
    assert [frame.sample for frame in frames] == [samples[0], samples[0], samples[1]]
    assert frames[-1].frame_index == 3, "the labelled frame"
    assert {frame.clip_sha256 for frame in frames} == {tagged.sha256}
    for frame in frames:
        expected = detector.detect(clip).detections.best_boxes(CAT, [frame.frame_index])[0]
        np.testing.assert_array_equal(frame.box, expected)
        assert not np.isnan(frame.box).any()


def test_labelled_whole_frames_need_no_detector(people_and_cat_clip, detector, taxonomy, tmp_path):
    detector = replace(detector, path=tmp_path / "none.pt", sha256="0" * 64)
    sample = Sample(people_and_cat_clip, 3, ("cat-walking",), "train", "a source")
    (frame,) = sample_training_frames([sample], taxonomy.actor("cat"), detector, "frame", 4)
    assert frame.frame_index == 3
    assert np.isnan(frame.box).all()


def test_auxiliary_targets_are_known_for_shared_actions_of_one_kind(taxonomy, tmp_path):
    samples = [
        Sample(tmp_path, None, labels, "train", "a source")
        for labels in (("cat-walking", "dog-crawling"), ("cat-none",))
    ]
    dog, cat, person = (taxonomy.actor(name) for name in ("dog", "cat", "person"))
    targets, known = auxiliary_targets(dog, cat, samples)
    assert [[dog.labels[index].action for index in np.flatnonzero(row)] for row in targets] == [["walking"], ["none"]]
    assert {label.action for label, is_known in zip(dog.labels, known[0], strict=True) if not is_known} == {"crawling"}
    assert (known[0] == known[1]).all()
    _, known = auxiliary_targets(person, cat, samples)
    names = [label.name for label, is_known in zip(person.labels, known[0], strict=True) if is_known]
    assert names == ["adult-eating", "adult-jumping", "adult-running"], "a walking person may be an adult or a baby"
    targets, known = auxiliary_targets(dog, cat, [])
    assert targets.shape == known.shape == (0, 7)


def test_auxiliary_features_show_the_auxiliary_actors(detector, people_and_cat_clip, taxonomy, cache):
    samples = [Sample(people_and_cat_clip, None, ("cat-walking", "adult-walking"), "train", "a source")]
    trunk = load_trunk("embedded", find_backbone("efficientnet_lite0"))
    extractor = HeadFeatureExtractor(trunk, "crop", FeatureCache(cache / "features"))
    dog, cat, person = (taxonomy.actor(name) for name in ("dog", "cat", "person"))
    sampler = FrameSampler(detector, "crop", 0.5, SkippedSamples(strict=True))
    dog_like = replace(dog, auxiliary_actors=("cat", "person"))
    weights = AuxiliaryWeights(0.2, 0.1)
    parts = sample_auxiliary_frames(dog_like, taxonomy, samples, [], weights, sampler)
    assert [part.actor for part in parts] == [cat, person]
    frames = {part.actor: part.frames for part in parts}
    for actor in (cat, person):
        expected = sample_training_frames(samples, actor, detector, "crop", 0.5)
        assert [frame.frame_index for frame in frames[actor]] == [frame.frame_index for frame in expected]
        np.testing.assert_array_equal([frame.box for frame in frames[actor]], [frame.box for frame in expected])
    auxiliary = auxiliary_features(dog_like, parts, extractor)
    assert auxiliary.features.sample.tolist() == [0] * len(frames[cat]) + [1] * len(frames[person])
    of_cat = extractor.labelled_features(frames[cat], target_matrix(cat, [frame.sample for frame in frames[cat]]))
    np.testing.assert_array_equal(auxiliary.features.values[: len(frames[cat])], of_cat.values)
    walking = [label.action for label in dog.labels].index("walking")
    assert auxiliary.features.targets[:, walking].all()
    assert (auxiliary.weight == 0.2).all()
    assert len(auxiliary.without(np.array(["a source"])).features) == 0
    assert auxiliary_features(dog, [replace(parts[0], weight=0.0)], extractor) is None
    assert auxiliary_features(dog, [], extractor) is None
    bird_like = replace(dog, auxiliary_actors=("bird",))
    assert sample_auxiliary_frames(bird_like, taxonomy, samples, [], weights, sampler) == []
    assert sample_auxiliary_frames(dog_like, taxonomy, samples, [], AuxiliaryWeights(0, 0), sampler) == []


def test_stills_count_less_than_clips_and_those_of_other_actors_less_still(detector, tmp_path, taxonomy):
    image = np.full((120, 160, 3), 90, np.uint8)
    files = [tmp_path / f"{name}.png" for name in ("dog", "cat", "both")]
    for file in files:
        assert cv2.imwrite(str(file), image)
    labels = [("dog-walking",), ("cat-none",), ("cat-eating", "dog-none")]
    stills = [Sample(file, None, names, "train", file.name) for file, names in zip(files, labels, strict=True)]
    dog = taxonomy.actor("dog")
    sampler = FrameSampler(detector, "both", 0.5, SkippedSamples(strict=True))
    parts = sample_auxiliary_frames(dog, taxonomy, [], stills, AuxiliaryWeights(0.3, 0.1), sampler)
    assert [(part.actor.name, part.samples, part.weight) for part in parts] == [("dog", 2, 0.1), ("cat", 2, 0.03)]
    assert all(part.are_stills for part in parts)
    assert [frame.frame_index for part in parts for frame in part.frames] == [0] * 4, "an image is a clip of one frame"
    assert describe(parts) == {"stills": {"from": ["dog", "cat"], "samples": 4, "weight": 0.1}}
    targets, known = parts[0].targets_for(dog)
    assert [np.array(dog.label_names)[row].tolist() for row in targets] == [["dog-walking"], ["dog-none"]]
    assert known.all(), "what a still does not name, its actor does not do"
    targets, known = parts[1].targets_for(dog)
    assert [np.array(dog.label_names)[row].tolist() for row in targets] == [["dog-none"], ["dog-eating"]]


def test_stills_of_one_kind_of_actor_say_nothing_of_the_other(taxonomy, tmp_path):
    person = taxonomy.actor("person")
    stills = [
        Sample(tmp_path, None, names, "train", "") for names in (("adult-climbing",), ("baby-none", "adult-none"))
    ]
    targets, known = still_targets(person, stills)
    names = np.array(person.label_names)
    assert names[targets[0]].tolist() == ["adult-climbing"]
    assert set(names[~known[0]]) == {name for name in person.label_names if name.startswith("baby-")}
    assert known[1].all()
    targets, known = still_targets(person, [])
    assert targets.shape == known.shape == (0, len(person.labels))
