"""Annotated clips: detections and labels are visible, and the frames keep their times."""

import multiprocessing
import os
import signal
from dataclasses import replace
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from fake_a2d import write_pngs, write_video
from fake_clips import make_clip

from actor_detector.detections import ClipDetections
from common.errors import TruncatedClipError
from pipeline.results import ActorEvidence, ClipResult, TaggedLabel, Weights
from pipeline.visualization.annotation import Annotator, annotate_clip, annotated_names
from pipeline.visualization.layout import MAX_SIDE, PALETTE, Layout
from video.clips import read_frames
from video.writer import remove_unfinished, video_writer

FRAMES = 3
BOXES = [[-5, -4, 20, 24], [30, 10, 44, 30], [10, 20, 90, 90]]  # a person beyond the edge, a dog, a cat beyond it


@pytest.fixture
def detections() -> ClipDetections:
    """Two actors in the first frame, one in the second, none in the third."""
    return ClipDetections(
        frame_index=np.arange(FRAMES),
        time_seconds=np.arange(FRAMES) / 10,
        frame_row=np.array([0, 0, 1]),
        boxes=np.array(BOXES, np.float32),
        confidence=np.array([0.9, 0.8, 0.7], np.float32),
        actor_index=np.array([0, 5, 4]),
        duration_seconds=FRAMES / 10,
    )


@pytest.fixture
def result(taxonomy) -> ClipResult:
    """The dog and the cat are absent, the person walks."""
    actors = {name: ActorEvidence(0.0, 0.1, False, -0.1) for name in taxonomy.actor_names}
    actors["person"] = ActorEvidence(1 / 3, 0.1, True, 0.23, (0,))
    label = TaggedLabel("adult-walking", 18, 0.9)
    return ClipResult("a.mp4", "0" * 64, "ok", None, Weights("", "", {}), actors=actors, labels=(label,))


def count(image, color, tolerance=40) -> int:
    """Count the pixels of approximately a colour; H.264 and anti-aliasing blur it."""
    return int((np.abs(image.astype(int) - color).max(axis=-1) <= tolerance).sum())


def frames_of(path: Path) -> np.ndarray:
    return np.concatenate([batch.images for batch in read_frames(path)])


@pytest.mark.parametrize(
    ("width", "height", "picture", "canvas"),
    [
        (48, 32, (720, 480), 720),
        (427, 320, (640, 480), 640),
        (180, 320, (270, 480), 480),
        (1920, 1080, (1920, 1080), 1920),
        (1080, 1920, (1080, 1920), 1080),
        (641, 481, (640, 480), 640),
    ],
    ids=str,
)
def test_small_clips_are_enlarged_and_narrow_ones_get_a_wider_canvas(width, height, picture, canvas):
    layout = Layout.of(width, height)
    assert layout.picture == pytest.approx(picture, abs=2)
    assert layout.width == pytest.approx(canvas, abs=2)
    assert all(length % 2 == 0 for length in (*layout.picture, layout.width))
    assert layout.unit >= 1


def test_boxes_are_drawn_in_their_frames_and_inside_the_picture(result, detections, taxonomy):
    layout = Layout.of(48, 32)
    annotator = Annotator(result, detections, taxonomy, layout)
    grey = np.full((32, 48, 3), 90, np.uint8)
    first, second, third = (annotator.draw(grey, row) for row in range(FRAMES))
    lines = layout.picture[1]
    person = np.array(PALETTE[0])
    assert count(first[:lines], person) > 1000
    assert count(second[:lines], person) == count(third[:lines], person) == 0
    assert (first[0, :100] == person).all(axis=-1).mean() > 0.9, "its upper edge is the picture's"
    assert (second[lines - 1, 200:700] != 90).any(), "the cat's lower edge is visible too"
    assert (third[:lines] == 90).all()


def test_an_absent_actor_has_a_thin_grey_box(result, detections, taxonomy):
    grey = np.full((32, 48, 3), 90, np.uint8)
    absent = Annotator(result, detections, taxonomy, Layout.of(48, 32)).draw(grey, 1)[:480]
    actors = {**result.actors, "cat": replace(result.actors["cat"], present=True)}
    present = Annotator(replace(result, actors=actors), detections, taxonomy, Layout.of(48, 32)).draw(grey, 1)[:480]
    cat = np.array(PALETTE[4])
    assert count(absent, cat) == 0
    assert count(present, cat) > 1000
    assert (absent != 90).any(axis=-1).sum() < (present != 90).any(axis=-1).sum()


def test_the_strip_shows_the_verdict_presence_and_gate_of_each_actor(result, detections, taxonomy):
    layout = Layout.of(640, 480)

    def strip(**changes):
        return Annotator(replace(result, **changes), detections, taxonomy, layout).strip.final

    person = np.array(PALETTE[0])
    normal = strip()
    assert count(normal[:40], person) > 1000
    nothing = strip(labels=())
    assert count(nothing[:40], person) == 0
    assert nothing[:40].max() > 100, "a message instead"
    more = strip(actors={**result.actors, "person": replace(result.actors["person"], presence=1.0)})
    assert count(more[48:], person) > 2 * count(normal[48:], person)
    gate = strip(actors={**result.actors, "dog": replace(result.actors["dog"], gate=0.9)})
    moved = np.flatnonzero((gate != normal).any(axis=(0, 2)))
    assert moved.size > 0, "the gate's tick is where the gate is"
    assert moved.max() - moved.min() > 100


def test_the_bars_show_the_share_of_the_frames_so_far(result, detections, taxonomy):
    """The person is in the first of three frames: in all frames so far, then in half, in the end in a third."""
    annotator = Annotator(result, detections, taxonomy, Layout.of(640, 480))
    lengths = [count(annotator.strip.at(row)[48:], np.array(PALETTE[0])) for row in range(FRAMES)]
    assert lengths[0] == pytest.approx(2 * lengths[1], rel=0.1)
    assert lengths[0] == pytest.approx(3 * lengths[2], rel=0.15)
    assert lengths[2] == pytest.approx(count(annotator.strip.final[48:], np.array(PALETTE[0])), rel=0.01)


def test_bars_of_a_long_clip_begin_again_with_each_window(result, taxonomy):
    """A clip of 60 s with a frame per second, in the first half of which a person is: two windows of 30 s."""
    found = ClipDetections(
        frame_index=np.arange(60),
        time_seconds=np.arange(60.0),
        frame_row=np.arange(30),
        boxes=np.tile(np.array([[1, 1, 5, 5]], np.float32), (30, 1)),
        confidence=np.full(30, 0.9, np.float32),
        actor_index=np.zeros(30, int),
        duration_seconds=60.0,
    )
    shares = Annotator(result, found, taxonomy, Layout.of(640, 480)).strip._shares_so_far[:, 0]
    assert (shares[:30] == 1).all()
    assert (shares[30:] == 0).all()


def test_labels_are_lit_while_they_are_said(result, detections, taxonomy):
    person = np.array(PALETTE[0])
    label = TaggedLabel("adult-walking", 18, 0.9, ((0.0, 0.1), (0.2, 0.3)))
    annotator = Annotator(replace(result, labels=(label,)), detections, taxonomy, Layout.of(640, 480))
    lit = [count(annotator.strip.at(row)[:40], person) > 1000 for row in range(FRAMES)]  # at 0, 0.1 and 0.2 s
    assert lit == [True, False, True]
    assert annotator.strip.at(1)[:40].max() > 150, "it is still legible"
    assert annotator.strip.at(1).shape == annotator.strip.final.shape


def test_labels_that_do_not_fit_are_counted(result, detections, taxonomy):
    labels = tuple(TaggedLabel(label.name, label.id, 0.9) for label in taxonomy.labels)
    strip = Annotator(replace(result, labels=labels), detections, taxonomy, Layout.of(640, 480)).strip.final
    assert (strip[:40, -4:] == strip[0, 0]).all(), "nothing reaches the edge"
    few = Annotator(replace(result, labels=labels[:3]), detections, taxonomy, Layout.of(640, 480)).strip.final
    assert (strip[:40] != few[:40]).any()


@pytest.mark.parametrize("kind", ["video", "folder of frames", "truncated"])
def test_an_annotated_clip_has_all_frames_at_their_times(result, detections, taxonomy, tmp_path, kind):
    clip = write_pngs(tmp_path / "clip") if kind == "folder of frames" else write_video(tmp_path / "clip.avi")
    frames = 6
    if kind == "truncated":
        clip.write_bytes(clip.read_bytes()[:-150])
        with pytest.raises(TruncatedClipError, match="3 of 6 frames"):
            frames_of(clip)
        frames = 3
    times = np.array([0, 0.1, 0.25, 0.3, 0.45, 0.5])[:frames]
    found = replace(detections, frame_index=np.arange(frames), time_seconds=times, duration_seconds=times[-1] + 0.1)
    path = tmp_path / "out" / "clip.annotated.mp4"
    annotate_clip(clip, result, found, taxonomy, path)
    written = np.concatenate([batch.time_seconds for batch in read_frames(path)])
    np.testing.assert_allclose(written, times, atol=1e-4)
    images = frames_of(path)
    assert images.shape == (
        frames,
        480 + len(Annotator(result, found, taxonomy, Layout.of(48, 32)).strip.final),
        720,
        3,
    )
    assert count(images[0][:480], np.array(PALETTE[0])) > 1000 > count(images[2][:480], np.array(PALETTE[0]))
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]


def test_a_frame_of_another_size_is_resized(result, detections, taxonomy):
    annotator = Annotator(result, detections, taxonomy, Layout.of(48, 32))
    small = annotator.draw(np.full((16, 24, 3), 90, np.uint8), 2)
    assert small.shape == annotator.draw(np.full((32, 48, 3), 90, np.uint8), 2).shape


def test_a_failure_leaves_nothing_behind(result, detections, taxonomy, tmp_path):
    (tmp_path / "clip").mkdir()
    assert cv2.imwrite(str(tmp_path / "clip" / "00001.png"), np.zeros((32, 48, 3), np.uint8))
    broken = replace(result, actors={})
    with pytest.raises(KeyError):
        annotate_clip(tmp_path / "clip", broken, detections, taxonomy, tmp_path / "out" / "a.mp4")
    assert not (tmp_path / "out").exists() or not list((tmp_path / "out").iterdir())


HOUR, DAY = 3600, 86400


@pytest.mark.parametrize("pauses", [[HOUR], [7 * HOUR], [17_000, 17_000], [20 * DAY]], ids=str)
def test_a_pause_is_as_long_as_it_was(result, detections, taxonomy, tmp_path, pauses):
    times_ms = [0, 40, 80]
    for pause in pauses:
        times_ms += [times_ms[-1] + 1000 * pause, times_ms[-1] + 1000 * pause + 40]
    clip = make_clip(tmp_path / "clip.mkv", len(times_ms), times_ms=times_ms)
    times = np.array(times_ms) / 1000
    found = replace(
        detections, frame_index=np.arange(len(times)), time_seconds=times, duration_seconds=times[-1] + 0.04
    )
    annotate_clip(clip, result, found, taxonomy, tmp_path / "copy.mp4")
    with av.open(str(tmp_path / "copy.mp4")) as container:  # our reader takes a pause of hours for a clock that jumps
        written = [float(frame.pts * frame.time_base) for frame in container.decode(video=0)]
    np.testing.assert_allclose(written, times, atol=1e-4 if max(pauses) < HOUR + 1 else 0.02)


@pytest.mark.parametrize("size", [(2000, 40), (40, 2000), (9000, 8), (1, 1), (1, 900), (33, 17)], ids=str)
def test_a_clip_of_any_shape_is_annotated(result, detections, taxonomy, tmp_path, size):
    (tmp_path / "clip").mkdir()
    assert cv2.imwrite(str(tmp_path / "clip" / "00001.png"), np.full((size[1], size[0], 3), 90, np.uint8))
    one = np.zeros(1)
    found = replace(detections, frame_index=one.astype(int), time_seconds=one, duration_seconds=0.04)
    annotate_clip(tmp_path / "clip", result, found.at_confidence(0.85), taxonomy, tmp_path / "copy.mp4")
    (image,) = frames_of(tmp_path / "copy.mp4")
    assert 480 <= max(image.shape[:2]) <= MAX_SIDE + 200, "the strip is below the picture"


def test_very_large_clips_are_reduced():
    for width, height in ((7680, 4320), (4320, 7680), (100_000, 100)):
        picture = Layout.of(width, height).picture
        assert max(picture) == MAX_SIDE
        assert picture[0] / picture[1] == pytest.approx(width / height, rel=0.05)


def test_frames_that_were_skipped_show_the_boxes_of_the_last_processed_one(result, detections, taxonomy, tmp_path):
    clip = write_video(tmp_path / "clip.avi")
    processed = np.array([0, 3])
    found = replace(
        detections,
        frame_index=processed,
        time_seconds=processed / 10,
        frame_row=np.array([0, 0, 1]),
        duration_seconds=0.6,
        stride=3,
        decoded=6,
    )
    annotate_clip(clip, result, found, taxonomy, tmp_path / "copy.mp4")
    written = np.concatenate([batch.time_seconds for batch in read_frames(tmp_path / "copy.mp4")])
    np.testing.assert_allclose(written, np.arange(6) / 10, atol=1e-4)
    person = [count(image[:480], np.array(PALETTE[0])) > 1000 for image in frames_of(tmp_path / "copy.mp4")]
    assert person == [True, True, True, False, False, False]


def test_what_a_killed_process_has_left_is_removed(tmp_path):
    process = multiprocessing.get_context("spawn").Process(target=begin_to_write, args=(tmp_path,))
    process.start()
    process.join()
    (left,) = tmp_path.iterdir()
    assert left.name.endswith(f".{process.pid}.tmp")
    (tmp_path / ".mine.tmp").touch()
    with video_writer(tmp_path / "b.mp4", 64, 48, 25) as writer:
        remove_unfinished(tmp_path)
        writer.add(np.zeros((48, 64, 3), np.uint8), 0, 0.04)
    assert sorted(path.name for path in tmp_path.iterdir()) == [".mine.tmp", "b.mp4"]
    remove_unfinished(tmp_path / "no folder")


def begin_to_write(folder: Path) -> None:
    with video_writer(folder / "a.mp4", 64, 48, 25) as writer:
        writer.container.start_encoding()  # creates the file
        os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.parametrize("stem", ["x" * 240, "x" * 251, "ü" * 125, "日" * 83, os.fsdecode(b"\xff" * 200)], ids=ascii)
def test_a_clip_with_a_long_name_has_a_copy_with_a_name_that_fits(result, detections, taxonomy, tmp_path, stem):
    clips = [tmp_path / folder / stem for folder in ("a", "b")]
    for clip in clips:
        clip.parent.mkdir()
        write_pngs(tmp_path / "frames").rename(clip)  # OpenCV crashes on names that are not valid Unicode
    names = [name for _, name in sorted(annotated_names(clips).items())]
    assert len(set(names)) == 2
    for clip, name in zip(clips, names, strict=True):
        assert len(os.fsencode(name)) <= 255
        assert name.startswith(stem[:50])
        assert name.endswith(".annotated.mp4")
        annotate_clip(clip, result, detections, taxonomy, tmp_path / "copies" / name)
    assert len(list((tmp_path / "copies").iterdir())) == 2


def test_copies_replace_neither_each_other_nor_clips():
    clips = [Path("a/Dog.mp4"), Path("b/dog.avi"), Path("c/DOG.mp4"), Path("copies/cat.annotated.mp4"), Path("cat.mp4")]
    names = list(annotated_names(clips, Path("copies")).values())
    assert names[:3] == ["Dog.annotated.mp4", "dog-2.annotated.mp4", "DOG-3.annotated.mp4"]
    assert names[3:] == ["cat.annotated.annotated.mp4", "cat-2.annotated.mp4"]


def test_many_clips_of_one_name_are_numbered_in_a_moment():
    names = annotated_names([Path(f"{number}/video.mp4") for number in range(20_000)])
    assert len(set(names.values())) == 20_000


def test_clips_of_one_name_do_not_overwrite_each_other():
    clips = [Path("a/x.mp4"), Path("b/x.avi"), Path("x-2.mp4"), Path("y.mp4")]
    names = list(annotated_names(clips).values())
    assert names == ["x.annotated.mp4", "x-2.annotated.mp4", "x-2-2.annotated.mp4", "y.annotated.mp4"]
