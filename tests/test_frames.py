"""The training material of a head: the right frames with the right truth."""

import numpy as np
import pytest
from fake_a2d import write_release

from a2d.clips import read_frames, read_frames_at
from a2d.dataset import Sample, read_samples
from action_heads.frames import read_labelled_frames, samples_of
from action_heads.preprocessing import resize_frame


def test_frame_level_samples_give_the_labelled_frames(tmp_path, taxonomy):
    dog = taxonomy.actor("dog")
    samples = read_samples(write_release(tmp_path), "train", taxonomy)
    frames = read_labelled_frames(dog, samples, size=16, frames_per_clip=4)
    (sample,) = samples_of(dog, samples)
    assert (len(frames), frames.samples, frames.groups) == (1, 1, ("walker-01",))
    assert [name for name, true in zip(dog.label_names, frames.targets[0], strict=True) if true] == ["dog-jumping"]
    expected = resize_frame(read_frames_at(sample.clip, [3]).images[0], 16)
    np.testing.assert_array_equal(frames.images[0], expected)


def test_clip_level_samples_give_evenly_spaced_frames(kit, taxonomy):
    clip = kit / "clips" / "dog-walking__ground-a-video-dog-walking.mp4"
    sample = Sample(clip, None, ("adult-walking", "dog-walking"), "train", "a source")
    frames = read_labelled_frames(taxonomy.actor("person"), [sample], size=32, frames_per_clip=4)
    everything = np.concatenate([batch.images for batch in read_frames(clip)])
    assert len(everything) == 8
    expected = [resize_frame(image, 32) for image in everything[[1, 3, 5, 7]]]
    np.testing.assert_array_equal(frames.images, expected)
    assert frames.targets.sum(axis=1).tolist() == [1, 1, 1, 1]


def test_frame_and_clip_labels_of_one_clip_are_kept_apart(kit, taxonomy):
    clip = kit / "clips" / "dog-walking__ground-a-video-dog-walking.mp4"
    samples = [
        Sample(clip, None, ("dog-walking",), "train", "whole"),
        Sample(clip, 2, ("dog-running",), "train", "frame"),
    ]
    frames = read_labelled_frames(taxonomy.actor("dog"), samples, size=16, frames_per_clip=2)
    names = [taxonomy.actor("dog").label_names[row.argmax()] for row in frames.targets]
    assert list(zip(frames.groups, names, strict=True)) == [
        ("frame", "dog-running"),
        ("whole", "dog-walking"),
        ("whole", "dog-walking"),
    ]


def test_an_actor_that_is_nowhere_gives_no_frames(tmp_path, taxonomy):
    samples = read_samples(write_release(tmp_path), "train", taxonomy)
    frames = read_labelled_frames(taxonomy.actor("car"), samples, size=16, frames_per_clip=4)
    assert len(frames) == 0
    assert frames.targets.shape == (0, 5)


def test_arrays_must_be_parallel():
    from action_heads.frames import LabelledFrames

    with pytest.raises(ValueError, match="do not fit"):
        LabelledFrames(np.zeros((2, 4, 4, 3), np.uint8), np.zeros((1, 3), bool), ("a", "b"), 1)
