"""Sampled frames of a head: decoded images and their targets."""

import numpy as np
import pytest

from a2d.formats.base import Sample
from action_heads.crops import NO_BOX, crop_actor
from action_heads.input_kinds import CROP, WHOLE_FRAME
from action_heads.preprocessing import resize_frame
from action_heads.training.samples import LabelledFrames, SampledFrame, read_labelled_frames
from video.clips import count_frames, read_frames

BOX = np.array([40, 30, 90, 70], np.float32)


@pytest.mark.parametrize("view", [WHOLE_FRAME, CROP])
def test_images_are_in_the_order_of_the_sampled_frames(people_and_cat_clip, taxonomy, view):
    sample = Sample(people_and_cat_clip, None, ("adult-walking", "dog-walking"), "train", "a source")
    sampled = [SampledFrame(sample, "0" * 64, index, BOX) for index in (5, 1, 5)]
    frames = read_labelled_frames(taxonomy.actor("person"), sampled, view, 32)
    clip = np.concatenate([batch.images for batch in read_frames(sample.clip)])
    expected = [resize_frame(crop_actor(clip[index], BOX, view), 32) for index in (5, 1, 5)]
    np.testing.assert_array_equal(frames.images, expected)
    assert frames.targets.sum(axis=1).tolist() == [1, 1, 1]


def test_each_frame_has_the_targets_of_its_sample(people_and_cat_clip, taxonomy):
    dog = taxonomy.actor("dog")
    walking = Sample(people_and_cat_clip, None, ("dog-walking",), "train", "one")
    running = Sample(people_and_cat_clip, 2, ("dog-running",), "train", "other")
    sampled = [
        SampledFrame(walking, "0" * 64, 0, NO_BOX),
        SampledFrame(running, "0" * 64, 2, NO_BOX),
        SampledFrame(walking, "0" * 64, 3, NO_BOX),
    ]
    frames = read_labelled_frames(dog, sampled, WHOLE_FRAME, 16)
    names = [dog.label_names[row.argmax()] for row in frames.targets]
    assert names == ["dog-walking", "dog-running", "dog-walking"]


def test_no_sampled_frames_give_no_images(taxonomy):
    frames = read_labelled_frames(taxonomy.actor("car"), [], WHOLE_FRAME, 16)
    assert len(frames) == 0
    assert frames.targets.shape == (0, 5)


def test_frames_are_counted(people_and_cat_clip):
    assert count_frames(people_and_cat_clip) == 8


def test_arrays_of_different_length_are_rejected():
    with pytest.raises(ValueError, match="differ in length"):
        LabelledFrames(np.zeros((2, 4, 4, 3), np.uint8), np.zeros((1, 3), bool))
