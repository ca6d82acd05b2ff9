"""The data path: which frames stand for a sample, how they are kept, and how they are changed at random."""

import numpy as np
import pytest
import torch
from fake_a2d import CLIPS, FRAMES, write_clips_csv, write_course, write_release
from fake_clips import cut_file, make_clip, make_folder

from a2d.dataset import read_samples
from a2d.skipped_samples import SkippedSamples
from common.errors import ClipError, DatasetError
from rivals.augmentation import BLURS, RandomNumbers, augment
from rivals.batches import make_batch
from rivals.data import PictureStore, read_examples, summarize
from rivals.frames import examine_clip, read_pictures
from rivals.recipes import Augmentation, FrameInput
from video.clips import read_frames_at

NAMES = {"release": write_release, "course": write_course, "csv": write_clips_csv}


def grey_of(pictures):
    """Return which frame of `fake_clips` each picture shows, by its grey level at the bottom right."""
    return np.round(pictures[..., -1, -1, 0] / 8).astype(int).tolist()


@pytest.mark.parametrize("layout", NAMES)
def test_labelled_frames_and_labelled_clips_become_examples(layout, tmp_path, taxonomy):
    data = NAMES[layout](tmp_path)
    examples = read_examples(read_samples(data, "train", taxonomy), SkippedSamples(strict=True), moments=2)
    labelled = [clip for clip in CLIPS if clip.split == "train"]
    if layout == "csv":
        assert [example.moments for example in examples] == [(1, 4)] * len(labelled)
    else:
        frames = sorted(number - 1 for clip in labelled for number in clip.frames)
        assert sorted(moment for example in examples for moment in example.moments) == frames
    assert summarize(examples)["clips"] == len(labelled)
    store = PictureStore(examples, taxonomy, FrameInput(16))
    expected = np.stack([taxonomy.encode(example.sample.labels) for example in examples])
    np.testing.assert_array_equal(store.targets, expected)
    for row, moment in store.moments():
        image = read_frames_at(examples[row].info.clip, [moment]).images[0]
        assert abs(store.pictures(row, moment)[0].mean() - image.mean()) < 2


def test_the_pictures_are_the_same_whether_they_are_kept_or_not(tmp_path, taxonomy):
    data = write_clips_csv(tmp_path)
    examples = read_examples(read_samples(data, "train", taxonomy), SkippedSamples(), moments=3)
    stores = [PictureStore(examples, taxonomy, FrameInput(16, frames=4)) for _ in range(3)]
    stores[0].fill()
    stores[1].fill(max_bytes=3 * 4 * 16 * 16 * 3)  # of one clip
    for key in stores[0].moments():
        kept, bounded, decoded = (store.pictures(*key) for store in stores)
        np.testing.assert_array_equal(kept, decoded)
        np.testing.assert_array_equal(bounded, decoded)
    assert len(stores[0]._kept) == 6
    assert len(stores[1]._kept) == 3


@pytest.mark.parametrize("is_folder", [False, True], ids=["video", "folder"])
def test_a_window_of_frames_is_read_around_a_moment(tmp_path, is_folder):
    clip = make_folder(tmp_path / "f", range(1, 31)) if is_folder else make_clip(tmp_path / "c.mp4")
    shift = 1 if is_folder else 0
    info = examine_clip(clip)
    assert info.frames == 30
    found = read_pictures(info, [10, 0], FrameInput(32, frames=4, step=2))
    assert found.shape == (2, 4, 32, 32, 3)
    expected = np.array([[6, 8, 10, 12], [0, 0, 0, 2]]) + shift
    assert np.abs(np.array(grey_of(found)) - expected).max() <= (0 if is_folder else 1)
    padded = read_pictures(info, [1], FrameInput(32, frames=6, before=5, zero_padded=True))
    assert (padded[0, :4] == 0).all()
    assert padded[0, 4:].any(axis=(1, 2, 3)).all()


def test_pictures_are_drawn_from_whole_frames(tmp_path):
    info = examine_clip(make_clip(tmp_path / "c.mp4", size=(64, 48)))
    shapes = []

    def draw(frames):
        shapes.extend(frame.shape for frame in frames)
        return np.stack([frames[0], 255 - frames[0]])

    found = read_pictures(info, [3], FrameInput(16, frames=3), draw)
    assert found.shape == (1, 2, 16, 16, 3)
    assert set(shapes) == {(48, 64, 3)}
    assert np.abs(found[0, 0].astype(int) + found[0, 1] - 255).max() <= 1


def test_clips_that_cannot_be_used_are_skipped_and_said(tmp_path, taxonomy):
    data = write_release(tmp_path)
    samples = read_samples(data, "train", taxonomy)
    (tmp_path / "clips320H" / "_dash.dot.mp4").write_bytes(b"no video")
    beyond = type(samples[0])(samples[0].clip, FRAMES, ("dog-eating",), "train", "x", "list:9")
    skipped = SkippedSamples()
    examples = read_examples([*samples, beyond], skipped)
    assert {example.sample.clip.stem for example in examples} == {"walker-01"}
    assert len(skipped) == 2
    assert any(f"there is no frame {FRAMES}: it has {FRAMES} frames" in reason for reason in skipped.reasons)
    with pytest.raises(DatasetError, match="no frame"):
        read_examples([beyond], SkippedSamples())


def test_a_truncated_clip_is_read_as_far_as_it_goes(tmp_path):
    from fake_clips import Encoder

    clip = cut_file(make_clip(tmp_path / "c.mkv", 60, Encoder(options={"g": "10"}), size=(320, 240)), 0.7)
    info = examine_clip(clip)
    assert info.truncated
    assert 0 < info.frames < 60
    assert read_pictures(info, [info.frames - 1], FrameInput(16)).shape == (1, 1, 16, 16, 3)
    clip.write_bytes(b"")
    with pytest.raises(ClipError):
        examine_clip(clip)


@pytest.fixture
def pictures():
    numbers = np.random.default_rng(2)
    one = numbers.integers(0, 256, (1, 3, 24, 24)).astype(np.uint8)
    return torch.from_numpy(one.repeat(3, axis=0))


CHANGES = {
    "rotation": Augmentation(rotation_degrees=20),
    "flip": Augmentation(flip=1.0),
    "scale": Augmentation(scale=(0.5, 0.8)),
    "gaussian": Augmentation(blurs=("gaussian",), blur=1.0),
    "median": Augmentation(blurs=("median",), blur=1.0),
    "motion": Augmentation(blurs=("motion",), blur=1.0),
    "gamma": Augmentation(gamma=0.5),
    "brightness": Augmentation(brightness=0.5),
    "contrast": Augmentation(contrast=0.5),
    "saturation": Augmentation(saturation=0.5),
    "hue": Augmentation(hue=0.3),
    "squares": Augmentation(squares=5),
}


@pytest.mark.parametrize("settings", CHANGES.values(), ids=CHANGES)
def test_all_frames_of_a_clip_are_changed_alike_and_by_the_seed(settings, pictures):
    found = augment(pictures, settings, RandomNumbers(1))
    assert found.shape == pictures.shape
    assert found.dtype == torch.uint8
    assert not torch.equal(found, pictures)
    for frame in found[1:]:
        assert torch.equal(frame, found[0])
    assert torch.equal(augment(pictures, settings, RandomNumbers(1)), found)
    if settings not in (CHANGES["flip"], CHANGES["median"]):
        assert not torch.equal(augment(pictures, settings, RandomNumbers(3)), found)


def test_without_settings_nothing_is_changed(pictures):
    assert torch.equal(augment(pictures, Augmentation(), RandomNumbers(1)), pictures)


def test_a_flip_mirrors_left_and_right(pictures):
    assert torch.equal(augment(pictures, CHANGES["flip"], RandomNumbers(0)), pictures.flip(-1))


def test_black_squares_are_of_eight_pixels_and_at_most_as_many_as_asked_for(pictures):
    bright = pictures.clamp(min=1)
    areas = {int((augment(bright, Augmentation(squares=1), RandomNumbers(seed))[0, 0] == 0).sum()) for seed in range(9)}
    assert areas == {0, 64}


@pytest.mark.parametrize("name", BLURS)
def test_a_blur_leaves_a_plain_picture_as_it_is_and_smooths_another(name, pictures):
    plain = torch.full((2, 3, 24, 24), 77, dtype=torch.uint8)
    assert torch.equal(BLURS[name](plain, RandomNumbers(0)), plain)
    assert BLURS[name](pictures, RandomNumbers(0)).float().std() < 0.8 * pictures.float().std()


def test_a_batch_is_rgb_from_0_to_1():
    blue = np.zeros((2, 1, 4, 4, 3), np.uint8)
    blue[..., 0] = 255
    assert make_batch(blue, "cpu").shape == (2, 3, 4, 4)
    assert make_batch(blue, "cpu")[:, :, 0, 0].tolist() == [[0, 0, 1], [0, 0, 1]]
    assert make_batch(blue.repeat(5, axis=1), "cpu").shape == (2, 5, 3, 4, 4)
