"""The training material of a head: the right frames, cut out rightly, with the right truth."""

import numpy as np
import pytest

from a2d.formats.base import Sample
from action_heads.input_kinds import CROP, WHOLE_FRAME
from action_heads.crops import NO_BOX, crop_actor
from action_heads.preprocessing import resize_frame
from action_heads.training.samples import LabelledFrames, SampledFrame, read_labelled_frames
from video.clips import count_frames, read_frames

NAME = "dog-walking__ground-a-video-dog-walking.mp4"
BOX = np.array([40, 30, 90, 70], np.float32)


@pytest.mark.parametrize("kind", [WHOLE_FRAME, CROP])
def test_looks_give_their_frames_in_their_order(kit, taxonomy, kind):
    sample = Sample(kit / "clips" / NAME, None, ("adult-walking", "dog-walking"), "train", "a source")
    looks = [SampledFrame(sample, "0" * 64, index, BOX) for index in (5, 1, 5)]
    frames = read_labelled_frames(taxonomy.actor("person"), looks, kind, 32)
    everything = np.concatenate([batch.images for batch in read_frames(sample.clip)])
    expected = [resize_frame(crop_actor(everything[index], BOX, kind), 32) for index in (5, 1, 5)]
    np.testing.assert_array_equal(frames.images, expected)
    assert frames.targets.sum(axis=1).tolist() == [1, 1, 1]


def test_looks_of_several_clips_keep_their_own_truth(kit, taxonomy):
    dog = taxonomy.actor("dog")
    walking = Sample(kit / "clips" / NAME, None, ("dog-walking",), "train", "one")
    running = Sample(kit / "clips" / NAME, 2, ("dog-running",), "train", "other")
    looks = [
        SampledFrame(walking, "0" * 64, 0, NO_BOX),
        SampledFrame(running, "0" * 64, 2, NO_BOX),
        SampledFrame(walking, "0" * 64, 3, NO_BOX),
    ]
    frames = read_labelled_frames(dog, looks, WHOLE_FRAME, 16)
    names = [dog.label_names[row.argmax()] for row in frames.targets]
    assert names == ["dog-walking", "dog-running", "dog-walking"]


def test_no_look_gives_no_frames(taxonomy):
    frames = read_labelled_frames(taxonomy.actor("car"), [], WHOLE_FRAME, 16)
    assert len(frames) == 0
    assert frames.targets.shape == (0, 5)


def test_frames_are_counted_by_decoding(kit):
    assert count_frames(kit / "clips" / NAME) == 8


def test_arrays_must_be_parallel():
    with pytest.raises(ValueError, match="do not fit"):
        LabelledFrames(np.zeros((2, 4, 4, 3), np.uint8), np.zeros((1, 3), bool))
