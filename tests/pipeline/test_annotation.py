"""Annotated clips: detections and labels are visible, and the frames keep their times."""

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from fake_a2d import write_pngs, write_video

from actor_detector.detections import ClipDetections
from common.errors import TruncatedClipError
from pipeline.results import ActorEvidence, ClipResult, TaggedLabel, Weights
from pipeline.visualization.annotation import PALETTE, Annotator, Layout, annotate_clip, annotated_names
from video.clips import read_frames

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
    np.testing.assert_array_equal(first[lines:], third[lines:])


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
        return Annotator(replace(result, **changes), detections, taxonomy, layout).strip

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


def test_labels_that_do_not_fit_are_counted(result, detections, taxonomy):
    labels = tuple(TaggedLabel(label.name, label.id, 0.9) for label in taxonomy.labels)
    strip = Annotator(replace(result, labels=labels), detections, taxonomy, Layout.of(640, 480)).strip
    assert (strip[:40, -4:] == strip[0, 0]).all(), "nothing reaches the edge"
    few = Annotator(replace(result, labels=labels[:3]), detections, taxonomy, Layout.of(640, 480)).strip
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
    assert images.shape == (frames, 480 + len(Annotator(result, found, taxonomy, Layout.of(48, 32)).strip), 720, 3)
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


def test_clips_of_one_name_do_not_overwrite_each_other():
    clips = [Path("a/x.mp4"), Path("b/x.avi"), Path("x-2.mp4"), Path("y.mp4")]
    names = list(annotated_names(clips).values())
    assert names == ["x.annotated.mp4", "x-2.annotated.mp4", "x-2-2.annotated.mp4", "y.annotated.mp4"]
